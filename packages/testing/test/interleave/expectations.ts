import { expect } from "vitest";
import {
  exploreInterleavings,
  formatReport,
  type InterleaveFailure,
  type InterleaveProgram,
  type InterleaveReport,
  type MemoryModel,
  replaySchedule,
  verifyInterleavings,
} from "../../src/index.ts";

/** Explores a correct program under every memory model and prints what that took. */
export function expectCorrect<Context>(name: string, program: InterleaveProgram<Context>): readonly InterleaveReport[] {
  const start = performance.now();
  const reports = verifyInterleavings(program);
  const elapsedMs = performance.now() - start;
  console.log(`${name}: ${reports.map(formatReport).join("; ")} (${elapsedMs.toFixed(0)} ms)`);
  for (const report of reports) expect(report).toMatchObject({ complete: true, failure: null });
  return reports;
}

/** Explores a program with a bug under one memory model; the failure must be of that kind, and replay to itself. */
export function expectBug<Context>(
  program: InterleaveProgram<Context>,
  memory: MemoryModel,
  kind: InterleaveFailure["kind"],
): InterleaveFailure {
  const { failure, complete } = exploreInterleavings(program, { memory });
  if (failure === null) throw new Error(`no failure found under ${memory}`);
  expect(failure.kind).toBe(kind);
  expect(complete).toBe(false);
  expect(replaySchedule(program, failure.schedule)).toEqual({ failure, trace: failure.trace });
  return failure;
}

/** Memory models under which a failure is found. */
export function failsIn<Context>(program: InterleaveProgram<Context>): string {
  const models: readonly MemoryModel[] = ["sc", "tso", "weak"];
  return models.filter((memory) => exploreInterleavings(program, { memory }).failure !== null).join(" ");
}

/** For spin loops: `Atomics.pause` is newer than the library types. */
export function pause(): void {
  (Atomics as unknown as { pause(): void }).pause();
}
