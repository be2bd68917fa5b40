/*
 * data path
 *
 * A worker's end of an inbox, see inbox-words.ts for its memory. Nothing is dropped and nobody waits: what finds the
 * worker's ring full goes on an overflow list through the descriptors' link words.
 */
import { checkInt, IDX_MASK as IDX_MASK_ } from "@netmem/core";
import {
  claimWake as claimWake_,
  pushOverflow as pushOverflow_,
  ringDoorbell as ringDoorbell_,
  ringOf,
  SLEEPING as SLEEPING_,
  WORKERS,
} from "./inbox-words.ts";
import { SpscProducer } from "./spsc-ring.ts";

const IDX_MASK = IDX_MASK_;
const SLEEPING = SLEEPING_;
const claimWake = claimWake_;
const pushOverflow = pushOverflow_;
const ringDoorbell = ringDoorbell_;

/**
 * A worker's end of an inbox; one per worker number at a time. {@link push} keeps references back, {@link publish} hands
 * them over, once per batch.
 *
 * A reference on the overflow list uses the link word of its descriptor, so it must be on no other list. Whoever cannot be
 * sure of its callers claims what did not fit, before {@link pushToList}: one compareExchange for each of those alone.
 */
export class InboxProducer {
  declare private readonly i32: Int32Array;
  declare private readonly linkAt: number;
  declare private readonly ring: SpscProducer;
  /** Pushed, unpublished references that found the ring full: a chain; 0 for none. */
  declare private first: number;
  declare private last: number;
  declare private readonly at: number;
  declare private readonly bit: number;
  /** Entries that found the ring full, free-running 32 bits. */
  declare overflowCount: number;
  /** Which worker's entries these are. */
  declare readonly worker: number;

  /**
   * @param at word offset of the inbox. @param linkAt word offset of the link column: `host.linkAt`.
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) for a worker that the inbox has no ring for.
   */
  constructor(i32: Int32Array, at: number, worker: number, linkAt: number) {
    checkInt("worker", worker, 0, i32[at + WORKERS]! - 1);
    this.i32 = i32;
    this.linkAt = linkAt;
    this.ring = new SpscProducer(i32, ringOf(i32, at, worker));
    this.first = 0;
    this.last = 0;
    this.at = at;
    this.bit = 1 << worker;
    this.overflowCount = 0;
    this.worker = worker;
  }

  /** Takes a reference; the owner sees it after {@link publish}. Never refuses. */
  push(ref: number): void {
    if (!this.pushToRing(ref)) this.pushToList(ref);
  }

  /** As {@link push}, but false when the ring is full, or when an entry of this batch found it full already. */
  pushToRing(ref: number): boolean {
    return this.first === 0 && this.ring.push(ref);
  }

  /** Puts a reference on the overflow list. Its link word is written now. */
  pushToList(ref: number): void {
    // Nobody else reads these links before pushOverflow releases them.
    if (this.first === 0) this.first = ref;
    else this.i32[this.linkAt + ((this.last >>> 1) & IDX_MASK)] = ref;
    this.last = ref;
    this.overflowCount = (this.overflowCount + 1) | 0;
  }

  /**
   * Hands over everything pushed. True when the owner sleeps and this call is the one that has to wake it, by
   * {@link wake} or in whichever way that owner waits.
   */
  publish(): boolean {
    const isRingUsed = this.ring.publish();
    if (this.first !== 0) {
      pushOverflow(this.i32, this.ring.at, this.linkAt, this.first, this.last);
      this.first = 0;
    } else if (!isRingUsed) return false;
    return ringDoorbell(this.i32, this.at, this.bit) && claimWake(this.i32, this.at);
  }

  /** Pushes and publishes `src[srcAt ... srcAt + count)`; the answer is that of {@link publish}. */
  putBatch(src: Int32Array, srcAt: number, count: number): boolean {
    // One look at the ring for all; what it cannot take goes on the list at once.
    const taken = this.first === 0 ? this.ring.pushBatch(src, srcAt, count) : 0;
    for (let n = taken; n < count; n++) this.pushToList(src[srcAt + n]!);
    return this.publish();
  }

  /** Wakes an owner that waits at `Inbox.sleepingAt`, after {@link publish} said so. A system call: some 5 us. */
  wake(): void {
    // Partner: the owner's Atomics.wait. claimWake has changed the word, so an owner on its way there does not sleep.
    Atomics.notify(this.i32, this.at + SLEEPING);
  }
}
