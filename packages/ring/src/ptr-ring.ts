/*
 * data path
 *
 * Owner-private pointer ring (kernel: `ptr_ring`). Slots hold non-zero integers, 0 is a free slot, so producer and
 * consumer need no common counter. Plain memory: one thread.
 *
 *  at + 0  producer        next slot to fill
 *     + 1  consumer head   next slot to read
 *     + 2  consumer tail   next slot to clear
 *     + 3  produced, + 4 consumed: free-running, their difference is the count
 *     + 16 slots
 */
import { type ArenaHeap, checkInt } from "@netmem/core";

const PRODUCER = 0;
const HEAD = 1;
const TAIL = 2;
const PRODUCED = 3;
const CONSUMED = 4;
const HEADER_WORDS = 16;

/** Two cache lines of the kernel's 8-byte slots. */
const BATCH = 16;
const MAX_SIZE = 2 ** 20;

/** What an owner hands to {@link PtrRing}: memory to live in. */
export interface RingMemory {
  readonly i32: Int32Array;
  readonly heap: ArenaHeap;
}

export interface PtrRingOptions {
  /** Value of the free-running counters at the start. Tests start them just below the wrap. Default 0. */
  readonly startCount?: number;
}

/**
 * FIFO of up to `size` integers, exactly `size` (no rounding). Consumed slots are cleared lazily, sixteen at a time and
 * backwards, so a full ring accepts nothing until sixteen entries were taken; rings below 32 clear one by one.
 *
 * Size 0 is legal: always empty, always full. Produce and consume cost 1-2 ns and never throw.
 */
export class PtrRing {
  // "declare": the constructor alone creates the fields, so that V8 keeps the integers as integers.
  private declare readonly i32: Int32Array;
  private declare readonly at: number;
  private declare readonly slotsAt: number;
  /** Slots. */
  declare readonly size: number;
  private declare readonly batch: number;
  private declare readonly memory: RingMemory;

  /**
   * Takes `size` + 16 words of the arena; {@link dispose} gives them back.
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) unless 0 <= size <= 2^20; `ERR_NETMEM_NO_MEMORY` (ENOMEM).
   */
  constructor(memory: RingMemory, size: number, options: PtrRingOptions = {}) {
    checkInt("size", size, 0, MAX_SIZE);
    this.i32 = memory.i32;
    this.at = memory.heap.allocWords(HEADER_WORDS + size);
    this.slotsAt = this.at + HEADER_WORDS;
    this.size = size | 0;
    this.batch = BATCH > size / 2 ? 1 : BATCH;
    this.memory = memory;
    const start = (options.startCount ?? 0) | 0;
    this.i32[this.at + PRODUCED] = start;
    this.i32[this.at + CONSUMED] = start;
  }

  /** Entries inside. */
  get count(): number {
    return (this.i32[this.at + PRODUCED]! - this.i32[this.at + CONSUMED]!) | 0;
  }

  /** Entries ever produced, free-running 32 bits. */
  get produced(): number {
    return this.i32[this.at + PRODUCED]!;
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
    const i32 = this.i32;
    const p = i32[this.at + PRODUCER]!;
    if (this.size === 0 || (value | 0) === 0 || i32[this.slotsAt + p] !== 0) return false;
    i32[this.slotsAt + p] = value;
    i32[this.at + PRODUCER] = p + 1 === this.size ? 0 : p + 1;
    i32[this.at + PRODUCED] = (i32[this.at + PRODUCED]! + 1) | 0;
    return true;
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
    if (this.size === 0) return 0;
    const room = dst.length - dstAt;
    const limit = max < room ? max : room;
    let head = i32[this.at + HEAD]!;
    let n = 0;
    while (n < limit) {
      const run = this.runLength(head, limit - n);
      let end = head;
      while (end < head + run && i32[this.slotsAt + end] !== 0) dst[dstAt + n++] = i32[this.slotsAt + end++]!;
      const short = end < head + run;
      head = this.advance(end);
      if (short) break;
    }
    i32[this.at + CONSUMED] = (i32[this.at + CONSUMED]! + n) | 0;
    return n;
  }

  /** Entries from slot `head` to where clearing is due, at most `max`. */
  private runLength(head: number, max: number): number {
    const due = this.i32[this.at + TAIL]! + this.batch;
    const end = due < this.size ? due : this.size;
    return end - head < max ? end - head : max;
  }

  /** Moves the consumer head, clearing what was read when it is due. Returns the head, wrapped. */
  private advance(head: number): number {
    if (head === this.size || head - this.i32[this.at + TAIL]! >= this.batch) return this.clearBack(head);
    this.i32[this.at + HEAD] = head;
    return head;
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
      const head = (i32[this.at + HEAD]! === 0 ? this.size : i32[this.at + HEAD]!) - 1;
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

  /** Copy of the entries, oldest first. Allocates: for checks and introspection. */
  entries(): number[] {
    const head = this.i32[this.at + HEAD]!;
    return Array.from({ length: this.count }, (_, n) => this.i32[this.slotsAt + ((head + n) % this.size)]!);
  }

  /** A ring of another size with the same entries, oldest first; what does not fit goes to `destroy`. Disposes this one. */
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
    this.memory.heap.freeWords(this.at, HEADER_WORDS + this.size);
  }

  /** Zeroes what was read, newest first, so that a producer finds free slots only in one piece. Returns the new head. */
  private clearBack(head: number): number {
    const i32 = this.i32;
    const tail = i32[this.at + TAIL]!;
    for (let slot = head - 1; slot >= tail; slot--) i32[this.slotsAt + slot] = 0;
    const wrapped = head === this.size ? 0 : head;
    i32[this.at + HEAD] = wrapped;
    i32[this.at + TAIL] = wrapped;
    return wrapped;
  }

  private clearConsumed(): void {
    const head = this.i32[this.at + HEAD]!;
    if (head !== this.i32[this.at + TAIL]!) this.clearBack(head);
  }
}
