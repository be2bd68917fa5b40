/*
 * data path
 *
 * A worker's end of an inbox, see inbox-words.ts for its memory. Nothing is dropped and nobody waits: what finds the
 * worker's ring full goes on an overflow list through the descriptors' link words.
 */
import { checkInt } from "@netmem/core";
import {
  claimWake as claimWake_,
  MAX_INBOX_WORKERS,
  OVERFLOWS,
  pushOverflow as pushOverflow_,
  ringDoorbell as ringDoorbell_,
  ringOf,
  setRing,
  SLEEPING as SLEEPING_,
} from "./inbox-words.ts";
import type { RingMemory } from "./ptr-ring.ts";
import { createSpscRing, SpscProducer } from "./spsc-ring.ts";

const SLEEPING = SLEEPING_;
const claimWake = claimWake_;
const pushOverflow = pushOverflow_;
const ringDoorbell = ringDoorbell_;

export interface InboxProducerParams {
  /** Slots of the ring when this worker has none in the inbox yet, a power of two. Default 1024. */
  readonly ringSize?: number;
  /** Value of the ring's free-running counts at the start. Tests start them just below the wrap. Default 0. */
  readonly startCount?: number;
}

const DEFAULT_RING_SIZE = 1024;

/**
 * A worker's end of an inbox; one per worker number at a time. {@link push} keeps references back, {@link publish} hands
 * them over, once per batch. The first end of a worker makes its ring; where there is no memory for one, everything goes
 * by the overflow list.
 *
 * A reference on the overflow list uses the link word of its descriptor, so it must be on no other list. Whoever cannot be
 * sure of its callers claims what did not fit, before {@link pushToList}: one compareExchange for each of those alone.
 */
export class InboxProducer {
  declare private readonly i32: Int32Array;
  declare private readonly ring: SpscProducer | null;
  declare private readonly at: number;
  declare private readonly bit: number;
  declare private readonly linkAt: number;
  declare private readonly listAt: number;
  /** Entries went on the overflow list since the last {@link publish}. */
  declare private isListUsed: boolean;
  /** Entries that found the ring full, free-running 32 bits. */
  declare overflowCount: number;
  /** Which worker's entries these are. */
  declare readonly worker: number;

  /**
   * @param at word offset of the inbox. @param worker 0 to 31. @param linkAt word offset of the link column: `host.linkAt`.
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL).
   */
  constructor(memory: RingMemory, at: number, worker: number, linkAt: number, params: InboxProducerParams = {}) {
    checkInt("worker", worker, 0, MAX_INBOX_WORKERS - 1);
    this.i32 = memory.i32;
    this.ring = openRing(memory, at, worker, params);
    this.at = at;
    this.bit = 1 << worker;
    this.linkAt = linkAt;
    this.listAt = at + OVERFLOWS + worker;
    this.isListUsed = false;
    this.overflowCount = 0;
    this.worker = worker;
  }

  /** Takes a reference; the owner sees it after {@link publish}. Never refuses. */
  push(ref: number): void {
    if (!this.pushToRing(ref)) this.pushToList(ref);
  }

  /** As {@link push}, but false when the ring is full, or there is none. */
  pushToRing(ref: number): boolean {
    const ring = this.ring;
    return ring !== null && ring.push(ref);
  }

  /** As {@link pushToRing} for `src[srcAt ... srcAt + count)`; returns how many had room. */
  pushBatchToRing(src: Int32Array, srcAt: number, count: number): number {
    const ring = this.ring;
    return ring === null ? 0 : ring.pushBatch(src, srcAt, count);
  }

  /** Writes down what is in the ring and not published, for `publishPushed`: in case this thread dies before it is. */
  note(): void {
    if (this.ring !== null) this.ring.note();
  }

  /** Puts a reference on the overflow list. Its link word is written now. */
  pushToList(ref: number): void {
    pushOverflow(this.i32, this.listAt, this.linkAt, ref);
    this.isListUsed = true;
    this.overflowCount = (this.overflowCount + 1) | 0;
  }

  /**
   * Hands over everything pushed. True when the owner sleeps and this call is the one that has to wake it, by
   * {@link wake} or in whichever way that owner waits.
   */
  publish(): boolean {
    const isRingUsed = this.ring !== null && this.ring.publish();
    if (!isRingUsed && !this.isListUsed) return false;
    this.isListUsed = false;
    return ringDoorbell(this.i32, this.at, this.bit) && claimWake(this.i32, this.at);
  }

  /** Pushes and publishes `src[srcAt ... srcAt + count)`; the answer is that of {@link publish}. */
  putBatch(src: Int32Array, srcAt: number, count: number): boolean {
    const taken = this.pushBatchToRing(src, srcAt, count);
    for (let n = taken; n < count; n++) this.pushToList(src[srcAt + n]!);
    return this.publish();
  }

  /** Wakes an owner that waits at `Inbox.sleepingAt`, after {@link publish} said so. A system call: some 5 us. */
  wake(): void {
    // Partner: the owner's Atomics.wait. claimWake has changed the word, so an owner on its way there does not sleep.
    Atomics.notify(this.i32, this.at + SLEEPING);
  }
}

/** Control path: a worker's first end makes its ring. */
function openRing(memory: RingMemory, at: number, worker: number, params: InboxProducerParams): SpscProducer | null {
  const { ringSize = DEFAULT_RING_SIZE, startCount = 0 } = params;
  const known = ringOf(memory.i32, at, worker);
  if (known !== 0) return new SpscProducer(memory.i32, known);
  try {
    const ring = createSpscRing(memory, ringSize, { startCount });
    setRing(memory.i32, at, worker, ring);
    return new SpscProducer(memory.i32, ring);
  } catch (error) {
    if ((error as { code?: string }).code === "ERR_NETMEM_INVALID_PARAM") throw error;
    return null;
  }
}
