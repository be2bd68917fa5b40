/** A thread of the scaling rows: does as much of one thing as it is asked to, and says how long that took. */

import type { SharedHost } from "@netmem/core";
import { attachHost, createPagePool } from "netmem";
import { parentPort, workerData } from "node:worker_threads";
import { compute, recycle } from "./subject.ts";

export interface ScalingInput {
  /** Null for plain arithmetic. */
  readonly shared: SharedHost | null;
}

const { shared } = workerData as ScalingInput;
const pool = shared === null ? null : createPagePool(attachHost(shared), { poolSize: 1024 });
const run = (turns: number): number => (pool === null ? compute(1, turns) : recycle(pool, turns));

parentPort?.on("message", (turns: number) => {
  const from = performance.now();
  const sum = run(turns);
  const tookMs = performance.now() - from;
  parentPort?.postMessage({ nsPerTurn: (tookMs * 1e6) / turns, sum });
});
parentPort?.postMessage("ready");
