import { createMemory, IDX_MASK } from "@netmem/core";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import {
  createSpscRing,
  Inbox,
  INBOX_WORDS,
  InboxProducer,
  type InboxProducerParams,
  type RingMemory,
} from "../src/index.ts";
import { createRingMemory, type TestMemory } from "./ring-memory.ts";
import { READY, type ThreadInput, type ThreadReport } from "./thread-input.ts";

const NEAR_WRAP = 0xfffffff0 | 0;
const ARENA_BYTES = 16 * 2 ** 20;
const TOTAL = 1_000_000;
const SEED = 20260303;
/** A wake-up that takes so long is lost. */
const LOST_MS = 10_000;

interface Arena extends Pick<TestMemory, "i32" | "heap"> {
  readonly memory: ThreadInput["memory"];
}

function createArena(): Arena {
  const memory = createMemory(ARENA_BYTES);
  expect(memory.buffer).toBeInstanceOf(SharedArrayBuffer);
  return { ...createRingMemory(ARENA_BYTES / 4096, memory.buffer), memory };
}

type Started = Partial<ThreadInput> & Pick<ThreadInput, "role" | "memory" | "at">;

/** Starts a thread; `report` comes when it has ended. */
async function start(input: Started): Promise<{ report: Promise<ThreadReport> }> {
  const defaults = { linkAt: 0, worker: 0, workers: 1, count: TOTAL, seed: SEED, maxBatch: 200, arrivedAt: 0 };
  const worker = new Worker(new URL("./ring-thread.ts", import.meta.url), { workerData: { ...defaults, ...input } });
  const [ready] = (await once(worker, "message")) as [unknown];
  expect(ready).toBe(READY);
  return { report: once(worker, "message").then(([report]) => report as ThreadReport) };
}

test("a million values through an SPSC ring, in batches of any size, in order", async () => {
  const { i32, heap, memory } = createArena();
  const at = createSpscRing({ i32, heap }, 512, { startCount: NEAR_WRAP });
  const consumer = await start({ role: "consume", memory, at, seed: SEED + 1 });
  const producer = await start({ role: "produce", memory, at });
  expect((await producer.report).done).toBe(TOTAL);
  expect((await consumer.report).done).toBe(TOTAL);
});

/** Workers without a heap of their own find their rings made. */
function makeRings(memory: RingMemory, at: number, workers: number, linkAt: number, params: InboxProducerParams): void {
  const ends = Array.from({ length: workers }, (_, n) => new InboxProducer(memory, at, n, linkAt, params));
  expect(ends.length).toBe(workers);
}

interface Expected {
  readonly count: number;
  readonly workers: number;
  /** Whether they come in the order of their indices. */
  readonly inOrder?: boolean;
  /** Word to say in how many have arrived. */
  readonly arrivedAt?: number;
}

/** Takes what is expected, sleeping when there is nothing; every reference must be new and its worker's. Returns the sleeps. */
function takeAll(i32: Int32Array, inbox: Inbox, { count, workers, inOrder, arrivedAt = 0 }: Expected): number {
  const seen = new Uint8Array(IDX_MASK + 1);
  const refs = new Int32Array(64);
  let sleeps = 0;
  for (let got = 0; got < count;) {
    const taken = inbox.take(refs, 0, refs.length);
    for (let n = 0; n < taken; n++) {
      const idx = (refs[n]! >>> 1) & IDX_MASK;
      if (seen[idx] !== 0) throw new Error(`index ${idx} came twice`);
      if ((idx - 1) % workers !== inbox.from) throw new Error(`index ${idx} came from worker ${inbox.from}`);
      if (inOrder === true && idx !== got + n + 1) throw new Error(`index ${idx} came in place ${got + n}`);
      seen[idx] = 1;
    }
    got += taken;
    if (taken > 0 && arrivedAt !== 0) {
      Atomics.store(i32, arrivedAt, got);
      Atomics.notify(i32, arrivedAt);
    }
    if (taken > 0 || !inbox.prepareSleep()) continue;
    sleeps++;
    const woken = Atomics.wait(i32, inbox.sleepingAt, 1, LOST_MS);
    inbox.cancelSleep();
    if (woken === "timed-out") throw new Error(`asleep with ${got} of ${count}; there is work: ${inbox.hasWork()}`);
  }
  expect(inbox.take(refs, 0, 1)).toBe(0);
  return sleeps;
}

test.each([
  { workers: 1, ringSize: 2 ** 19, total: 2 ** 19 },
  { workers: 2, ringSize: 2 ** 16, total: TOTAL },
  { workers: 4, ringSize: 16, total: TOTAL },
])("$total references from $workers workers through rings of $ringSize into one inbox", async (params) => {
  const { workers, ringSize, total } = params;
  const { i32, heap, memory } = createArena();
  const at = heap.allocWords(INBOX_WORDS);
  const linkAt = heap.allocWords(IDX_MASK + 1);
  const ring = { ringSize, startCount: NEAR_WRAP };
  makeRings({ i32, heap }, at, workers, linkAt, ring);
  const inbox = new Inbox(i32, at, linkAt);
  const count = total / workers;
  const threads = await Promise.all(
    Array.from({ length: workers }, (_, worker) => {
      return start({ role: "put", memory, at, linkAt, worker, workers, count, seed: SEED + worker });
    }),
  );
  const sleeps = takeAll(i32, inbox, { count: total, workers, inOrder: total === ringSize });
  const reports = await Promise.all(threads.map(({ report }) => report));
  const overflowed = reports.reduce((sum, report) => sum + report.overflowed, 0);
  const wakes = reports.reduce((sum, report) => sum + report.wakes, 0);
  console.log(`${workers} workers: ${overflowed} of ${total} by overflow lists, ${sleeps} sleeps, ${wakes} wake-ups`);
  expect(inbox.overflowCount).toBe(overflowed);
  if (ringSize === 16) expect(overflowed).toBeGreaterThan(0);
  if (ringSize === total) expect(overflowed).toBe(0);
});

test("one entry at a time: nobody goes on before it has arrived, and no wake-up is lost", async () => {
  const { i32, heap, memory } = createArena();
  const at = heap.allocWords(INBOX_WORDS);
  const linkAt = heap.allocWords(IDX_MASK + 1);
  const arrivedAt = heap.allocWords(1);
  makeRings({ i32, heap }, at, 1, linkAt, { ringSize: 2 });
  const inbox = new Inbox(i32, at, linkAt);
  const count = 20_000;
  const { report } = await start({ role: "put", memory, at, linkAt, count, maxBatch: 1, arrivedAt });
  const sleeps = takeAll(i32, inbox, { count, workers: 1, inOrder: true, arrivedAt });
  const { done, wakes, overflowed } = await report;
  console.log(`${count} entries, ${sleeps} sleeps, ${wakes} wake-ups`);
  expect([done, overflowed]).toEqual([count, 0]);
  expect(wakes).toBeGreaterThan(100);
});
