import { type InterleaveFailure } from "./failure.ts";
import { Machine } from "./machine.ts";
import { checkProgram, type InterleaveProgram } from "./program.ts";
import { formatSchedule, parseSchedule, type Schedule } from "./schedule.ts";
import { formatStep, sameStep } from "./step.ts";
import { describeStep } from "./trace.ts";
import { Judge, type Verdict } from "./verdict.ts";
import { WordNames } from "./word-names.ts";

/** How a replay ended. */
export interface Replay {
  /** What went wrong, null if nothing did. */
  readonly failure: InterleaveFailure | null;
  /** One line per step. */
  readonly trace: readonly string[];
}

/**
 * Runs one schedule, taken from a failure or a report. The program must be the one that it was found in.
 * Throws TypeError for a text that is no schedule, and RangeError with the step that the program cannot do.
 */
export function replaySchedule<Context>(program: InterleaveProgram<Context>, schedule: string): Replay {
  checkProgram(program);
  const parsed = parseSchedule(schedule, Object.keys(program.threads));
  return replaySteps(program as InterleaveProgram<unknown>, parsed);
}

export function replaySteps(program: InterleaveProgram<unknown>, schedule: Schedule): Replay {
  const { model, maxSteps, steps } = schedule;
  const machine = new Machine(program, model, false);
  const names = new WordNames(program);
  const judge = new Judge(program, machine, names, maxSteps);
  const trace: string[] = [];
  let state = machine.start();
  for (const step of steps) {
    if (!machine.enabled(state).some((enabled) => sameStep(enabled, step))) {
      const text = formatStep(step, machine.threadNames);
      throw new RangeError(`step ${trace.length + 1} of the schedule, ${text}, is not possible in this program`);
    }
    const next = machine.take(state, step);
    trace.push(describeStep(machine, names, state, step, next));
    state = next;
  }
  const verdict: Verdict | null =
    judge.judge(state) ?? (machine.enabled(state).length === 0 ? judge.judgeEnd(state) : null);
  const failure = verdict && { ...verdict, schedule: formatSchedule(schedule, machine.threadNames), trace };
  return { failure, trace };
}
