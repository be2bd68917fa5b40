import { Prng } from "@netmem/testing";
import { parentPort, workerData } from "node:worker_threads";
import { InboxProducer, SpscConsumer, SpscProducer } from "../src/index.ts";
import { READY, refOf, type ThreadInput, type ThreadReport } from "./thread-input.ts";

/** Values 1, 2, ... in batches of any size. */
function produce({ memory, at, count, seed, maxBatch }: ThreadInput): ThreadReport {
  const prng = new Prng(seed);
  const ring = new SpscProducer(new Int32Array(memory.buffer), at);
  const values = new Int32Array(maxBatch);
  let done = 0;
  while (done < count) {
    const wanted = Math.min(1 + prng.below(maxBatch), count - done);
    for (let n = 0; n < wanted; n++) values[n] = done + n + 1;
    done += ring.produceBatch(values, 0, wanted);
  }
  return { done, overflowed: 0, wakes: 0 };
}

/** Expects values 1, 2, ...; every third batch is taken one by one. */
function consume({ memory, at, count, seed, maxBatch }: ThreadInput): ThreadReport {
  const prng = new Prng(seed);
  const ring = new SpscConsumer(new Int32Array(memory.buffer), at);
  const values = new Int32Array(maxBatch);
  let done = 0;
  while (done < count) {
    const max = 1 + prng.below(maxBatch);
    const taken = prng.below(3) === 0 ? takeSingly(ring, values, max) : ring.consumeBatch(values, 0, max);
    for (let n = 0; n < taken; n++) if (values[n] !== ++done) return { done: -done, overflowed: 0, wakes: 0 };
  }
  return { done, overflowed: 0, wakes: 0 };
}

function takeSingly(ring: SpscConsumer, values: Int32Array, max: number): number {
  let taken = 0;
  for (let value = ring.take(); value !== 0; value = ring.take()) {
    values[taken++] = value;
    if (taken === max) break;
  }
  ring.release();
  return taken;
}

/** Each reference of this worker once, in batches of any size. */
function put(input: ThreadInput): ThreadReport {
  const { memory, at, linkAt, worker, count, seed, maxBatch, arrivedAt } = input;
  const prng = new Prng(seed);
  const i32 = new Int32Array(memory.buffer);
  // Its ring is there already: this thread has no heap.
  const heap = { allocWords: () => 0, freeWords: () => {} };
  const producer = new InboxProducer({ i32, heap }, at, worker, linkAt);
  let wakes = 0;
  for (let done = 0; done < count;) {
    const wanted = Math.min(1 + prng.below(maxBatch), count - done);
    for (let n = 0; n < wanted; n++) producer.push(refOf(input, done++));
    if (producer.publish()) {
      producer.wake();
      wakes++;
    }
    if (arrivedAt !== 0) Atomics.wait(i32, arrivedAt, done - wanted);
  }
  return { done: count, overflowed: producer.overflowCount, wakes };
}

const input = workerData as ThreadInput;
parentPort?.postMessage(READY);
parentPort?.postMessage({ produce, consume, put }[input.role](input));
