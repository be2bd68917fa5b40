/*
 * data path
 *
 * The two ends of a ring of addresses (fill, completion). Each end keeps its own index and what it last saw of the
 * other's in its object. Indices cross by Atomics, once per batch; entries are plain words, ordered by the indices.
 * An index of the other end that cannot be is counted and not followed.
 */
import { RING_NEED_WAKEUP } from "./abi.ts";
import type { XskRingLayout } from "./ring-layout.ts";

const NEED_WAKEUP = RING_NEED_WAKEUP;

/** Fills entries and shows them, once per batch. A user's fill ring, a kernel's completion ring. One thread at a time. */
export class AddrProducer {
  declare private readonly i32: Int32Array;
  declare private readonly descsAt: number;
  declare private readonly mask: number;
  /** Index of the next entry to fill. */
  declare private next: number;
  /** Entries below are free, as far as is known. */
  declare private limit: number;
  declare private published: number;
  declare private readonly producerAt: number;
  declare private readonly consumerAt: number;
  declare private readonly flagsAt: number;
  /** Entries. */
  declare readonly size: number;
  /** Times that the other end's index made no sense. */
  declare corruptCount: number;

  /** Goes on where the ring's producer index stands. */
  constructor(i32: Int32Array, layout: XskRingLayout) {
    const producer = Atomics.load(i32, layout.producerAt);
    this.i32 = i32;
    this.descsAt = layout.descsAt;
    this.mask = layout.size - 1;
    this.next = producer;
    this.limit = producer;
    this.published = producer;
    this.producerAt = layout.producerAt;
    this.consumerAt = layout.consumerAt;
    this.flagsAt = layout.flagsAt;
    this.size = layout.size;
    this.corruptCount = 0;
  }

  /** Free entries: at least `want`, or all there are (`xskq_prod_nb_free`). */
  room(want: number): number {
    const known = (this.limit - this.next) | 0;
    return known >= want ? known : this.refresh(known);
  }

  /** Fills an entry that nobody sees yet. There must be {@link room}. */
  put(low: number, high: number): void {
    const at = this.descsAt + ((this.next & this.mask) << 1);
    this.i32[at] = low;
    this.i32[at + 1] = high;
    this.next = (this.next + 1) | 0;
  }

  /**
   * Word offset of the `k`-th entry from the next one on, low word first, for loops that fill entries themselves and
   * then {@link advance}. There must be {@link room}.
   */
  at(k: number): number {
    return this.descsAt + (((this.next + k) & this.mask) << 1);
  }

  /** `n` entries were filled by way of {@link at}; nobody sees them yet. */
  advance(n: number): void {
    this.next = (this.next + n) | 0;
  }

  /** Shows everything filled. Release; partner: {@link AddrConsumer.peek}. */
  submit(): void {
    if (this.next === this.published) return;
    this.published = this.next;
    Atomics.store(this.i32, this.producerAt, this.next);
  }

  /** Shows the first `n` entries filled and not shown yet. */
  submitFirst(n: number): void {
    this.published = (this.published + n) | 0;
    Atomics.store(this.i32, this.producerAt, this.published);
  }

  /** Entries filled and not shown. */
  get stagedCount(): number {
    return (this.next - this.published) | 0;
  }

  /** Entries shown and not taken, by a look at the other end. */
  get filledCount(): number {
    return (this.published - Atomics.load(this.i32, this.consumerAt)) | 0;
  }

  /** The other end, the kernel, wants to be woken for what was submitted. Partner: {@link AddrConsumer.setNeedWakeup}. */
  needsWakeup(): boolean {
    return (Atomics.load(this.i32, this.flagsAt) & NEED_WAKEUP) !== 0;
  }

  /** Acquire; partner: {@link AddrConsumer.publish}. */
  private refresh(known: number): number {
    const consumer = Atomics.load(this.i32, this.consumerAt);
    // It lies between what was shown and where it was seen last, a ring's size below the limit.
    if ((this.published - consumer) >>> 0 > (this.published - this.limit + this.size) >>> 0) {
      this.corruptCount++;
      return known;
    }
    this.limit = (consumer + this.size) | 0;
    return (this.limit - this.next) | 0;
  }
}

/** Reads entries and gives them back, once per batch. A user's completion ring, a kernel's fill ring. One thread at a time. */
export class AddrConsumer {
  declare private readonly i32: Int32Array;
  declare private readonly descsAt: number;
  declare private readonly mask: number;
  /** Index of the next entry to read. */
  declare private next: number;
  /** Entries below are filled, as far as is known. */
  declare private end: number;
  /** Entries below are given back. */
  declare private published: number;
  declare private readonly producerAt: number;
  declare private readonly consumerAt: number;
  declare private readonly flagsAt: number;
  declare readonly size: number;
  declare corruptCount: number;

  /** Goes on where the ring's consumer index stands. */
  constructor(i32: Int32Array, layout: XskRingLayout) {
    const consumer = Atomics.load(i32, layout.consumerAt);
    this.i32 = i32;
    this.descsAt = layout.descsAt;
    this.mask = layout.size - 1;
    this.next = consumer;
    this.end = consumer;
    this.published = consumer;
    this.producerAt = layout.producerAt;
    this.consumerAt = layout.consumerAt;
    this.flagsAt = layout.flagsAt;
    this.size = layout.size;
    this.corruptCount = 0;
  }

  /** Filled entries, at most `max` (`xskq_cons_nb_entries`). Looks at the other end only when it has to. */
  peek(max: number): number {
    const known = (this.end - this.next) | 0;
    const count = known >= max ? known : this.refresh(known);
    return count < max ? count : max;
  }

  /** Low word of entry `k`, counted from the next one; `k` is below what {@link peek} said. */
  low(k: number): number {
    return this.i32[this.descsAt + (((this.next + k) & this.mask) << 1)]!;
  }

  high(k: number): number {
    return this.i32[this.descsAt + (((this.next + k) & this.mask) << 1) + 1]!;
  }

  /** Takes `n` entries; the other end learns of it at {@link publish}, or when more are looked for. */
  advance(n: number): void {
    this.next = (this.next + n) | 0;
  }

  /** Gives back everything taken. Release; partner: `refresh` of {@link AddrProducer}. */
  publish(): void {
    if (this.next === this.published) return;
    this.published = this.next;
    Atomics.store(this.i32, this.consumerAt, this.next);
  }

  /** {@link advance} and {@link publish}. */
  release(n: number): void {
    this.next = (this.next + n) | 0;
    this.publish();
  }

  /** Entries shown and not taken, by a look at the other end; what makes no sense reads as it is. */
  get filledCount(): number {
    return (Atomics.load(this.i32, this.producerAt) - this.next) | 0;
  }

  /** Kernel: says whether it wants to be woken. Partner: {@link AddrProducer.needsWakeup}. */
  setNeedWakeup(wanted: boolean): void {
    Atomics.store(this.i32, this.flagsAt, wanted ? NEED_WAKEUP : 0);
  }

  /** Acquire; partner: {@link AddrProducer.submit}. */
  private refresh(known: number): number {
    this.publish();
    const producer = Atomics.load(this.i32, this.producerAt);
    const count = (producer - this.next) | 0;
    if (count >>> 0 > this.size) {
      this.corruptCount++;
      return known;
    }
    this.end = producer;
    return count;
  }
}
