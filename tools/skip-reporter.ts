import type { Reporter, TestCase } from "vitest/node";

/** Prints why a test was skipped; a skip without a reason fails the run. */
export class SkipReporter implements Reporter {
  onTestCaseResult(test: TestCase): void {
    const result = test.result();
    if (result.state !== "skipped") return;
    const note = result.note;
    if (note === undefined || note === "") {
      process.exitCode = 1;
      console.error(`SKIPPED WITHOUT A REASON: ${test.fullName}`);
      return;
    }
    console.log(`skipped: ${test.fullName}: ${note}`);
  }
}
