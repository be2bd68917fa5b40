/** How every script row is warmed up and timed: the same loop for ours and for theirs. */

import type { SampleOptions, ScriptRow } from "./suite.ts";

const STABLE_CHUNKS = 3;
const STABLE_SPREAD = 1.05;
const MAX_WARM_UP_MS = 500;

export interface LoopParams<Subject> {
  readonly name: string;
  /** "ns/op" unless told. */
  readonly unit?: string;
  /** The least time a sample of this row covers, where the usual is too short for it. */
  readonly minMs?: number;
  /** Operations one turn of the loop does: 64 for a burst of 64. 1 unless told. */
  readonly opsPerTurn?: number;
  /** Makes what is measured. Called once per process. */
  readonly setup: () => Subject;
  /**
   * Runs `turns` turns and returns an integer that depends on every one of them, so that nothing can be optimised away.
   * The subject arrives as an argument because V8 folds a module constant into the machine code, which would favour
   * whichever side is written that way.
   */
  readonly run: (subject: Subject, turns: number) => number;
}

/** A row that repeats a loop over one subject. */
export function loopRow<Subject>(params: LoopParams<Subject>): ScriptRow {
  const { name, unit = "ns/op", opsPerTurn = 1, minMs = 0, setup, run } = params;
  return {
    kind: "script",
    name,
    unit,
    measure: (options) => {
      const subject = setup();
      return takeSamples((turns) => timeMs(run, subject, turns), opsPerTurn, {
        samples: options.samples,
        minMs: Math.max(minMs, options.minMs),
      });
    },
  };
}

function timeMs<Subject>(run: LoopParams<Subject>["run"], subject: Subject, turns: number): number {
  const from = performance.now();
  const sum = run(subject, turns);
  const took = performance.now() - from;
  if (!Number.isInteger(sum)) throw new Error(`the loop returned ${sum}, not an integer`);
  return took;
}

type TimedTurns = (turns: number) => number;

function takeSamples(time: TimedTurns, opsPerTurn: number, options: SampleOptions): number[] {
  warmUp(time, options.minMs);
  const turns = turnsFor(time, options.minMs / 4);
  return Array.from({ length: options.samples }, () => (chunk(time, turns, options.minMs) * 1e6) / opsPerTurn);
}

/** Milliseconds per turn, over at least `minMs`. */
function chunk(time: TimedTurns, turns: number, minMs: number): number {
  let took = 0;
  let done = 0;
  while (took < minMs) {
    took += time(turns);
    done += turns;
  }
  return took / done;
}

/** The number of turns that takes at least `wantMs`. */
function turnsFor(time: TimedTurns, wantMs: number): number {
  let turns = 1;
  for (;;) {
    const took = time(turns);
    if (took >= wantMs) return turns;
    turns = took < wantMs / 10 ? turns * 8 : Math.ceil((turns * wantMs * 1.1) / took);
  }
}

/** Runs chunks until the last few agree, or for so long that waiting for a quieter machine is pointless. */
function warmUp(time: TimedTurns, minMs: number): void {
  const recent: number[] = [];
  const until = performance.now() + MAX_WARM_UP_MS;
  while (performance.now() < until && !isSettled(recent)) {
    recent.push(chunk(time, turnsFor(time, minMs / 4), minMs));
    if (recent.length > STABLE_CHUNKS) recent.shift();
  }
}

function isSettled(recent: readonly number[]): boolean {
  return recent.length === STABLE_CHUNKS && Math.max(...recent) <= Math.min(...recent) * STABLE_SPREAD;
}
