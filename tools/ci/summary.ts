/** A stage of `.ci/run`, as its line in stages.tsv says. */
export interface Stage {
  readonly name: string;
  readonly status: number;
  readonly seconds: number;
}

/** What we read of vitest's JSON report. */
export interface TestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
}

export interface Totals {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly problems: readonly string[];
}

/** Stages that `.ci/run` must have reached; a run that died before one of them is not green. */
export const STAGES: readonly string[] = [
  "prepare",
  "install",
  "check",
  "test",
  "mutants",
  "soak",
  "packages",
  "bench",
  "start",
  "start-json",
  "fresh-clone",
  "leftovers",
];

export function parseStages(tsv: string): Stage[] {
  return tsv
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [name = "", status, seconds] = line.split("\t");
      return { name, status: Number(status ?? 1), seconds: Number(seconds ?? 0) };
    });
}

/**
 * Tests count one by one, every other stage counts as one. A stage of tests that failed although each of its tests
 * passed (a crash, a skip without a reason) counts as one failure more.
 */
export function summarize(
  stages: readonly Stage[],
  reports: Readonly<Record<string, TestReport | undefined>>,
  expected: readonly string[] = STAGES,
): Totals {
  const totals = { passed: 0, failed: 0, skipped: 0, problems: [] as string[] };
  const problem = (text: string): void => {
    totals.failed++;
    totals.problems.push(text);
  };
  for (const name of expected) {
    const stage = stages.find((one) => one.name === name);
    const report = reports[name];
    if (report !== undefined) addReport(totals, report);
    if (stage === undefined) problem(`stage ${name} did not run`);
    else if (name in reports && report === undefined) problem(`stage ${name} left no report`);
    else if (stage.status !== 0 && (report?.numFailedTests ?? 0) === 0) problem(`stage ${name}`);
    else if (stage.status === 0 && !(name in reports)) totals.passed++;
  }
  return totals;
}

function addReport(totals: { passed: number; failed: number; skipped: number }, report: TestReport): void {
  totals.passed += report.numPassedTests;
  totals.failed += report.numFailedTests;
  totals.skipped += report.numPendingTests + report.numTodoTests;
}

export function formatTotals({ passed, failed, skipped }: Totals): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}
