import { type Machine } from "./machine.ts";
import { type MachineState } from "./machine-state.ts";
import { type Step } from "./step.ts";
import { type Judge, type Verdict } from "./verdict.ts";

export interface ExplorerLimits {
  readonly maxStates: number;
  readonly maxPreemptions: number;
}

/** Ends a search early; carries no information of its own. */
class StopSearch extends Error {
  override readonly name: string = "StopSearch";
}

/**
 * Depth-first search over the states of a machine. States are recognised, so each is visited once, and the schedules
 * through it are counted instead of walked: every step makes a history longer or a store buffer shorter, so that no
 * state is reached from itself.
 */
export class Explorer {
  readonly #machine: Machine;
  readonly #judge: Judge;
  readonly #limits: ExplorerLimits;
  /** By key of the state: the schedules from it to an end. */
  readonly #schedulesFrom: Map<string, number> = new Map();
  readonly #path: Step[] = [];
  readonly #outcomes: Set<string> = new Set();
  #verdict: Verdict | null = null;
  #complete = true;
  #schedules = 0;

  constructor(machine: Machine, judge: Judge, limits: ExplorerLimits) {
    this.#machine = machine;
    this.#judge = judge;
    this.#limits = limits;
  }

  /** What is wrong at the end of {@link Explorer.path}. */
  get verdict(): Verdict | null {
    return this.#verdict;
  }
  get path(): readonly Step[] {
    return this.#path;
  }
  get complete(): boolean {
    return this.#complete;
  }
  get states(): number {
    return this.#schedulesFrom.size;
  }
  get schedules(): number {
    return this.#schedules;
  }
  get outcomes(): string[] {
    return [...this.#outcomes].sort();
  }

  /** Visits everything, or up to the first failure. */
  search(): void {
    try {
      this.#schedules = this.#visit(this.#machine.start());
    } catch (error) {
      if (!(error instanceof StopSearch)) throw error;
      this.#complete = false;
    }
  }

  #visit(state: MachineState): number {
    const key = state.key();
    const known = this.#schedulesFrom.get(key);
    if (known !== undefined) return known;
    if (this.#schedulesFrom.size >= this.#limits.maxStates) throw new StopSearch();
    this.#stopOn(this.#judge.judge(state));
    const steps = this.#machine.enabled(state);
    const count = steps.length === 0 ? this.#finish(state) : this.#visitAfter(state, steps);
    this.#schedulesFrom.set(key, count);
    return count;
  }

  #visitAfter(state: MachineState, steps: readonly Step[]): number {
    let count = 0;
    for (const step of steps) {
      if (state.preemptions >= this.#limits.maxPreemptions && this.#machine.preempts(state, step)) continue;
      this.#path.push(step);
      count += this.#visit(this.#machine.take(state, step));
      this.#path.pop();
    }
    return count;
  }

  #finish(state: MachineState): number {
    this.#stopOn(this.#judge.judgeEnd(state));
    this.#outcomes.add(this.#judge.outcomeOf(state));
    return 1;
  }

  #stopOn(verdict: Verdict | null): void {
    if (verdict === null) return;
    this.#verdict = verdict;
    throw new StopSearch();
  }
}
