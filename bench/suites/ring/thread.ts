/** The other thread of the suite's rows. It runs until it is terminated. */

import { InboxProducer, SpscConsumer } from "@netmem/ring";
import { parentPort, workerData } from "node:worker_threads";
import { Idle } from "./idle.ts";
import { BURST, type ThreadInput } from "./thread-input.ts";

const { role, memory, ringAt, inboxAt, worker, linkAt, countAt, idleAt } = workerData as ThreadInput;
const i32 = new Int32Array(memory.buffer);
const refs = new Int32Array(BURST);
const idle = new Idle(i32, idleAt);

/** Takes what comes and counts it. */
function consume(): never {
  const ring = new SpscConsumer(i32, ringAt);
  let count = 0;
  for (;;) {
    const taken = ring.consumeBatch(refs, 0, BURST);
    idle.after(taken);
    if (taken === 0) continue;
    count = (count + taken) | 0;
    Atomics.store(i32, countAt, count);
  }
}

/** Gives back what comes, through the inbox. */
function giveBack(): never {
  const ring = new SpscConsumer(i32, ringAt);
  // Its ring is there already.
  const heap = { allocWords: () => 0, freeWords: () => {} };
  const inbox = new InboxProducer({ i32, heap }, inboxAt, worker, linkAt);
  for (;;) {
    const taken = ring.consumeBatch(refs, 0, BURST);
    idle.after(taken);
    if (taken > 0) inbox.putBatch(refs, 0, taken);
  }
}

/** Takes messages; reads each reference, as the others do, and answers the last. */
function listen(): void {
  let sum = 0;
  parentPort?.on("message", (message: Int32Array | "last") => {
    if (message === "last") parentPort?.postMessage(sum);
    else for (let n = 0; n < message.length; n++) sum = (sum + message[n]!) | 0;
  });
}

parentPort?.postMessage("ready");
if (role === "consume") consume();
else if (role === "return") giveBack();
else listen();
