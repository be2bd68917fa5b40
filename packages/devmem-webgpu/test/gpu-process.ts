import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { GpuAdapterInfo } from "../src/index.ts";
import { softwareDriverEnv } from "../src/software-driver.ts";
import type { CaseResult } from "./run-suites.ts";

/** What the scripts of this folder print; each has its own part. */
export interface ChildOutcome {
  /** Why there is no GPU; the rest is absent then. */
  readonly reason?: string;
  readonly info?: GpuAdapterInfo;
  readonly results?: readonly CaseResult[];
  readonly isAlive?: boolean;
  readonly codes?: readonly string[];
  readonly landed?: readonly number[];
  readonly printed?: readonly string[];
}

/** The system's own driver, then a software one. */
const environments = (): readonly object[] => {
  const software = softwareDriverEnv();
  return software === null ? [{}] : [{}, software];
};

/**
 * Runs a script of this folder in a process of its own, with the first driver that there is: a crash is its crash alone. Its
 * last line is JSON.
 */
export function runWithGpu(script: string): ChildOutcome {
  const path = fileURLToPath(new URL(script, import.meta.url));
  let outcome: ChildOutcome = {};
  for (const extra of environments()) {
    const { stdout, stderr, status, signal } = spawnSync(process.execPath, ["--expose-gc", path], {
      env: { ...process.env, ...extra },
      encoding: "utf8",
      timeout: 110_000,
    });
    if (status !== 0) throw new Error(`${script}: status ${status}, signal ${signal}\n${stdout}\n${stderr}`);
    outcome = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as ChildOutcome;
    if (outcome.reason === undefined) return outcome;
  }
  return { reason: `${outcome.reason}; nor is there a software driver (Debian's package chromium has one)` };
}
