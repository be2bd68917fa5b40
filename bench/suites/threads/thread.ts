/** The other thread of the suite's rows. It runs until it is terminated. */

import { type Host, returnNetmemBulk } from "@netmem/core";
import { ChannelReceiver, createReturnsWith, InboxProducer, SpscConsumer } from "@netmem/ring";
import { attachHost } from "netmem";
import { parentPort, workerData } from "node:worker_threads";
import { Idle } from "../ring/idle.ts";
import { BURST, type ThreadInput } from "./thread-input.ts";

const input = workerData as ThreadInput;
/** For what is in flight. */
const RETURN_RING_SIZE = 2048;
const refs = new Int32Array(BURST);

/** Returns what comes, a burst at a time. */
function giveBack(host: Host, take: () => number): never {
  const idle = new Idle(host.i32, input.idleAt);
  for (;;) {
    const taken = take();
    idle.after(taken);
    if (taken > 0) returnNetmemBulk(host, refs, taken);
  }
}

function fromRing(host: Host): never {
  const ring = new SpscConsumer(host.i32, input.at);
  return giveBack(host, () => ring.consumeBatch(refs, 0, BURST));
}

function fromChannel(host: Host): never {
  const channel = new ChannelReceiver(host, input.at);
  return giveBack(host, () => channel.receive(refs, BURST));
}

/** Sends every message back. */
function answer(): void {
  parentPort?.on("message", (message: Int32Array) => parentPort?.postMessage(message));
}

/**
 * Writes all that returns without end would write: bursts into its ring of the inbox at `at`, and the doorbell. Takes them
 * out again itself, so that the owner need not look.
 */
function publish(host: Host): never {
  const producer = new InboxProducer(host, input.at, host.workerId, host.linkAt);
  const ring = new SpscConsumer(host.i32, host.i32[input.at + 16 + host.workerId]!);
  for (;;) {
    producer.putBatch(refs, 0, BURST);
    ring.consumeBatch(refs, 0, BURST);
  }
}

/** Arithmetic and nothing else. */
function count(): never {
  let x = 1;
  for (;;) {
    for (let n = 0; n < 1e6; n++) x = (Math.imul(x, 1664525) + 1013904223) | 0;
    if (x === 0) parentPort?.postMessage(x);
  }
}

refs.fill(2);
if (input.role === "message") {
  answer();
  parentPort?.postMessage("ready");
} else if (input.role === "count") {
  parentPort?.postMessage("ready");
  count();
} else {
  const host = attachHost(input.shared, { returns: createReturnsWith({ ringSize: RETURN_RING_SIZE }) });
  parentPort?.postMessage("ready");
  if (input.role === "return") fromRing(host);
  else if (input.role === "channel") fromChannel(host);
  else publish(host);
}
