import type { InterleaveProgram, ThreadBody } from "@netmem/testing";
import { DOORBELL, INBOX_WORDS, OVERFLOWS, RINGS, SLEEPING } from "../../src/inbox-words.ts";
import { InboxProducer } from "../../src/inbox-producer.ts";
import { Inbox } from "../../src/inbox.ts";
import { HEAD, initSpscWords, PUSHED, SLOTS, TAIL } from "../../src/spsc-ring-words.ts";
import { pause } from "./expectations.ts";

/*
 * Two rings, an inbox and seven link words:
 *
 *  1 2 17 18 33 34     TAIL, PUSHED, HEAD, SIZE, slots of worker 0
 *  9 10 25 26 41 42    the same of worker 1
 *  19...24, 27         the six link words of the indices 1 to 6
 *  43                  MAIL: a word outside, by which an owner is woken that does not wait on the doorbell
 *  44...               the inbox
 */
const RING0 = 1;
export const STRIDE_WORDS = 8;
export const TAIL0: number = RING0 + TAIL;
export const SLOTS0: number = RING0 + SLOTS;
export const LINK = 18;
export const MAIL = 43;
export const INBOX = 44;
export const OVERFLOW0: number = INBOX + OVERFLOWS;
const WORDS: number = INBOX + INBOX_WORDS;
/** Nobody makes a ring here. */
const heap = { allocWords: (): number => 0, freeWords: (): void => {} };

/** A reference: the index above the tag bit. */
export const refOf = (idx: number): number => idx << 1;

export interface InboxContext {
  readonly owner: Inbox;
  readonly workers: readonly InboxProducer[];
}

export interface Delivery {
  readonly ringSize: 1 | 2;
  readonly startCount?: number;
  /** What each worker puts in: indices 1 to 7, a batch per publication. */
  readonly batches: readonly Batches[];
}

export type Body = ThreadBody<InboxContext>;

function setup(i32: Int32Array, { ringSize, startCount = 0, batches }: Delivery): InboxContext {
  for (let worker = 0; worker < 2; worker++) {
    initSpscWords(i32, RING0 + worker * STRIDE_WORDS, ringSize, startCount);
    i32[INBOX + RINGS + worker] = RING0 + worker * STRIDE_WORDS;
  }
  const owner = new Inbox(i32, INBOX, LINK);
  // A fresh owner looks everywhere once; from here on it depends on the doorbell.
  owner.take(new Int32Array(1), 0, 1);
  return { owner, workers: batches.map((_, worker) => new InboxProducer({ i32, heap }, INBOX, worker, LINK)) };
}

type Batches = readonly (readonly number[])[];

/** What a worker does that has to wake the owner. */
export type Wake = (i32: Int32Array, worker: InboxProducer) => void;

/** Workers as they ship: push a batch, publish it. */
export const putAndWake =
  (wake: Wake) =>
  (worker: number, batches: Batches): Body =>
  (i32, { workers }) => {
    const producer = workers[worker]!;
    for (const batch of batches) {
      for (const idx of batch) producer.push(refOf(idx));
      if (producer.publish()) wake(i32, producer);
    }
  };

export const put: (worker: number, batches: Batches) => Body = putAndWake(() => {});

/** What an owner does that finds nothing. */
export type Idle = (i32: Int32Array, owner: Inbox) => void;

/** The owner waits as it should. */
export const sleep: Idle = (i32, owner) => {
  if (owner.prepareSleep()) Atomics.wait(i32, owner.sleepingAt, 1);
  owner.cancelSleep();
};
export const wake: Wake = (_i32, worker) => worker.wake();

/** The owner waits on the doorbell itself. */
export const sleepOnDoorbell: Idle = (i32, owner) => {
  if (owner.prepareSleep()) Atomics.wait(i32, INBOX + DOORBELL, 0);
  owner.cancelSleep();
};
export const wakeDoorbell: Wake = (i32) => void Atomics.notify(i32, INBOX + DOORBELL);

/** The owner waits for something else, as an event loop waits for a message. */
export const sleepOnMail: Idle = (i32, owner) => {
  if (owner.prepareSleep()) {
    Atomics.wait(i32, MAIL, 0);
    Atomics.store(i32, MAIL, 0);
  }
  owner.cancelSleep();
};
export const sendMail: Wake = (i32) => {
  Atomics.store(i32, MAIL, 1);
  Atomics.notify(i32, MAIL);
};

/** An owner that takes `max` at a time until it has `count`, and then looks whether there is more; "worker:idx ...". */
export const takeAll =
  (count: number, max = 4, idle: Idle = () => pause()): Body =>
  (i32, { owner }) => {
    const got: string[] = [];
    const refs = new Int32Array(max);
    const take = (): number => {
      const taken = owner.take(refs, 0, max);
      for (let n = 0; n < taken; n++) got.push(`${owner.from}:${refs[n]! >> 1}`);
      return taken;
    };
    while (got.length < count) if (take() === 0) idle(i32, owner);
    take();
    return got;
  };

/** Entries of the worker in the order they came, as "1 2 3". */
export const orderOf = (got: readonly string[], worker: number): string =>
  got
    .filter((entry) => entry.startsWith(`${worker}:`))
    .map((entry) => entry.slice(2))
    .join(" ");

/** What is put in must come out once, from its worker. Everything that Atomics do not order is a failure. */
export function inboxProgram(
  delivery: Delivery,
  owner: Body,
  worker: (worker: number, batches: Batches) => Body = put,
): InterleaveProgram<InboxContext> {
  const sent = delivery.batches.flatMap((batches, worker) => batches.flat().map((idx) => `${worker}:${idx}`));
  const ends = delivery.batches.map((batches, n) => [`worker${n}`, worker(n, batches)] as const);
  return {
    words: WORDS,
    names: {
      TAIL0,
      PUSHED0: RING0 + PUSHED,
      HEAD0: RING0 + HEAD,
      SLOT0: [SLOTS0, 2] as const,
      OVERFLOW0,
      TAIL1: STRIDE_WORDS + TAIL0,
      PUSHED1: RING0 + STRIDE_WORDS + PUSHED,
      HEAD1: RING0 + STRIDE_WORDS + HEAD,
      SLOT1: [STRIDE_WORDS + SLOTS0, 2] as const,
      OVERFLOW1: OVERFLOW0 + 1,
      RINGS: [INBOX + RINGS, 2] as const,
      LINK: [LINK, 8] as const,
      MAIL,
      DOORBELL: INBOX + DOORBELL,
      SLEEPING: INBOX + SLEEPING,
    },
    forbidRaces: true,
    setup: (i32) => setup(i32, delivery),
    threads: { owner, ...Object.fromEntries(ends) },
    check: ({ results }) => {
      const got = results["owner"] as readonly string[];
      if ([...got].sort().join() !== sent.sort().join()) throw new Error(`sent ${sent.join()}, got ${got.join()}`);
    },
  };
}
