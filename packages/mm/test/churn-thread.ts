import { attachHost, type SharedHost } from "@netmem/core";
import { Prng } from "@netmem/testing";
import { parentPort, workerData } from "node:worker_threads";
import { attachPageAllocator } from "../src/index.ts";
import { churn } from "./churn.ts";

/** What a thread of the churn tests is started with. */
export interface ChurnInput {
  readonly shared: SharedHost;
  /** Slots through which pages change hands, 0 = empty. */
  readonly mailbox: Int32Array;
  readonly seed: number;
  /** Infinity: until somebody ends the thread. */
  readonly rounds: number;
}

const { shared, mailbox, seed, rounds } = workerData as ChurnInput;
const clock = { nowMs: () => 0, setTimer: () => 0, clearTimer: () => {} };
const host = attachHost(shared, { clock, pageAllocator: attachPageAllocator });
parentPort?.postMessage(host.workerId);
churn(host, mailbox, new Prng(seed), rounds);
host.detach();
