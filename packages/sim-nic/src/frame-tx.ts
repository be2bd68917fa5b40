/*
 * data path
 *
 * The transmitting half of a driver for this NIC: frames to descriptors, and frames back home once they are sent. Every
 * queue driver holds one.
 */
import { DmaDir, type Host, IDX_MASK as IDX_MASK_, INFO_ORDER_MASK, type ReadableRef } from "@netmem/core";
import { QueueCounter, type QueueCounters } from "@netmem/netdev";
import {
  asFrameRef,
  FRAG_LEN,
  FRAG_OFFSET,
  FRAG_REF,
  fragAt,
  FrameBulk,
  FRAME_FLAGS,
  FRAME_LEN,
  FRAME_REF,
  frameData,
  frameHasFrags,
  frameLen,
  type FrameRef,
  frameSharedInfoAt,
  SHINFO_NR_FRAGS,
  XdpFlag,
} from "@netmem/skb";
import { DescFlag, type DescriptorRing } from "./descriptor-ring.ts";
import type { NicQueue } from "./nic-queue.ts";

const IDX_MASK = IDX_MASK_;
const ORDER_MASK = INFO_ORDER_MASK;
const EOP = DescFlag.Eop;
const UNREADABLE = XdpFlag.Unreadable;
const TO_DEVICE = DmaDir.ToDevice;

export class FrameTx {
  declare private readonly host: Host;
  declare private readonly i32: Int32Array;
  declare private readonly hw: NicQueue;
  declare private readonly ring: DescriptorRing;
  declare private readonly counters: QueueCounters;
  /** Takes sent frames home. */
  declare private readonly bulk: FrameBulk;
  /** Frame that ends with the descriptor of a slot, 0 for none. */
  declare private readonly frames: Int32Array;
  /** First page frame number and order of a slot's mapping. */
  declare private readonly mappedPfns: Int32Array;
  declare private readonly mappedOrders: Int32Array;
  /** What the wire threw, until {@link clean} tells. */
  declare private failures: unknown[];

  constructor(host: Host, hw: NicQueue, counters: QueueCounters) {
    this.host = host;
    this.i32 = host.i32;
    this.hw = hw;
    this.ring = hw.tx;
    this.counters = counters;
    this.frames = new Int32Array(this.ring.size);
    this.bulk = new FrameBulk(host);
    this.mappedPfns = new Int32Array(this.ring.size);
    this.mappedOrders = new Int32Array(this.ring.size);
    this.failures = [];
  }

  /** Frames not home yet. Control path. */
  get pendingCount(): number {
    return this.frames.reduce((count, frame) => (frame === 0 ? count : count + 1), 0);
  }

  /**
   * Posts `frames[0..n)` as far as there is room and rings the doorbell once. Returns how many were taken; see
   * `QueueDriver.xdpXmit`. What the wire throws is thrown by the next {@link clean}.
   */
  xmit(frames: Int32Array, n: number): number {
    let taken = 0;
    let bytes = 0;
    while (taken < n) {
      const frame = asFrameRef(frames[taken]!);
      if (!this.postFrame(frame)) break;
      bytes += frameLen(this.host, frame);
      taken++;
    }
    if (taken === 0) return 0;
    this.counters.addWide(QueueCounter.TxPackets, taken);
    this.counters.addWide(QueueCounter.TxBytes, bytes);
    try {
      this.hw.txEngine.doorbell();
    } catch (error) {
      this.failures.push(error);
    }
    return taken;
  }

  /** Takes the buffers of sent frames home. Once per poll. */
  clean(): void {
    if (this.ring.cleaned !== this.ring.completed) this.cleanTo(this.ring.completed);
    if (this.failures.length > 0) throw this.failures.splice(0)[0];
  }

  /**
   * Control path. Takes every frame home, sent or not. The hardware must be stopped from using the ring right after. A
   * frame that somebody returned already is a warning, `WARN_NETMEM_TX_STOP`, so that the driver takes its other buffers
   * home too; so is what the wire threw.
   */
  stop(): void {
    const { ring, failures } = this;
    while (ring.cleaned !== ring.producer) {
      try {
        this.cleanTo(ring.producer);
      } catch (error) {
        failures.push(error);
      }
    }
    for (const error of failures.splice(0)) this.host.warn("WARN_NETMEM_TX_STOP", `sending frames: ${String(error)}`);
  }

  /** A frame that somebody returned already is an error of theirs: thrown, but no other frame is lost by it. */
  private cleanTo(end: number): void {
    const { ring, frames, hw } = this;
    const bulk = this.bulk.begin();
    let index = ring.cleaned;
    try {
      while (index !== end) {
        const slot = index & ring.mask;
        index = (index + 1) | 0;
        if (hw.dma !== null) hw.dma.unmap(this.mappedPfns[slot]!, this.mappedOrders[slot]!, TO_DEVICE);
        const frame = frames[slot]!;
        if (frame === 0) continue;
        frames[slot] = 0;
        bulk.add(asFrameRef(frame));
      }
    } finally {
      ring.cleaned = index;
      bulk.end();
    }
  }

  private postFrame(frame: FrameRef): boolean {
    const { host, i32, ring } = this;
    if ((i32[frame + FRAME_FLAGS]! & UNREADABLE) !== 0) return false;
    const shinfo = frameHasFrags(host, frame) ? frameSharedInfoAt(host, frame) : 0;
    const frags = shinfo === 0 ? 0 : i32[shinfo + SHINFO_NR_FRAGS]!;
    if (ring.room < frags + 1) return false;
    const start = ring.producer;
    const head = i32[frame + FRAME_REF]! as ReadableRef;
    let posted = this.postPiece(head, frameData(host, frame), i32[frame + FRAME_LEN]!, frags === 0 ? EOP : 0);
    for (let n = 0; n < frags && posted; n++) {
      const at = fragAt(shinfo, n);
      const ref = i32[at + FRAG_REF]! as ReadableRef;
      const data = host.offsetOf(ref) + i32[at + FRAG_OFFSET]!;
      posted = this.postPiece(ref, data, i32[at + FRAG_LEN]!, n === frags - 1 ? EOP : 0);
    }
    if (!posted) return this.takeBack(start);
    this.frames[(ring.producer - 1) & ring.mask] = frame;
    return true;
  }

  /** One descriptor for `len` bytes at arena byte offset `data`, which lies in buffer `ref`. False: the device refused. */
  private postPiece(ref: ReadableRef, data: number, len: number, flags: number): boolean {
    const { host, hw, ring } = this;
    const pageMask = (1 << host.pageShift) - 1;
    let pfn = data >>> host.pageShift;
    if (hw.dma !== null) {
      const order = this.i32[host.infoAt + ((ref >>> 1) & IDX_MASK)]! & ORDER_MASK;
      const first = hw.dma.map(ref, order, TO_DEVICE);
      if (first === 0) return false;
      const slot = ring.producer & ring.mask;
      this.mappedPfns[slot] = first;
      this.mappedOrders[slot] = order;
      pfn = first + pfn - (host.offsetOf(ref) >>> host.pageShift);
    }
    ring.post(pfn, data & pageMask, len, flags);
    return true;
  }

  /** Unposts the descriptors of a frame that could not be mapped as a whole. */
  private takeBack(start: number): boolean {
    const { ring, hw } = this;
    for (let index = start; index !== ring.producer; index = (index + 1) | 0) {
      hw.dma?.unmap(this.mappedPfns[index & ring.mask]!, this.mappedOrders[index & ring.mask]!, TO_DEVICE);
    }
    ring.producer = start;
    return false;
  }
}
