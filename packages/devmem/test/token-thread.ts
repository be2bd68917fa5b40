import { attachHost, type SharedHost } from "@netmem/core";
import { parentPort, workerData } from "node:worker_threads";
import { TokenReturner } from "../src/index.ts";

/** Gives back every token that is posted to it, through the ring, in the order in which they come. */
const { shared, ringAt } = workerData as { shared: SharedHost; ringAt: number };
const clock = { nowMs: () => performance.now(), setTimer: () => 0, clearTimer: () => {} };
const host = attachHost(shared, { clock });
const app = new TokenReturner(host, ringAt);
parentPort?.on("message", (tokens: readonly number[]) => {
  for (const token of tokens)
    while (!app.give(token, 1)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
  while (!app.flush()) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
});
parentPort?.postMessage("ready");
