import {
  exploreInterleavings,
  formatReport,
  type InterleaveFailure,
  type InterleaveProgram,
  type MemoryModel,
  replaySchedule,
  verifyInterleavings,
} from "@netmem/testing";
import { expect } from "vitest";

/** Explores a correct program under every memory model and prints what that took. */
export function expectCorrect<Context>(name: string, program: InterleaveProgram<Context>): void {
  const start = performance.now();
  const reports = verifyInterleavings(program);
  console.log(`${name}: ${reports.map(formatReport).join("; ")} (${(performance.now() - start).toFixed(0)} ms)`);
  for (const report of reports) expect(report).toMatchObject({ complete: true, failure: null });
}

/** As {@link expectCorrect} without the weak model, whose states are a hundred times as many. */
export function expectCorrectQuickly<Context>(name: string, program: InterleaveProgram<Context>): void {
  const reports = (["sc", "tso"] as const).map((memory) => exploreInterleavings(program, { memory }));
  console.log(`${name}: ${reports.map(formatReport).join("; ")}`);
  for (const report of reports) expect(report).toMatchObject({ complete: true, failure: null });
}

/** Explores a program with a bug under one memory model; the failure must be of that kind, and replay to itself. */
export function expectBug<Context>(
  program: InterleaveProgram<Context>,
  memory: MemoryModel,
  kind: InterleaveFailure["kind"],
): InterleaveFailure {
  const { failure } = exploreInterleavings(program, { memory });
  if (failure === null) throw new Error(`no failure found under ${memory}`);
  expect(failure.kind, failure.message).toBe(kind);
  expect(replaySchedule(program, failure.schedule)).toEqual({ failure, trace: failure.trace });
  return failure;
}

/** Memory models under which a failure is found that is no data race; races are allowed for that. */
export function failsIn<Context>(program: InterleaveProgram<Context>): string {
  const models: readonly MemoryModel[] = ["sc", "tso", "weak"];
  const racy = { ...program, forbidRaces: false };
  return models.filter((memory) => exploreInterleavings(racy, { memory }).failure !== null).join(" ");
}

/** For loops that wait: `Atomics.pause` is newer than the library types. */
export function pause(): void {
  (Atomics as unknown as { pause(): void }).pause();
}

/**
 * Code under another `Atomics`: what ships is run with one of its calls made wrong. `change` is given the `Atomics` of
 * the explorer and returns the methods that replace some of its own.
 */
export function withAtomics<Result>(
  change: (atomics: typeof Atomics) => Partial<typeof Atomics>,
  code: () => Result,
): Result {
  const before = globalThis.Atomics;
  globalThis.Atomics = Object.assign({ ...before }, change(before));
  try {
    return code();
  } finally {
    globalThis.Atomics = before;
  }
}

/** For {@link withAtomics}: the loads or stores of one word, which ship as atomic ones, made plain. */
export const plainLoad =
  (word: number) =>
  (atomics: typeof Atomics): Partial<typeof Atomics> => ({
    load: ((i32: Int32Array, at: number) => (at === word ? i32[at]! : atomics.load(i32, at))) as typeof Atomics.load,
  });
export const plainStore =
  (word: number) =>
  (atomics: typeof Atomics): Partial<typeof Atomics> => ({
    store: ((i32: Int32Array, at: number, value: number) =>
      at === word ? (i32[at] = value) : atomics.store(i32, at, value)) as typeof Atomics.store,
  });
