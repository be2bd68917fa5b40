/** `pnpm check`: everything that needs no run of the code. All steps run; the exit code says whether one failed. */

import { spawnSync } from "node:child_process";

const STEPS: readonly (readonly [command: string, ...args: string[]])[] = [
  ["tsc", "-b"],
  ["oxlint", "--type-aware"],
  ["oxfmt", "--check", "."],
  ["turbo", "boundaries"],
  ["node", "tools/tidy.ts"],
];

const env = { ...process.env, TURBO_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1" };

function passes([command, ...args]: (typeof STEPS)[number]): boolean {
  const startMs = performance.now();
  const { status } = spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"], env });
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  console.log(`check: ${[command, ...args].join(" ")}: ${status === 0 ? "ok" : "FAILED"} (${seconds} s)\n`);
  return status === 0;
}

const failed = STEPS.filter((step) => !passes(step));
if (failed.length > 0) console.log(`check: FAILED: ${failed.map((step) => step.join(" ")).join(", ")}`);
process.exitCode = failed.length > 0 ? 1 : 0;
