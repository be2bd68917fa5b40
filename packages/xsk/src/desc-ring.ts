/*
 * data path
 *
 * The two ends of a ring of descriptors (RX, TX): as addr-ring.ts, with entries of four words. Written out twice
 * because a base class would make both slow.
 */
import { RING_NEED_WAKEUP } from "./abi.ts";
import type { XskRingLayout } from "./ring-layout.ts";

const NEED_WAKEUP = RING_NEED_WAKEUP;

/** Fills descriptors and shows them, once per batch. A user's TX ring, a kernel's RX ring. One thread at a time. */
export class DescProducer {
  declare private readonly i32: Int32Array;
  declare private readonly descsAt: number;
  declare private readonly mask: number;
  /** Index of the next descriptor to fill. */
  declare private next: number;
  /** Descriptors below are free, as far as is known. */
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

  /** Free descriptors: at least `want`, or all there are (`xskq_prod_nb_free`). */
  room(want: number): number {
    const known = (this.limit - this.next) | 0;
    return known >= want ? known : this.refresh(known);
  }

  /** Fills a descriptor that nobody sees yet. There must be {@link room}. */
  put(low: number, high: number, lenBytes: number, options: number): void {
    const i32 = this.i32;
    const at = this.descsAt + ((this.next & this.mask) << 2);
    i32[at] = low;
    i32[at + 1] = high;
    i32[at + 2] = lenBytes;
    i32[at + 3] = options;
    this.next = (this.next + 1) | 0;
  }

  /** Word offset of the `k`-th descriptor filled and not shown. */
  stagedAt(k: number): number {
    return this.descsAt + (((this.published + k) & this.mask) << 2);
  }

  /** Forgets the last `n` descriptors filled and not shown (`xskq_prod_cancel_n`). */
  cancel(n: number): void {
    this.next = (this.next - n) | 0;
  }

  /** Shows everything filled. Release; partner: {@link DescConsumer.peek}. */
  submit(): void {
    if (this.next === this.published) return;
    this.published = this.next;
    Atomics.store(this.i32, this.producerAt, this.next);
  }

  /** Descriptors filled and not shown. */
  get stagedCount(): number {
    return (this.next - this.published) | 0;
  }

  /** Descriptors shown and not taken, by a look at the other end. */
  get filledCount(): number {
    return (this.published - Atomics.load(this.i32, this.consumerAt)) | 0;
  }

  /** The other end, the kernel, wants to be woken. Partner: {@link DescConsumer.setNeedWakeup}. */
  needsWakeup(): boolean {
    return (Atomics.load(this.i32, this.flagsAt) & NEED_WAKEUP) !== 0;
  }

  /** Acquire; partner: {@link DescConsumer.publish}. */
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

/** Reads descriptors and gives them back, once per batch. A user's RX ring, a kernel's TX ring. One thread at a time. */
export class DescConsumer {
  declare private readonly i32: Int32Array;
  declare private readonly descsAt: number;
  declare private readonly mask: number;
  /** Index of the next descriptor to read. */
  declare private next: number;
  /** Descriptors below are filled, as far as is known. */
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

  /** Filled descriptors, at most `max` (`xskq_cons_nb_entries`). Looks at the other end only when it has to. */
  peek(max: number): number {
    const known = (this.end - this.next) | 0;
    const count = known >= max ? known : this.refresh(known);
    return count < max ? count : max;
  }

  /** Word offset of descriptor `k`, counted from the next one: address low, address high, length, options. */
  at(k: number): number {
    return this.descsAt + (((this.next + k) & this.mask) << 2);
  }

  /** Takes `n` descriptors; the other end learns of it at {@link publish}, or when more are looked for. */
  advance(n: number): void {
    this.next = (this.next + n) | 0;
  }

  /** Gives back everything taken. Release; partner: `refresh` of {@link DescProducer}. */
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

  /** Descriptors shown and not taken, by a look at the other end; what makes no sense reads as it is. */
  get filledCount(): number {
    return (Atomics.load(this.i32, this.producerAt) - this.next) | 0;
  }

  /** Kernel: says whether it wants to be woken. Partner: {@link DescProducer.needsWakeup}. */
  setNeedWakeup(wanted: boolean): void {
    Atomics.store(this.i32, this.flagsAt, wanted ? NEED_WAKEUP : 0);
  }

  /** Acquire; partner: {@link DescProducer.submit}. */
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
