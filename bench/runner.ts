/** Runs the rows of a suite, every one in processes of its own, taking turns so that a noisy minute hits all alike. */

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { buildNative, nativeEnv } from "./native.ts";
import type { DerivedRow, NativeRow, Row, SampleOptions, ScriptRow, Suite, TimedSample } from "./suite.ts";

const execute = promisify(execFile);
const VARIANT = fileURLToPath(new URL("variant.ts", import.meta.url));
const CHILD_TIMEOUT_MS = 120_000;

export interface RunPlan {
  /** Samples per row, over all its processes. */
  readonly samples: number;
  readonly samplesPerProcess: number;
  readonly minMs: number;
  /** Called with one line of text when a round begins. */
  readonly progress: (line: string) => void;
}

/** What became of a row: its raw samples in the order taken, by round, or why it has none. */
export type RowOutcome =
  | { readonly kind: "measured"; readonly rounds: readonly (readonly number[])[] }
  | { readonly kind: "absent"; readonly reason: string }
  | { readonly kind: "failed"; readonly reason: string };

/** What one process printed. */
type RunOutcome =
  | { readonly kind: "measured"; readonly lines: readonly SampleLine[] }
  | { readonly kind: "absent"; readonly reason: string }
  | { readonly kind: "failed"; readonly reason: string };

interface SampleLine extends Partial<TimedSample> {
  readonly absent?: string;
}

/** Every other round goes backwards, so that of two rows each is first as often as the other. */
export async function runSuite(suite: Suite, plan: RunPlan): Promise<ReadonlyMap<Row, RowOutcome>> {
  const outcomes = new Map<Row, RowOutcome>(suite.rows.map((row) => [row, { kind: "measured", rounds: [] }]));
  const forwards = suite.rows.filter((row): row is RunRow => row.kind !== "derived");
  const rounds = Math.ceil(plan.samples / plan.samplesPerProcess);
  for (let round = 0; round < rounds; round++) {
    plan.progress(`${suite.name}: round ${round + 1} of ${rounds}`);
    const samples = Math.min(plan.samplesPerProcess, plan.samples - round * plan.samplesPerProcess);
    for (const row of round % 2 === 0 ? forwards : forwards.toReversed()) {
      if (outcomes.get(row)?.kind !== "measured") continue;
      const now = await runRow(suite, row, { samples, minMs: plan.minMs });
      for (const one of suite.rows) {
        if (one === row || (one.kind === "derived" && one.from === row.name)) take(outcomes, one, now);
      }
    }
  }
  return outcomes;
}

type RunRow = ScriptRow | NativeRow;

/** Adds what a process printed to the outcome of a row that it measured. */
function take(outcomes: Map<Row, RowOutcome>, row: Row, now: RunOutcome): void {
  const before = outcomes.get(row);
  if (now.kind !== "measured") outcomes.set(row, now);
  else if (before?.kind === "measured") {
    const metric: DerivedRow["metric"] = row.kind === "derived" ? row.metric : "ns";
    const round = now.lines.flatMap((line) => line[metric] ?? []);
    outcomes.set(row, { kind: "measured", rounds: [...before.rounds, round] });
  }
}

async function runRow(suite: Suite, row: RunRow, options: SampleOptions): Promise<RunOutcome> {
  return row.kind === "native" ? await runNative(row, options) : await runScript(suite, row, options);
}

async function runScript(suite: Suite, row: ScriptRow, options: SampleOptions): Promise<RunOutcome> {
  const limits = ["--samples", String(options.samples), "--min-ms", String(options.minMs)];
  try {
    const child = await execute(process.execPath, [VARIANT, suite.name, row.name, ...limits], {
      timeout: CHILD_TIMEOUT_MS,
    });
    return parseLines(child.stdout);
  } catch (error) {
    return { kind: "failed", reason: reasonOf(error) };
  }
}

/** A yardstick that stops half-way says something about the machine, not about us: absent, never failed. */
async function runNative(row: NativeRow, options: SampleOptions): Promise<RunOutcome> {
  const built = await buildNative(row.program);
  if (built.kind === "absent") return built;
  try {
    const child = await execute(built.path, [row.mode, String(options.samples), String(options.minMs)], {
      timeout: CHILD_TIMEOUT_MS,
      env: nativeEnv(),
    });
    return parseLines(child.stdout);
  } catch (error) {
    return { kind: "absent", reason: reasonOf(error) };
  }
}

function parseLines(stdout: string): RunOutcome {
  const lines = stdout.split("\n").filter((line) => line !== "");
  const parsed = lines.map((line) => JSON.parse(line) as SampleLine);
  const reason = parsed.find((line) => line.absent !== undefined)?.absent;
  if (reason !== undefined) return { kind: "absent", reason };
  if (parsed.length === 0) throw new Error("printed no samples");
  return { kind: "measured", lines: parsed };
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const stderr = "stderr" in error ? String(error.stderr).trim() : "";
  // Node prints the offending source line before the error itself.
  const lines = stderr.split("\n");
  return lines.find((line) => /^\w*Error\b/.test(line)) ?? (stderr === "" ? error.message : (lines[0] ?? ""));
}
