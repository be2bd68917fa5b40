import { type AccessRecord } from "./access-record.ts";
import { type Machine } from "./machine.ts";
import { type MachineState } from "./machine-state.ts";
import { type FinalState, type InterleaveProgram } from "./program.ts";
import { type WordNames } from "./word-names.ts";

export type FailureKind =
  /** A thread threw. */
  | "assertion"
  /** `check` threw at the end. */
  | "check"
  /** `invariant` threw. */
  | "invariant"
  /** Threads sleep, and nobody is left to wake them: a lost wake-up. */
  | "deadlock"
  /** A thread spins and nobody changes anything, or it did more operations than the bound. */
  | "livelock"
  /** Two accesses that nothing orders, one plain, one a write, where the program forbids that. */
  | "race";

export interface Verdict {
  readonly kind: FailureKind;
  readonly message: string;
}

/** Judges the states of a program. */
export class Judge {
  readonly #program: InterleaveProgram<unknown>;
  readonly #machine: Machine;
  readonly #names: WordNames;
  readonly #maxSteps: number;

  constructor(program: InterleaveProgram<unknown>, machine: Machine, names: WordNames, maxSteps: number) {
    this.#program = program;
    this.#machine = machine;
    this.#names = names;
    this.#maxSteps = maxSteps;
  }

  /** What is wrong with a state, whatever comes after it; null if nothing is. */
  judge(state: MachineState): Verdict | null {
    return this.#judgeThreads(state) ?? this.#judgeRace(state) ?? this.#judgeInvariant(state);
  }

  /** Judges a state that no step leaves. */
  judgeEnd(state: MachineState): Verdict | null {
    return this.#judgeStuck(state) ?? thrownBy("check", () => this.#program.check?.(this.finalState(state)));
  }

  finalState(state: MachineState): FinalState {
    const results: Record<string, unknown> = {};
    for (const [thread, { node }] of state.threads.entries()) {
      if (node.end?.kind === "returned") results[this.#nameOf(thread)] = node.end.value;
    }
    return { i32: state.memory.slice(), results };
  }

  outcomeOf(state: MachineState): string {
    const end = this.finalState(state);
    return this.#program.outcome?.(end) ?? JSON.stringify(end.results);
  }

  #judgeThreads(state: MachineState): Verdict | null {
    for (const [thread, { node }] of state.threads.entries()) {
      if (node.end?.kind === "threw") {
        return { kind: "assertion", message: `${this.#nameOf(thread)} threw: ${messageOf(node.end.error)}` };
      }
      if (node.depth > this.#maxSteps) {
        return { kind: "livelock", message: `${this.#nameOf(thread)} did more than ${this.#maxSteps} operations` };
      }
    }
    return null;
  }

  #judgeRace({ race }: MachineState): Verdict | null {
    if (race === null) return null;
    const access = ({ thread, writes, plain }: AccessRecord): string =>
      `the ${plain ? "plain" : "atomic"} ${writes ? "write" : "read"} of ${this.#nameOf(thread)}`;
    const message = `${this.#names.label(race.at)}: nothing orders ${access(race.earlier)} and ${access(race.later)}`;
    return { kind: "race", message };
  }

  #judgeInvariant(state: MachineState): Verdict | null {
    if (this.#program.invariant === undefined) return null;
    return thrownBy("invariant", () => this.#program.invariant?.(state.memory.slice()));
  }

  #judgeStuck(state: MachineState): Verdict | null {
    const stuck = state.threads.flatMap(({ node }, thread) => (node.operation === null ? [] : [thread]));
    if (stuck.length === 0) return null;
    const asleep = stuck.filter((thread) => state.isAsleep(thread));
    const parts = stuck.map((thread) => {
      const name = this.#nameOf(thread);
      if (!asleep.includes(thread)) return `${name} spins`;
      return `${name} sleeps on ${this.#names.label(state.thread(thread).node.operation?.at ?? -1)}`;
    });
    const kind = asleep.length > 0 ? "deadlock" : "livelock";
    return { kind, message: `${parts.join(", ")}, and nobody is left to change that` };
  }

  #nameOf(thread: number): string {
    return this.#machine.threadNames[thread] ?? `${thread}`;
  }
}

function thrownBy(kind: FailureKind, code: () => void): Verdict | null {
  try {
    code();
    return null;
  } catch (error) {
    return { kind, message: messageOf(error) };
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
