/*
 * data path
 *
 * The two ends of a single-producer, single-consumer ring, see spsc-ring-words.ts for its memory. Each end keeps its own
 * count and a copy of the other's in its object, and looks at the shared one only when the copy is not enough.
 */
import { checkInt, failParam } from "@netmem/core";
import type { RingMemory } from "./ptr-ring.ts";
import {
  initSpscWords,
  loadHead as loadHead_,
  loadTail as loadTail_,
  publishTail as publishTail_,
  PUSHED as PUSHED_,
  releaseHead as releaseHead_,
  SIZE,
  SLOTS,
  spscWords,
} from "./spsc-ring-words.ts";

// Copies of imports, and fields that the constructor alone creates: see docs/decisions/0007.
const loadHead = loadHead_;
const loadTail = loadTail_;
const publishTail = publishTail_;
const PUSHED = PUSHED_;
const releaseHead = releaseHead_;

const MAX_SIZE = 2 ** 20;

export interface SpscRingOptions {
  /** Value of the free-running counts at the start. Tests start them just below the wrap. Default 0. */
  readonly startCount?: number;
}

/** @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) unless `size` is a power of two from 1 to 2^20. */
export function checkRingSize(param: string, size: number): number {
  checkInt(param, size, 1, MAX_SIZE);
  if ((size & (size - 1)) !== 0) failParam(param, size, "a power of two", "Round it up to the next power of two.");
  return size | 0;
}

/**
 * Takes words of the arena for a ring of `size` slots and returns their offset, for {@link SpscProducer} and
 * {@link SpscConsumer}. Control path.
 *
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) unless `size` is a power of two from 1 to 2^20; `ERR_NETMEM_NO_MEMORY`.
 */
export function createSpscRing(memory: RingMemory, size: number, options: SpscRingOptions = {}): number {
  const slots = checkRingSize("size", size);
  const at = memory.heap.allocWords(spscWords(slots));
  initSpscWords(memory.i32, at, slots, (options.startCount ?? 0) | 0);
  return at;
}

/**
 * Gives the words back; both ends have stopped. Entries left inside are forgotten. Control path.
 * @throws `ERR_NETMEM_BAD_HEAP_FREE` (EINVAL) the second time.
 */
export function freeSpscRing(memory: RingMemory, at: number): void {
  memory.heap.freeWords(at, spscWords(memory.i32[at + SIZE]!));
}

/**
 * The producer's end, for one thread at a time. Made over a ring that was used before, it goes on where the last one
 * published; `publishPushed` first if that one died in the middle of a batch. {@link push} fills slots that nobody sees;
 * {@link publish} shows them, once per batch.
 */
export class SpscProducer {
  declare private readonly i32: Int32Array;
  declare readonly at: number;
  declare private readonly slotsAt: number;
  declare private readonly mask: number;
  declare private tail: number;
  declare private cachedHead: number;
  declare private published: number;
  /** Slots. */
  declare readonly size: number;

  constructor(i32: Int32Array, at: number) {
    const tail = loadTail(i32, at);
    this.i32 = i32;
    this.at = at;
    this.slotsAt = at + SLOTS;
    this.mask = i32[at + SIZE]! - 1;
    this.tail = tail;
    this.cachedHead = loadHead(i32, at);
    this.published = tail;
    this.size = i32[at + SIZE]!;
  }

  /** Appends a 32-bit integer that nobody sees yet; false when full. {@link SpscConsumer.take} needs it to be non-zero. */
  push(value: number): boolean {
    const tail = this.tail;
    if (((tail - this.cachedHead) | 0) === this.size && this.room() === 0) return false;
    this.i32[this.slotsAt + (tail & this.mask)] = value;
    this.tail = (tail + 1) | 0;
    return true;
  }

  /** Appends up to `count` entries of `src[srcAt...]` that nobody sees yet; returns how many had room. */
  pushBatch(src: Int32Array, srcAt: number, count: number): number {
    const free = (this.size - (this.tail - this.cachedHead)) | 0;
    const room = free < count ? this.room() : free;
    const total = room < count ? room : count;
    if (total <= 0) return 0;
    const { i32, slotsAt, mask, tail } = this;
    for (let n = 0; n < total; n++) i32[slotsAt + ((tail + n) & mask)] = src[srcAt + n]!;
    this.tail = (tail + total) | 0;
    return total;
  }

  /** Writes down what was pushed and not published, for {@link publishPushed}: in case this thread dies before it is. */
  note(): void {
    this.i32[this.at + PUSHED] = this.tail;
  }

  /** Shows the consumer everything pushed; false when that is nothing new. */
  publish(): boolean {
    const tail = this.tail;
    if (tail === this.published) return false;
    this.published = tail;
    publishTail(this.i32, this.at, tail);
    return true;
  }

  /** {@link pushBatch} and {@link publish}: one publication for all. */
  produceBatch(src: Int32Array, srcAt: number, count: number): number {
    const total = this.pushBatch(src, srcAt, count);
    this.publish();
    return total;
  }

  /** Free slots, by a look at the consumer's count. */
  room(): number {
    const head = loadHead(this.i32, this.at);
    this.cachedHead = head;
    return (this.size - (this.tail - head)) | 0;
  }
}

/**
 * The consumer's end, for one thread at a time. Made over a ring that was used before, it goes on behind what the last
 * one released. {@link take} reads entries whose slots stay taken until {@link release}, once per batch.
 */
export class SpscConsumer {
  declare private readonly i32: Int32Array;
  declare private readonly slotsAt: number;
  declare private readonly mask: number;
  declare private head: number;
  declare private cachedTail: number;
  declare private released: number;
  /** Slots. */
  declare readonly size: number;
  declare readonly at: number;

  constructor(i32: Int32Array, at: number) {
    const head = loadHead(i32, at);
    this.i32 = i32;
    this.slotsAt = at + SLOTS;
    this.mask = i32[at + SIZE]! - 1;
    this.head = head;
    this.cachedTail = loadTail(i32, at);
    this.released = head;
    this.size = i32[at + SIZE]!;
    this.at = at;
  }

  /** Takes the oldest entry, 0 when there is none. Its slot is free after {@link release}. */
  take(): number {
    const head = this.head;
    if (head === this.cachedTail && this.count() === 0) return 0;
    this.head = (head + 1) | 0;
    return this.i32[this.slotsAt + (head & this.mask)]!;
  }

  /** Gives the producer the slots of everything taken. */
  release(): void {
    const head = this.head;
    if (head === this.released) return;
    this.released = head;
    releaseHead(this.i32, this.at, head);
  }

  /**
   * Takes and releases up to `max` entries into `dst[dstAt...]`, oldest first and no more than `dst` has room for; returns
   * how many. Fewer than that means that the ring was seen empty during the call.
   */
  consumeBatch(dst: Int32Array, dstAt: number, max: number): number {
    const room = dst.length - dstAt;
    const wanted = max < room ? max : room;
    const known = (this.cachedTail - this.head) | 0;
    const inside = known < wanted ? this.count() : known;
    const total = inside < wanted ? inside : wanted;
    if (total <= 0) return 0;
    const { i32, slotsAt, mask, head } = this;
    for (let n = 0; n < total; n++) dst[dstAt + n] = i32[slotsAt + ((head + n) & mask)]!;
    this.head = (head + total) | 0;
    this.release();
    return total;
  }

  /** Entries published and not taken, by a look at the producer's count. */
  count(): number {
    const tail = loadTail(this.i32, this.at);
    this.cachedTail = tail;
    return (tail - this.head) | 0;
  }
}
