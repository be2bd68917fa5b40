/**
 * Rows with a second thread: one hands over, the other takes. They want two free cores: where both threads share one, they
 * measure the scheduler.
 */

import { createMemory, makeRef } from "@netmem/core";
import { createSpscRing, Inbox, INBOX_WORDS, InboxProducer, type RingMemory, SpscProducer } from "@netmem/ring";
import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import type { SampleOptions, ScriptRow } from "../../suite.ts";
import { Idle } from "./idle.ts";
import { BURST, RING_SIZE, type ThreadInput } from "./thread-input.ts";

const ARENA_BYTES = 4 * 2 ** 20;
/** Two threads that spin leave V8's compilers no core: they get their time here. */
const WARM_UP_MS = 400;
const WARM_UP_PAUSE_MS = 5;
/** Buffers on their way around; fewer than a ring holds, so that nothing overflows. */
const IN_FLIGHT = 4096;

export interface Words extends RingMemory {
  readonly memory: ReturnType<typeof createMemory>;
}

/** Shared memory from which words are only ever taken. */
export function createWords(): Words {
  const memory = createMemory(ARENA_BYTES);
  // Offset 0 means "no ring".
  let next = 16;
  const allocWords = (words: number): number => {
    const at = next;
    next += (words + 15) & ~15;
    return at;
  };
  const heap = { allocWords, freeWords: () => {} };
  return { memory, i32: new Int32Array(memory.buffer), heap };
}

async function startThread(input: ThreadInput): Promise<Worker> {
  const worker = new Worker(new URL("thread.ts", import.meta.url), { workerData: input });
  await once(worker, "message");
  return worker;
}

interface Subject {
  readonly input: ThreadInput;
  readonly words: Words;
  readonly idle: Idle;
}

function createSubject(role: ThreadInput["role"]): Subject {
  const words = createWords();
  const take = (n: number): number => words.heap.allocWords(n);
  const ringAt = createSpscRing(words, RING_SIZE);
  const inboxAt = take(INBOX_WORDS);
  const linkAt = take(IN_FLIGHT + 1);
  const { worker } = new InboxProducer(words, inboxAt, 0, linkAt, { ringSize: RING_SIZE });
  const places = { ringAt, inboxAt, linkAt, countAt: take(16), idleAt: take(16) };
  const input = { role, memory: words.memory, worker, ...places };
  return { words, input, idle: new Idle(words.i32, input.idleAt) };
}

export type RunBursts = (bursts: number) => void | Promise<void>;

/** Samples of `run`, as nanoseconds per entry; each as long as the options ask. */
export async function sampleBursts(run: RunBursts, { samples, minMs }: SampleOptions): Promise<number[]> {
  let bursts = 256;
  const timeMs = async (): Promise<number> => {
    const from = performance.now();
    await run(bursts);
    return performance.now() - from;
  };
  const from = performance.now();
  for (let lastMs = 0; lastMs < minMs || performance.now() - from < WARM_UP_MS;) {
    lastMs = await timeMs();
    if (lastMs < minMs) bursts *= 2;
    await setTimeout(WARM_UP_PAUSE_MS);
  }
  const taken: number[] = [];
  while (taken.length < samples) taken.push(((await timeMs()) * 1e6) / (bursts * BURST));
  return taken;
}

function threadRow(
  name: string,
  role: ThreadInput["role"],
  makeRun: (subject: Subject, worker: Worker) => RunBursts,
): ScriptRow {
  return {
    kind: "script",
    name,
    unit: "ns/entry",
    measure: async (options) => {
      const subject = createSubject(role);
      const worker = await startThread(subject.input);
      try {
        return await sampleBursts(makeRun(subject, worker), options);
      } finally {
        await worker.terminate();
      }
    },
  };
}

const spscHandOver = threadRow("spsc_handover64", "consume", ({ words: { i32 }, input: { ringAt, countAt }, idle }) => {
  const ring = new SpscProducer(i32, ringAt);
  const refs = Int32Array.from({ length: BURST }, (_, n) => n + 1);
  let sent = 0;
  return (bursts) => {
    for (let burst = 0; burst < bursts; burst++) {
      for (let done = 0; done < BURST;) {
        const taken = ring.produceBatch(refs, done, BURST - done);
        idle.after(taken);
        done += taken;
      }
    }
    sent = (sent + bursts * BURST) | 0;
    while (Atomics.load(i32, countAt) !== sent) idle.after(0);
  };
});

const messageHandOver = threadRow("postmessage_handover64", "listen", (_subject, worker) => {
  const refs = Int32Array.from({ length: BURST }, (_, n) => n + 1);
  return async (bursts) => {
    for (let burst = 0; burst < bursts; burst++) worker.postMessage(refs);
    worker.postMessage("last");
    await once(worker, "message");
  };
});

/** The stock goes to the worker in bursts and comes home through the inbox. */
const inboxTrip = threadRow("inbox_trip64", "return", ({ words: { i32 }, input, idle }) => {
  const ring = new SpscProducer(i32, input.ringAt);
  const inbox = new Inbox(i32, input.inboxAt, input.linkAt);
  const stock = Int32Array.from({ length: IN_FLIGHT }, (_, n) => makeRef(n + 1, 0, 0));
  let held = IN_FLIGHT;
  const takeHome = (): number => {
    const taken = inbox.take(stock, held, BURST);
    held += taken;
    idle.after(taken);
    return held;
  };
  return (bursts) => {
    for (let burst = 0; burst < bursts;) {
      if (held >= BURST) {
        held -= ring.produceBatch(stock, held - BURST, BURST);
        burst++;
      }
      takeHome();
    }
    while (takeHome() < IN_FLIGHT);
  };
});

export const twoThreadRows: readonly ScriptRow[] = [spscHandOver, messageHandOver, inboxTrip];
