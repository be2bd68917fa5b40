/*
 * data path
 *
 * Owner-private pointer ring, see ptr-ring-words.ts for its memory.
 */
import { type ArenaHeap, checkInt } from "@netmem/core";
import {
  CONSUMED as CONSUMED_,
  HEAD as HEAD_,
  PRODUCER,
  ptrRingProduce,
  SIZE,
  SLOTS,
  TAIL as TAIL_,
} from "./ptr-ring-words.ts";

const HEAD = HEAD_;
const TAIL = TAIL_;
const CONSUMED = CONSUMED_;

/** Two cache lines of the kernel's 8-byte slots. */
const BATCH = 16;
const MAX_SIZE = 2 ** 20;
const NEVER_FREE = -1;

function wordsOf(size: number): number {
  return SLOTS + (size === 0 ? 1 : size);
}

/** What an owner hands to {@link PtrRing}: memory to live in. */
export interface RingMemory {
  readonly i32: Int32Array;
  readonly heap: Pick<ArenaHeap, "allocWords" | "freeWords">;
}

export interface PtrRingOptions {
  /** Value of the free-running counters at the start. Tests start them just below the wrap. Default 0. */
  readonly startCount?: number;
  /**
   * Word offset of a ring of the same size that another object, on a thread that is gone, was made over. The new one is
   * empty and takes the words over: {@link PtrRing.dispose} gives them back.
   */
  readonly at?: number;
}

/**
 * FIFO of up to `size` integers, exactly `size` (no rounding). Consumed slots are cleared lazily, sixteen at a time and
 * backwards, so a full ring accepts nothing until sixteen entries were taken; rings below 32 clear one by one.
 *
 * Size 0 is legal: always empty, always full. Produce and consume cost 1-2 ns and never throw.
 */
export class PtrRing {
  // "declare": the constructor alone creates the fields, so that V8 keeps the integers as integers.
  declare private readonly i32: Int32Array;
  /** Word offset of the ring, for `ptrRingProduce`. */
  declare readonly at: number;
  declare private readonly slotsAt: number;
  /** Slots. */
  declare readonly size: number;
  declare private readonly batch: number;
  declare private readonly memory: RingMemory;

  /**
   * Takes `size` + 16 words of the arena; {@link dispose} gives them back.
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) unless 0 <= size <= 2^20; `ERR_NETMEM_NO_MEMORY` (ENOMEM).
   */
  constructor(memory: RingMemory, size: number, options: PtrRingOptions = {}) {
    checkInt("size", size, 0, MAX_SIZE);
    this.i32 = memory.i32;
    this.at = options.at ?? memory.heap.allocWords(wordsOf(size));
    if (options.at !== undefined) this.i32.fill(0, this.at, this.at + wordsOf(size));
    this.slotsAt = this.at + SLOTS;
    this.size = size | 0;
    this.batch = BATCH > size / 2 ? 1 : BATCH;
    this.memory = memory;
    const start = (options.startCount ?? 0) | 0;
    this.i32[this.at + CONSUMED] = start;
    this.i32[this.at + SIZE] = this.size;
    // A ring without slots has one that is never free, so that producing needs no check of its own.
    if (size === 0) this.i32[this.slotsAt] = NEVER_FREE;
  }

  /** Entries inside. */
  get count(): number {
    const head = this.i32[this.at + HEAD]!;
    const ahead = this.i32[this.at + PRODUCER]! - head;
    if (ahead !== 0) return ahead > 0 ? ahead : ahead + this.size;
    return this.isEmpty() ? 0 : this.size;
  }

  /** Entries ever produced, free-running 32 bits. */
  get produced(): number {
    return (this.i32[this.at + CONSUMED]! + this.count) | 0;
  }

  isEmpty(): boolean {
    return this.size === 0 || this.i32[this.slotsAt + this.i32[this.at + HEAD]!] === 0;
  }

  /** True when {@link produce} would refuse; lazy clearing makes that possible with free entries. */
  isFull(): boolean {
    return this.size === 0 || this.i32[this.slotsAt + this.i32[this.at + PRODUCER]!] !== 0;
  }

  /** Appends a non-zero 32-bit integer; false when full (kernel: `ENOSPC`) or when `value` is 0. */
  produce(value: number): boolean {
    return (value | 0) !== 0 && ptrRingProduce(this.i32, this.at, value);
  }

  /** Takes the oldest entry, 0 when empty. */
  consume(): number {
    const i32 = this.i32;
    const head = i32[this.at + HEAD]!;
    const value = this.size === 0 ? 0 : i32[this.slotsAt + head]!;
    if (value === 0) return 0;
    i32[this.at + CONSUMED] = (i32[this.at + CONSUMED]! + 1) | 0;
    this.advance(head + 1);
    return value;
  }

  /** Takes up to `max` entries into `dst[dstAt...]`, oldest first and no more than `dst` has room for; returns how many. */
  consumeBatch(dst: Int32Array, dstAt: number, max: number): number {
    const i32 = this.i32;
    const inside = this.count;
    const room = dst.length - dstAt;
    const wanted = max < room ? max : room;
    const total = inside < wanted ? inside : wanted;
    if (total <= 0) return 0;
    for (let n = 0; n < total;) {
      const head = i32[this.at + HEAD]!;
      const run = total - n < this.size - head ? total - n : this.size - head;
      this.copyOut(head, run, dst, dstAt + n);
      this.advance(head + run);
      n += run;
    }
    i32[this.at + CONSUMED] = (i32[this.at + CONSUMED]! + total) | 0;
    return total;
  }

  private copyOut(head: number, run: number, dst: Int32Array, dstAt: number): void {
    const i32 = this.i32;
    const from = this.slotsAt + head;
    if (dst === i32) i32.copyWithin(dstAt, from, from + run);
    else for (let k = 0; k < run; k++) dst[dstAt + k] = i32[from + k]!;
  }

  /** Moves the consumer head, clearing whole batches of what was read, all of it at the end of the array. */
  private advance(head: number): void {
    const behind = head - this.i32[this.at + TAIL]!;
    if (head === this.size) this.clearUpTo(head);
    else if (behind >= this.batch) this.clearUpTo(head - (behind % this.batch));
    this.i32[this.at + HEAD] = head === this.size ? 0 : head;
  }

  /**
   * Puts `src[0..count)` back in front, so that consuming gives them in that order again. When room ends, the rest, which
   * are the first ones, go to `destroy`, last one first, as in the kernel. Zeros are no entries and are passed over.
   */
  unconsume(src: Int32Array, count: number, destroy: (value: number) => void): void {
    const i32 = this.i32;
    this.clearConsumed();
    let n = count;
    while (n > 0 && this.size > 0) {
      const consumer = i32[this.at + HEAD]!;
      const head = (consumer === 0 ? this.size : consumer) - 1;
      if (i32[this.slotsAt + head] !== 0) break;
      const value = src[--n]! | 0;
      if (value === 0) continue;
      i32[this.slotsAt + head] = value;
      i32[this.at + HEAD] = head;
      i32[this.at + TAIL] = head;
      i32[this.at + CONSUMED] = (i32[this.at + CONSUMED]! - 1) | 0;
    }
    for (n--; n >= 0; n--) {
      if (src[n] !== 0) destroy(src[n]!);
    }
  }

  /** Copy of the entries, oldest first. Control path: it allocates. */
  entries(): number[] {
    const head = this.i32[this.at + HEAD]!;
    return Array.from({ length: this.count }, (_, n) => this.i32[this.slotsAt + ((head + n) % this.size)]!);
  }

  /**
   * A ring of another size with the same entries, oldest first; what does not fit goes to `destroy`. Disposes this one.
   * Control path.
   */
  resize(newSize: number, destroy: (value: number) => void): PtrRing {
    const ring = new PtrRing(this.memory, newSize);
    for (let value = this.consume(); value !== 0; value = this.consume()) {
      if (!ring.produce(value)) destroy(value);
    }
    this.dispose();
    return ring;
  }

  /**
   * Gives the memory back. The ring must not be used any more; entries left inside are forgotten.
   * @throws `ERR_NETMEM_BAD_HEAP_FREE` (EINVAL) the second time.
   */
  dispose(): void {
    this.memory.heap.freeWords(this.at, wordsOf(this.size));
  }

  /** Zeroes what was read, newest first as the kernel does: a producer finds room only in one piece. */
  private clearUpTo(end: number): void {
    const i32 = this.i32;
    const tail = i32[this.at + TAIL]!;
    for (let slot = end - 1; slot >= tail; slot--) i32[this.slotsAt + slot] = 0;
    i32[this.at + TAIL] = end === this.size ? 0 : end;
  }

  private clearConsumed(): void {
    this.clearUpTo(this.i32[this.at + HEAD]!);
  }
}
