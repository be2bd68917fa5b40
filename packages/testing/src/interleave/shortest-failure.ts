import { type Machine } from "./machine.ts";
import { type MachineState } from "./machine-state.ts";
import { type Step } from "./step.ts";
import { type Judge } from "./verdict.ts";

interface Visit {
  readonly state: MachineState;
  readonly step: Step | null;
  readonly from: Visit | null;
}

/** Searches breadth first, up to `maxStates`: the steps to the nearest failure, null if there is none so near. */
export function findShortestFailure(machine: Machine, judge: Judge, maxStates: number): Step[] | null {
  let level: Visit[] = [{ state: machine.start(), step: null, from: null }];
  const seen = new Set<string>();
  while (level.length > 0 && seen.size < maxStates) {
    const next: Visit[] = [];
    for (const visit of level) {
      const key = visit.state.key();
      if (seen.has(key)) continue;
      seen.add(key);
      const steps = machine.enabled(visit.state);
      if (judge.judge(visit.state) ?? (steps.length === 0 && judge.judgeEnd(visit.state))) return stepsTo(visit);
      for (const step of steps) next.push({ state: machine.take(visit.state, step), step, from: visit });
    }
    level = next;
  }
  return null;
}

function stepsTo(visit: Visit): Step[] {
  const steps: Step[] = [];
  for (let at: Visit | null = visit; at?.step; at = at.from) steps.unshift(at.step);
  return steps;
}
