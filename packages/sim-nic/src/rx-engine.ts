/* data path */
import { type DmaDevice, DmaDir, type Host } from "@netmem/core";
import { DescFetch } from "./desc-fetch.ts";
import {
  DESC_FLAGS,
  DESC_HASH,
  DESC_LENGTH,
  DESC_OFFSET,
  DescFlag,
  type DescriptorRing,
  RING_COMPLETED,
  RING_PRODUCER,
} from "./descriptor-ring.ts";
import type { DmaCopy } from "./dma-copy.ts";
import type { Interrupt } from "./interrupt.ts";

const PRODUCER = RING_PRODUCER;
const COMPLETED = RING_COMPLETED;
const OFFSET = DESC_OFFSET;
const LENGTH = DESC_LENGTH;
const FLAGS = DESC_FLAGS;
const HASH = DESC_HASH;
const EOP = DescFlag.Eop;
const ERROR = DescFlag.Error;

/** The receiving half of a hardware queue: writes packets into posted buffers and completes their descriptors. */
export class RxEngine {
  declare readonly ring: DescriptorRing;
  packets = 0;
  bytes = 0;
  /** Packets dropped because too few descriptors were posted. */
  noDesc = 0;
  /** Packets lost because an address did not translate. */
  faults = 0;
  declare private readonly i32: Int32Array;
  declare private readonly at: number;
  declare private readonly descsAt: number;
  declare private readonly mask: number;
  declare private readonly fetch: DescFetch;
  declare private readonly copy: DmaCopy;
  declare private readonly irq: Interrupt;

  constructor(host: Host, ring: DescriptorRing, dma: DmaDevice | null, copy: DmaCopy, irq: Interrupt) {
    this.ring = ring;
    this.i32 = host.i32;
    this.at = ring.at;
    this.descsAt = ring.descsAt;
    this.mask = ring.mask;
    this.fetch = new DescFetch(host, ring, dma, DmaDir.FromDevice);
    this.copy = copy;
    this.irq = irq;
  }

  /**
   * One packet: `lenBytes` bytes at `from` of the copier's source. False when it was dropped for want of buffers; the
   * interrupt is raised then too, so that a driver that had no memory tries again.
   */
  deliver(from: number, lenBytes: number, hash: number): boolean {
    const { i32, at } = this;
    const index = i32[at + COMPLETED]!;
    if (index === i32[at + PRODUCER]!) return this.drop();
    const d = this.descsAt + ((index & this.mask) << 2);
    if (lenBytes > i32[d + LENGTH]!) return this.scatter(index, from, lenBytes, hash);
    const page = this.fetch.pageOf(index);
    if (page < 0) return this.fault(index, 1);
    this.copy.copy(page + i32[d + OFFSET]!, from, lenBytes);
    i32[d + LENGTH] = lenBytes;
    i32[d + FLAGS] = EOP;
    i32[d + HASH] = hash;
    i32[at + COMPLETED] = (index + 1) | 0;
    this.packets++;
    this.bytes += lenBytes;
    this.irq.raise();
    return true;
  }

  /** Forgets what was posted; the driver takes its buffers back. */
  reset(): void {
    this.ring.reset();
    this.fetch.reset();
  }

  private scatter(first: number, from: number, lenBytes: number, hash: number): boolean {
    const { ring, i32 } = this;
    const count = this.countDescs(first, lenBytes);
    if (count === 0) return this.drop();
    for (let n = 0; n < count; n++) if (this.fetch.pageOf((first + n) | 0) < 0) return this.fault(first, count);
    let done = 0;
    for (let n = 0; n < count; n++) {
      const index = (first + n) | 0;
      const d = ring.descAt(index);
      const piece = Math.min(i32[d + LENGTH]!, lenBytes - done);
      this.copy.copy(this.fetch.pageOf(index) + i32[d + OFFSET]!, from + done, piece);
      i32[d + LENGTH] = piece;
      i32[d + FLAGS] = n === count - 1 ? EOP : 0;
      i32[d + HASH] = hash;
      done += piece;
    }
    ring.completed = (first + count) | 0;
    this.packets++;
    this.bytes += lenBytes;
    this.irq.raise();
    return true;
  }

  /** Descriptors from `first` on that hold `lenBytes` together, 0 when too few are posted. */
  private countDescs(first: number, lenBytes: number): number {
    const { ring, i32 } = this;
    const posted = (ring.producer - first) | 0;
    let room = 0;
    for (let n = 0; n < posted; n++) {
      room += i32[ring.descAt(first + n) + LENGTH]!;
      if (room >= lenBytes) return n + 1;
    }
    return 0;
  }

  private drop(): boolean {
    this.noDesc++;
    this.irq.raise();
    return false;
  }

  /** Completes the packet's descriptors without data. */
  private fault(first: number, count: number): boolean {
    const { ring, i32 } = this;
    for (let n = 0; n < count; n++) {
      const d = ring.descAt(first + n);
      i32[d + LENGTH] = 0;
      i32[d + FLAGS] = n === count - 1 ? EOP | ERROR : ERROR;
    }
    ring.completed = (first + count) | 0;
    this.faults++;
    this.irq.raise();
    return false;
  }
}
