import { expect, it } from "vitest";
import { startProblems } from "../ci/start-report.ts";
import { formatTotals, parseStages, summarize } from "../ci/summary.ts";

const report = (numPassedTests: number, numFailedTests: number, numPendingTests = 0) => ({
  numPassedTests,
  numFailedTests,
  numPendingTests,
  numTodoTests: 0,
});

const EXPECTED = ["check", "test"];

function line(tsv: string, test: ReturnType<typeof report> | undefined): string {
  return formatTotals(summarize(parseStages(tsv), { test }, EXPECTED));
}

it("tests count one by one, other stages as one", () => {
  expect(line("check\t0\t3\ntest\t0\t9\n", report(40, 0))).toBe("41 passed, 0 failed");
  expect(line("check\t0\t3\ntest\t0\t9\n", report(40, 0, 2))).toBe("41 passed, 0 failed, 2 skipped");
  expect(line("check\t2\t3\ntest\t1\t9\n", report(40, 3))).toBe("40 passed, 4 failed");
});

it("a stage of tests that failed without a failing test is a failure", () => {
  expect(line("check\t0\t3\ntest\t1\t9\n", report(40, 0))).toBe("41 passed, 1 failed");
});

it("what is missing is a failure", () => {
  expect(line("check\t0\t3\ntest\t0\t9\n", undefined)).toBe("1 passed, 1 failed");
  expect(line("check\t0\t3\n", report(40, 0))).toBe("41 passed, 1 failed");
  expect(line("", undefined)).toBe("0 passed, 2 failed");
});

const start = (change: object) =>
  startProblems(
    JSON.stringify({
      capture: { packets: 5 },
      verified: { packets: 10, crcErrors: 0 },
      queues: [{ inFlight: 0 }],
      ...change,
    }),
    2,
  );

it("the report of start: every packet verified, nothing in flight", () => {
  expect(start({})).toEqual([]);
  expect(start({ verified: { packets: 9, crcErrors: 0 } })).toHaveLength(1);
  expect(start({ verified: { packets: 10, crcErrors: 1 } })).toHaveLength(1);
  expect(start({ verified: { packets: 10 } })).toEqual(["no crcErrors in the report"]);
  expect(start({ queues: [{ inFlight: 0 }, { inFlight: 3 }] })).toHaveLength(1);
  expect(start({ capture: { packets: 0 }, verified: { packets: 0, crcErrors: 0 } })).toHaveLength(1);
  expect(startProblems("> start\n{}", 1)).toHaveLength(1);
});
