/* data path */
import { type DmaDevice, DmaDir, type Host } from "@netmem/core";
import { DescFetch } from "./desc-fetch.ts";
import { DESC_FLAGS, DESC_LENGTH, DESC_OFFSET, DescFlag, type DescriptorRing } from "./descriptor-ring.ts";
import type { Interrupt } from "./interrupt.ts";
import type { WireSink } from "./wire.ts";

const OFFSET = DESC_OFFSET;
const LENGTH = DESC_LENGTH;
const FLAGS = DESC_FLAGS;
const EOP = DescFlag.Eop;

/** Packets handed to the wire at a time. */
const BURST = 64;
/** Least room to put packets of several descriptors together. */
const MIN_GATHER_BYTES = 16384;

/** What a transmitting half needs of its NIC. */
export interface TxPort {
  /** Longer packets are not sent. */
  readonly maxFrameBytes: number;
  readonly isTxPaused: boolean;
  readonly wire: WireSink;
}

/** The transmitting half of a hardware queue: reads posted descriptors, hands packets to the wire, completes them. */
export class TxEngine {
  declare readonly ring: DescriptorRing;
  packets = 0;
  bytes = 0;
  /** Packets not sent because an address did not translate. */
  faults = 0;
  /** Packets not sent because they were too long. */
  lengthErrors = 0;
  declare private readonly host: Host;
  declare private readonly i32: Int32Array;
  declare private readonly fetch: DescFetch;
  declare private readonly irq: Interrupt;
  declare private readonly port: TxPort;
  declare private readonly maxFrameBytes: number;
  private readonly offsets: Int32Array = new Int32Array(BURST);
  private readonly lengths: Int32Array = new Int32Array(BURST);
  private count = 0;
  /** Byte offset and size of the buffer where packets of several descriptors are put together. */
  declare private readonly gatherAt: number;
  declare private readonly gatherBytes: number;
  private gathered = 0;
  private isSending = false;

  constructor(host: Host, ring: DescriptorRing, dma: DmaDevice | null, irq: Interrupt, port: TxPort) {
    this.host = host;
    this.ring = ring;
    this.i32 = host.i32;
    this.fetch = new DescFetch(host, ring, dma, DmaDir.ToDevice, null);
    this.irq = irq;
    this.port = port;
    this.maxFrameBytes = port.maxFrameBytes;
    this.gatherBytes = Math.max(MIN_GATHER_BYTES, (port.maxFrameBytes + 3) & ~3);
    this.gatherAt = host.heap.allocWords(this.gatherBytes >> 2) << 2;
  }

  /** Driver: descriptors were posted. Sends them now, unless the link is paused. */
  doorbell(): void {
    if (this.isSending || this.port.isTxPaused) return;
    this.isSending = true;
    try {
      // Who takes the packets may pause the link.
      while (this.ring.completed !== this.ring.producer && !this.port.isTxPaused) this.sendBurst();
    } finally {
      this.isSending = false;
    }
  }

  /** Forgets what was posted; the driver takes its frames back. */
  reset(): void {
    this.ring.reset();
    this.fetch.reset();
  }

  /** Gives the gather buffer back. */
  dispose(): void {
    this.host.heap.freeWords(this.gatherAt >> 2, this.gatherBytes >> 2);
  }

  private sendBurst(): void {
    const { ring } = this;
    let index = ring.completed;
    const end = ring.producer;
    this.count = 0;
    this.gathered = 0;
    while (index !== end && this.count < BURST) {
      const next = this.addPacket(index, end);
      if (next === index) break;
      index = next;
    }
    try {
      if (this.count > 0) this.port.wire(this.host.u8, this.offsets, this.lengths, this.count);
    } finally {
      ring.completed = index;
      this.irq.raise();
    }
  }

  /** Adds the packet that starts at `first`; returns the index after it, or `first` when the gather buffer is full. */
  private addPacket(first: number, end: number): number {
    const { ring, i32 } = this;
    const d = ring.descAt(first);
    if ((i32[d + FLAGS]! & EOP) === 0) return this.gather(first, end);
    const lenBytes = i32[d + LENGTH]!;
    const page = this.fetch.pageOf(first);
    if (lenBytes > this.maxFrameBytes) this.lengthErrors++;
    else if (page < 0) this.faults++;
    else this.addToBurst(page + i32[d + OFFSET]!, lenBytes);
    return (first + 1) | 0;
  }

  private gather(first: number, end: number): number {
    const { ring, i32 } = this;
    const next = this.packetEnd(first, end);
    const total = this.packetBytes(first, next);
    if (total > this.maxFrameBytes) {
      this.lengthErrors++;
      return next;
    }
    if (this.gathered + total > this.gatherBytes) return first;
    const to = this.gatherAt + this.gathered;
    let done = 0;
    for (let index = first; index !== next; index = (index + 1) | 0) {
      const d = ring.descAt(index);
      const page = this.fetch.pageOf(index);
      const len = i32[d + LENGTH]!;
      if (page < 0) {
        this.faults++;
        return next;
      }
      this.host.u8.copyWithin(to + done, page + i32[d + OFFSET]!, page + i32[d + OFFSET]! + len);
      done += len;
    }
    this.addToBurst(to, done);
    this.gathered += (done + 3) & ~3;
    return next;
  }

  /** Index after the packet's last descriptor. */
  private packetEnd(first: number, end: number): number {
    let index = first;
    while (index !== end) {
      const flags = this.i32[this.ring.descAt(index) + FLAGS]!;
      index = (index + 1) | 0;
      if ((flags & EOP) !== 0) break;
    }
    return index;
  }

  private packetBytes(first: number, next: number): number {
    let total = 0;
    for (let index = first; index !== next; index = (index + 1) | 0) {
      total += this.i32[this.ring.descAt(index) + LENGTH]!;
    }
    return total;
  }

  private addToBurst(offset: number, lenBytes: number): void {
    this.offsets[this.count] = offset;
    this.lengths[this.count] = lenBytes;
    this.count++;
    this.packets++;
    this.bytes += lenBytes;
  }
}
