/** `node tools/check-start.ts FILE LOOPS`: whether the report of `pnpm start --json --loop LOOPS` says that all went well. */

import { readFileSync } from "node:fs";
import { startProblems } from "./ci/start-report.ts";

const path = process.argv[2] ?? ".report/start.json";
const problems = startProblems(readFileSync(path, "utf8"), Number(process.argv[3] ?? 1));
for (const problem of problems) console.log(`FAILED: ${problem}`);
if (problems.length === 0) console.log("start --json: every packet verified, no buffer in flight");
process.exitCode = problems.length > 0 ? 1 : 0;
