/** What a run says: one object for machines, an aligned table for people. */

import type { Machine } from "./machine.ts";
import type { RowOutcome } from "./runner.ts";
import { medianInterval, meets, quantile, summarize } from "./stats.ts";
import type { Bar, Ratio, Row, Suite } from "./suite.ts";

export interface RowReport {
  readonly name: string;
  readonly unit: string;
  readonly median: number | null;
  readonly p10: number | null;
  readonly p90: number | null;
  readonly samples: readonly number[];
  /** Why there are no samples: the machine lacks something. */
  readonly absent?: string;
  /** Why there are no samples: the row itself broke. */
  readonly failed?: string;
}

export interface RatioReport {
  readonly name: string;
  /** Null where one of the two rows has no samples. */
  readonly value: number | null;
  /** Between these the ratio lies with 95 % probability, by the ratios of the single rounds; null without value. */
  readonly low: number | null;
  readonly high: number | null;
  readonly of: readonly [string, string];
  readonly bar?: Bar;
  readonly at?: "low" | "high";
  /** Null where there is no value. */
  readonly met?: boolean | null;
}

export interface SuiteReport {
  readonly suite: string;
  readonly rows: readonly RowReport[];
  readonly ratios: readonly RatioReport[];
}

export interface Report {
  readonly machine: Machine;
  readonly suites: readonly SuiteReport[];
}

export function reportSuite(suite: Suite, outcomes: ReadonlyMap<Row, RowOutcome>): SuiteReport {
  const rows = [...outcomes].map(([row, outcome]) => reportRow(row, outcome));
  const medians = new Map(rows.map((row) => [row.name, row.median]));
  const rounds = new Map([...outcomes].map(([row, outcome]) => [row.name, roundMedians(outcome)]));
  return { suite: suite.name, rows, ratios: suite.ratios.map((ratio) => reportRatio(ratio, medians, rounds)) };
}

function roundMedians(outcome: RowOutcome): readonly number[] {
  return outcome.kind === "measured" ? outcome.rounds.map((samples) => quantile(samples, 0.5)) : [];
}

function reportRow({ name, unit }: Row, outcome: RowOutcome): RowReport {
  if (outcome.kind === "measured") {
    const samples = outcome.rounds.flat();
    return { name, unit, ...summarize(samples), samples };
  }
  return { name, unit, median: null, p10: null, p90: null, samples: [], [outcome.kind]: outcome.reason };
}

function reportRatio(
  ratio: Ratio,
  medians: ReadonlyMap<string, number | null>,
  rounds: ReadonlyMap<string, readonly number[]>,
): RatioReport {
  const [above, below] = ratio.of.map((name) => medians.get(name) ?? null);
  if (typeof above !== "number" || typeof below !== "number") {
    return { ...ratio, value: null, low: null, high: null, ...(ratio.bar === undefined ? {} : { met: null }) };
  }
  const value = above / below;
  const [aboveRounds, belowRounds] = ratio.of.map((name) => rounds.get(name) ?? []);
  const pairs = aboveRounds!.map((one, n) => one / belowRounds![n]!);
  const { low, high } = medianInterval(pairs);
  const judged = { value, low, high }[ratio.at ?? "value"];
  return { ...ratio, value, low, high, ...(ratio.bar === undefined ? {} : { met: meets(judged, ratio.bar) }) };
}

export function missedBars(report: Report): RatioReport[] {
  return report.suites.flatMap((suite) => suite.ratios.filter((ratio) => ratio.met === false));
}

export function failedRows(report: Report): RowReport[] {
  return report.suites.flatMap((suite) => suite.rows.filter((row) => row.failed !== undefined));
}

export function renderText({ machine, suites }: Report): string {
  const where = `${machine.cpu}, ${machine.cores} cores, ${machine.kernel}, Node ${machine.node} (V8 ${machine.v8})`;
  const when = `${machine.date}, load ${machine.load.toFixed(2)}`;
  return [where, when, ...suites.flatMap(renderSuite)].join("\n");
}

function renderSuite(suite: SuiteReport): string[] {
  const rows = renderTable([[suite.suite, "median", "p10", "p90", "unit", ""], ...suite.rows.map(rowCells)]);
  if (suite.ratios.length === 0) return ["", ...rows];
  return [
    "",
    ...rows,
    "",
    ...renderTable([["ratio", "value", "low", "high", "bar", "", "of"], ...suite.ratios.map(ratioCells)]),
  ];
}

function rowCells(row: RowReport): string[] {
  return [row.name, figure(row.median), figure(row.p10), figure(row.p90), row.unit, noteOn(row)];
}

function noteOn(row: RowReport): string {
  if (row.absent !== undefined) return `absent: ${row.absent}`;
  if (row.failed !== undefined) return `FAILED: ${row.failed}`;
  return `n = ${row.samples.length}`;
}

function ratioCells(ratio: RatioReport): string[] {
  const { name, value, low, high, bar = "", at } = ratio;
  const judged = at === undefined ? bar : `${bar} (${at})`;
  return [name, figure(value), figure(low), figure(high), judged, verdict(ratio), ratio.of.join(" / ")];
}

function verdict(ratio: RatioReport): string {
  if (ratio.met === undefined) return "";
  if (ratio.met === null) return "not measured";
  return ratio.met ? "met" : "missed";
}

function figure(value: number | null): string {
  return value === null ? "-" : value.toFixed(2);
}

/** Pads every column; those that hold figures are set to the right. */
function renderTable(table: readonly (readonly string[])[]): string[] {
  const columns = table[0]?.length ?? 0;
  const widths = Array.from({ length: columns }, (_, at) => Math.max(...table.map((cells) => cells[at]?.length ?? 0)));
  const isRight = widths.map((_, at) => table.slice(1).every((cells) => isFigure(cells[at])));
  const pad = (text: string, at: number): string =>
    isRight[at] ? text.padStart(widths[at] ?? 0) : text.padEnd(widths[at] ?? 0);
  return table.map((cells) => cells.map(pad).join("  ").trimEnd());
}

function isFigure(cell: string | undefined): boolean {
  return cell !== undefined && /^(-|[\d.]+)$/.test(cell);
}
