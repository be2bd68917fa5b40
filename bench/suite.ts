/** What a suite is made of. A suite author writes rows and ratios; everything else is the harness. */

import type { NativeProgram } from "./native.ts";

export interface SampleOptions {
  /** How many samples to return. */
  readonly samples: number;
  /** The least time one sample covers, in milliseconds. */
  readonly minMs: number;
}

/** A sample of several figures, each of one operation: time, time of the thread on a CPU, part of it outside the kernel. */
export interface TimedSample {
  readonly ns: number;
  readonly cpuNs: number;
  readonly userNs: number;
}
export type Metric = keyof TimedSample;

/** Warms up and returns raw samples, each one the time of one operation in the row's unit. */
export type Measure = (options: SampleOptions) => readonly Sample[] | Promise<readonly Sample[]>;
export type Sample = number | TimedSample;

/** What a machine lacks, thrown by a {@link Measure}: the row is absent then, not broken. */
export class AbsentError extends Error {
  override readonly name = "AbsentError";
}

interface RowBase {
  readonly name: string;
  /** What one sample counts, such as "ns/op" or "ns/packet". */
  readonly unit: string;
}

/** A row that runs in a Node process of its own. Most are made by `loopRow`. */
export interface ScriptRow extends RowBase {
  readonly kind: "script";
  readonly measure: Measure;
}

/** A row that a C program measures, started with the mode, the sample count and the least time of a sample. */
export interface NativeRow extends RowBase {
  readonly kind: "native";
  readonly program: NativeProgram;
  readonly mode: string;
}

/** Another figure of the runs of row `from`. */
export interface DerivedRow extends RowBase {
  readonly kind: "derived";
  readonly from: string;
  readonly metric: Metric;
}

export type Row = ScriptRow | NativeRow | DerivedRow;

/** A bar the ratio should meet. It is printed as met or missed; only `--strict` turns a miss into an exit status. */
export type Bar = `<=${number}` | `>=${number}`;

/** `value = median(of[0]) / median(of[1])`, with an interval from the rounds, each of which measured both rows. */
export interface Ratio {
  readonly name: string;
  readonly of: readonly [string, string];
  readonly bar?: Bar;
  /** What must meet the bar. Default: the value. */
  readonly at?: "low" | "high";
}

export interface Suite {
  readonly name: string;
  readonly rows: readonly Row[];
  readonly ratios: readonly Ratio[];
}

/** Refuses a suite with two rows of one name, or a ratio of a row that is not there. */
export function checkSuite(suite: Suite): void {
  const names = new Set(suite.rows.map((row) => row.name));
  if (names.size !== suite.rows.length) throw new Error(`suite ${suite.name} has two rows of one name`);
  for (const ratio of suite.ratios) {
    const unknown = ratio.of.find((name) => !names.has(name));
    if (unknown !== undefined) throw new Error(`suite ${suite.name}: ratio ${ratio.name} names no row: ${unknown}`);
  }
  for (const row of suite.rows) {
    if (row.kind === "derived" && !names.has(row.from)) {
      throw new Error(`suite ${suite.name}: row ${row.name} is derived from no row: ${row.from}`);
    }
  }
}
