/** The last line of `.ci/run`: sums the reports of its stages. A stage or a report that is missing is a failure. */

import { readFileSync, writeFileSync } from "node:fs";
import { formatTotals, parseStages, summarize, type TestReport } from "./ci/summary.ts";

const REPORTS = ".report";

function read(name: string): string | undefined {
  try {
    return readFileSync(`${REPORTS}/${name}`, "utf8");
  } catch {
    return undefined;
  }
}

function readReport(name: string): TestReport | undefined {
  try {
    return JSON.parse(read(name) ?? "") as TestReport;
  } catch {
    return undefined;
  }
}

const stages = parseStages(read("stages.tsv") ?? "");
const totals = summarize(stages, { test: readReport("vitest.json"), soak: readReport("soak.json") });

for (const { name, status, seconds } of stages) {
  console.log(`${name.padEnd(12)} ${status === 0 ? "ok" : "FAILED"} ${seconds} s`);
}
for (const problem of totals.problems) console.log(`FAILED: ${problem}`);
const line = formatTotals(totals);
writeFileSync(`${REPORTS}/summary`, `${line}\n`);
console.log(line);
process.exitCode = totals.failed > 0 ? 1 : 0;
