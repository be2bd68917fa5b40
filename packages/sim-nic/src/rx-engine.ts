/* data path */
import { type DmaDevice, DmaDir, type Host } from "@netmem/core";
import { DescFetch, PORT_PAGE } from "./desc-fetch.ts";
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
import { HeaderLength } from "./header-length.ts";
import type { Interrupt } from "./interrupt.ts";
import type { MemoryPorts } from "./memory-ports.ts";

const PRODUCER = RING_PRODUCER;
const COMPLETED = RING_COMPLETED;
const OFFSET = DESC_OFFSET;
const LENGTH = DESC_LENGTH;
const FLAGS = DESC_FLAGS;
const HASH = DESC_HASH;
const EOP = DescFlag.Eop;
const ERROR = DescFlag.Error;
const SPLIT = DescFlag.Split;
const AT_PORT = PORT_PAGE;

/** What a receiving half needs of its NIC. */
export interface RxParts {
  readonly dma: DmaDevice | null;
  readonly copy: DmaCopy;
  readonly ports: MemoryPorts;
  readonly irq: Interrupt;
}

/** The receiving half of a hardware queue: writes packets into posted buffers and completes their descriptors. */
export class RxEngine {
  declare readonly ring: DescriptorRing;
  packets = 0;
  bytes = 0;
  /** Packets dropped because too few descriptors were posted. */
  noDesc = 0;
  /** Packets lost because an address did not translate. */
  faults = 0;
  /** Packets whose payload went to the data ring. */
  splits = 0;
  /** Packets with more bytes of payload are split; -1 = none is. */
  splitAbove = -1;
  declare private readonly i32: Int32Array;
  declare private readonly at: number;
  declare private readonly descsAt: number;
  declare private readonly mask: number;
  declare private readonly fetch: DescFetch;
  declare private readonly copy: DmaCopy;
  declare private readonly irq: Interrupt;
  declare private readonly ports: MemoryPorts;
  /** Where payload of split packets goes. */
  declare private readonly data: DescriptorRing | null;
  declare private readonly dataFetch: DescFetch | null;
  private readonly headers: HeaderLength = new HeaderLength();

  constructor(host: Host, ring: DescriptorRing, data: DescriptorRing | null, { dma, copy, ports, irq }: RxParts) {
    this.ring = ring;
    this.i32 = host.i32;
    this.at = ring.at;
    this.descsAt = ring.descsAt;
    this.mask = ring.mask;
    this.fetch = new DescFetch(host, ring, dma, DmaDir.FromDevice, ports);
    this.copy = copy;
    this.irq = irq;
    this.ports = ports;
    this.data = data;
    this.dataFetch = data === null ? null : new DescFetch(host, data, dma, DmaDir.FromDevice, ports);
  }

  /**
   * One packet: `lenBytes` bytes at `from` of the copier's source. False when it was dropped for want of buffers; the
   * interrupt is raised then too, so that a driver that had no memory tries again.
   */
  deliver(from: number, lenBytes: number, hash: number): boolean {
    const { i32, at } = this;
    const index = i32[at + COMPLETED]!;
    if (index === i32[at + PRODUCER]!) return this.drop();
    if (this.splitAbove >= 0) {
      const headBytes = this.headers.of(this.copy.sourceBytes, from, lenBytes);
      if (headBytes > 0 && lenBytes - headBytes > this.splitAbove)
        return this.split(index, from, headBytes, lenBytes, hash);
    }
    const d = this.descsAt + ((index & this.mask) << 2);
    if (lenBytes > i32[d + LENGTH]!) return this.scatter(index, from, lenBytes, hash);
    const page = this.fetch.pageOf(index);
    if (page < 0) return this.scatter(index, from, lenBytes, hash);
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
    this.data?.reset();
    this.dataFetch?.reset();
  }

  /** A packet of several buffers, or one that goes through a port or to an address that faults. */
  private scatter(first: number, from: number, lenBytes: number, hash: number): boolean {
    const { ring } = this;
    const count = this.countDescs(ring, lenBytes);
    if (count === 0) return this.drop();
    if (!this.write(ring, this.fetch, count, from, lenBytes, hash)) return this.fault(first, count);
    ring.completed = (first + count) | 0;
    return this.taken(lenBytes);
  }

  /** Headers to the packet ring, payload to the data ring, whose descriptors are completed first. */
  private split(index: number, from: number, headBytes: number, lenBytes: number, hash: number): boolean {
    const { ring, data, dataFetch, i32 } = this;
    const d = ring.descAt(index);
    if (data === null || dataFetch === null || headBytes > i32[d + LENGTH]!) return this.drop();
    const bodyBytes = lenBytes - headBytes;
    const count = this.countDescs(data, bodyBytes);
    if (count === 0) return this.drop();
    const first = data.completed;
    const isWritten =
      this.write(data, dataFetch, count, from + headBytes, bodyBytes, hash) &&
      this.write(ring, this.fetch, 1, from, headBytes, hash);
    if (!isWritten) return this.faultSplit(data, index, first, count);
    i32[d + FLAGS] = EOP | SPLIT;
    data.completed = (first + count) | 0;
    ring.completed = (index + 1) | 0;
    this.splits++;
    return this.taken(lenBytes);
  }

  /** Writes into the next `count` descriptors of a ring. False when one of their addresses faults. */
  private write(
    ring: DescriptorRing,
    fetch: DescFetch,
    count: number,
    from: number,
    lenBytes: number,
    hash: number,
  ): boolean {
    const { i32 } = this;
    const first = ring.completed;
    let done = 0;
    for (let n = 0; n < count; n++) {
      const index = (first + n) | 0;
      const d = ring.descAt(index);
      const piece = Math.min(i32[d + LENGTH]!, lenBytes - done);
      if (!this.land(d, fetch.pageOf(index), from + done, piece)) return false;
      done += piece;
    }
    // Only now: the length of a descriptor that faults is still its room.
    done = 0;
    for (let n = 0; n < count; n++) {
      const d = ring.descAt((first + n) | 0);
      const piece = Math.min(i32[d + LENGTH]!, lenBytes - done);
      i32[d + LENGTH] = piece;
      i32[d + FLAGS] = n === count - 1 ? EOP : 0;
      i32[d + HASH] = hash;
      done += piece;
    }
    return true;
  }

  private land(d: number, page: number, from: number, lenBytes: number): boolean {
    const { i32, copy } = this;
    if (page >= 0) copy.copy(page + i32[d + OFFSET]!, from, lenBytes);
    else if (page === AT_PORT) return this.ports.write(i32[d]!, i32[d + OFFSET]!, copy.sourceBytes, from, lenBytes);
    return page >= 0;
  }

  /** Descriptors of the ring that hold `lenBytes` together, 0 when too few are posted. */
  private countDescs(ring: DescriptorRing, lenBytes: number): number {
    const { i32 } = this;
    const first = ring.completed;
    const posted = (ring.producer - first) | 0;
    let room = 0;
    for (let n = 0; n < posted; n++) {
      room += i32[ring.descAt(first + n) + LENGTH]!;
      if (room >= lenBytes) return n + 1;
    }
    return 0;
  }

  private taken(lenBytes: number): boolean {
    this.packets++;
    this.bytes += lenBytes;
    this.irq.raise();
    return true;
  }

  private drop(): boolean {
    this.noDesc++;
    this.irq.raise();
    return false;
  }

  /** Completes the packet's descriptors without data. */
  private fault(first: number, count: number): boolean {
    this.fail(this.ring, first, count);
    return this.lost();
  }

  /** Both parts: the driver finds the error at the headers, and the payload's buffers behind them. */
  private faultSplit(data: DescriptorRing, index: number, first: number, count: number): boolean {
    this.fail(data, first, count);
    this.fail(this.ring, index, 1);
    this.i32[this.ring.descAt(index) + FLAGS] = EOP | ERROR | SPLIT;
    return this.lost();
  }

  private fail(ring: DescriptorRing, first: number, count: number): void {
    const { i32 } = this;
    for (let n = 0; n < count; n++) {
      const d = ring.descAt(first + n);
      i32[d + LENGTH] = 0;
      i32[d + FLAGS] = n === count - 1 ? EOP | ERROR : ERROR;
    }
    ring.completed = (first + count) | 0;
  }

  private lost(): boolean {
    this.faults++;
    this.irq.raise();
    return false;
  }
}
