/*
 * data path
 *
 * Two receive buffers per page, counted by the page refcount: the trick of drivers from before the page pool. The driver
 * keeps one reference on a page for as long as it uses it; each packet that gets a half takes another. When a half comes
 * in and nobody holds the other one, that other half is posted next; otherwise the driver lets go of the page, and
 * whoever still holds it frees it. Behind a device that translates, a page is mapped while the driver keeps it.
 */
import {
  asPageRef,
  type DmaDevice,
  DmaDir,
  type Host,
  IDX_MASK as IDX_MASK_,
  MemType,
  type PageRef,
  returnNetmem,
  returnNetmemRxNapi,
} from "@netmem/core";
import type { PageShared } from "@netmem/mm";
import { QueueCounter, type QueueDriver, type QueueDriverStats, type RxQueue } from "@netmem/netdev";
import {
  DESC_FLAGS,
  DESC_HASH,
  DESC_LENGTH,
  DescFlag,
  type DescriptorRing,
  FrameTx,
  type NicQueue,
} from "@netmem/sim-nic";
import { SHARED_INFO_BYTES, XdpBuff } from "@netmem/skb";

const IDX_MASK = IDX_MASK_;
const LENGTH = DESC_LENGTH;
const FLAGS = DESC_FLAGS;
const HASH = DESC_HASH;
const EOP = DescFlag.Eop;
const ERROR = DescFlag.Error;
const FROM_DEVICE = DmaDir.FromDevice;

/** Room in front of every packet, for headers that a program pushes and for the frame record. */
const HEADROOM_BYTES = 256;
const MAX_REFILL = 32;

export class SplitPageDriver implements QueueDriver {
  readonly composition = "page_shared";
  /** Packet bytes per buffer. */
  declare readonly bufferBytes: number;
  declare private readonly host: Host;
  declare private readonly i32: Int32Array;
  declare private readonly pages: PageShared;
  declare private readonly queue: RxQueue;
  declare private readonly hw: NicQueue;
  declare private readonly rx: DescriptorRing;
  declare private readonly tx: FrameTx;
  declare private readonly xdp: XdpBuff;
  declare private readonly halfBytes: number;
  declare private readonly dma: DmaDevice | null;
  declare private readonly needsSync: boolean;
  /** Page of a slot's descriptor, its page frame number, and where in it the half starts. */
  declare private readonly refs: Int32Array;
  declare private readonly pfns: Int32Array;
  declare private readonly halves: Int32Array;
  /** Pages with a free half, their page frame numbers, and where the half starts. */
  declare private readonly reuseRefs: Int32Array;
  declare private readonly reusePfns: Int32Array;
  declare private readonly reuseHalves: Int32Array;
  private reuseCount = 0;
  declare private readonly refillCount: number;
  private reused = 0;
  private allocated = 0;
  private released = 0;

  constructor(host: Host, pages: PageShared, queue: RxQueue, hw: NicQueue) {
    const size = hw.rx.size;
    this.host = host;
    this.i32 = host.i32;
    this.pages = pages;
    this.queue = queue;
    this.hw = hw;
    this.rx = hw.rx;
    this.tx = new FrameTx(host, hw, queue.counters);
    this.halfBytes = host.pageSizeBytes >> 1;
    this.xdp = new XdpBuff(host, queue.info, this.halfBytes);
    this.bufferBytes = this.halfBytes - HEADROOM_BYTES - SHARED_INFO_BYTES;
    this.dma = hw.dma;
    this.needsSync = hw.dma !== null && hw.dma.needsSync;
    this.refs = new Int32Array(size);
    this.pfns = new Int32Array(size);
    this.halves = new Int32Array(size);
    this.reuseRefs = new Int32Array(size);
    this.reusePfns = new Int32Array(size);
    this.reuseHalves = new Int32Array(size);
    this.refillCount = Math.min(MAX_REFILL, size >> 2);
  }

  start(): void {
    this.host.mem.regMemModel(this.queue.info, MemType.PageShared, null);
    this.refill();
    this.hw.enable(this.queue.napi);
    this.hw.irq.unmask();
  }

  stop(): void {
    const { rx } = this;
    this.tx.stop();
    for (let index = rx.cleaned; index !== rx.producer; index = (index + 1) | 0) {
      this.giveUp(this.refs[index & rx.mask]!, this.pfns[index & rx.mask]!);
    }
    while (this.reuseCount > 0) {
      this.reuseCount--;
      this.giveUp(this.reuseRefs[this.reuseCount]!, this.reusePfns[this.reuseCount]!);
    }
    this.hw.disable();
  }

  poll(budget: number): number {
    const { queue } = this;
    this.tx.clean();
    const work = this.receive(budget);
    this.refill();
    queue.burst.flush();
    if (work < budget && queue.napi.completeDone()) this.hw.irq.unmask();
    return work;
  }

  xdpXmit(frames: Int32Array, n: number): number {
    return this.tx.xmit(frames, n);
  }

  /** Pages that the driver holds and frames being sent. A page that it let go of belongs to its packets. */
  inflight(): number {
    return ((this.rx.producer - this.rx.cleaned) | 0) + this.reuseCount + this.tx.pendingCount;
  }

  getStats(): QueueDriverStats {
    return {
      alloc: { fast: this.reused, refill: 0, slow: this.allocated },
      recycle: { cached: this.reused + this.reuseCount, ring: 0, released: this.released },
    };
  }

  private receive(budget: number): number {
    const { rx, i32, refs, halves, xdp, host } = this;
    const { burst } = this.queue;
    const { mask, descsAt } = rx;
    const end = rx.completed;
    let index = rx.cleaned;
    let work = 0;
    let isFirst = true;
    let isBroken = false;
    while (index !== end && work < budget) {
      const slot = index & mask;
      const ref = asPageRef(refs[slot]!);
      const half = halves[slot]!;
      const d = descsAt + (slot << 2);
      const len = i32[d + LENGTH]!;
      const flags = i32[d + FLAGS]!;
      index = (index + 1) | 0;
      this.pages.share(ref);
      if (this.needsSync) this.dma!.syncForCpu(this.pfns[slot]!, half + HEADROOM_BYTES, len, FROM_DEVICE);
      if (isFirst) {
        xdp.prepare(ref, (((ref >>> 1) & IDX_MASK) << host.pageShift) + half, HEADROOM_BYTES, len);
        xdp.hash = i32[d + HASH]!;
      } else if (!xdp.addFrag(ref, half + HEADROOM_BYTES, len, this.halfBytes)) {
        returnNetmemRxNapi(host, ref);
        isBroken = true;
      }
      this.keepOrRelease(ref, half, slot);
      isFirst = (flags & EOP) !== 0;
      if (!isFirst) continue;
      work++;
      if (isBroken || (flags & ERROR) !== 0) this.queue.counters.add(QueueCounter.RxBroken, 1);
      else if (!burst.run(xdp)) continue;
      isBroken = false;
      xdp.returnBuff();
    }
    rx.cleaned = index;
    return work;
  }

  /** The other half is free when only the driver and the packet at hand hold the page. */
  private keepOrRelease(ref: PageRef, half: number, slot: number): void {
    if (this.pages.holders(ref) > 2) {
      this.released++;
      if (this.dma !== null) this.dma.unmap(this.pfns[slot]!, 0, FROM_DEVICE);
      returnNetmemRxNapi(this.host, ref);
      return;
    }
    this.reuseRefs[this.reuseCount] = ref;
    if (this.dma !== null) this.reusePfns[this.reuseCount] = this.pfns[slot]!;
    this.reuseHalves[this.reuseCount] = half ^ this.halfBytes;
    this.reuseCount++;
  }

  /** Posts free halves, then fresh pages, in batches, as far as there are any. */
  private refill(): void {
    for (let room = this.rx.room; room >= this.refillCount; room -= this.refillCount) {
      for (let n = 0; n < this.refillCount; n++) {
        if (this.postReused() || this.postFresh()) continue;
        this.queue.counters.add(QueueCounter.AllocFailed, 1);
        return;
      }
    }
  }

  private postReused(): boolean {
    if (this.reuseCount === 0) return false;
    this.reuseCount--;
    this.reused++;
    const ref = asPageRef(this.reuseRefs[this.reuseCount]!);
    const half = this.reuseHalves[this.reuseCount]!;
    this.post(ref, half, this.dma === null ? (ref >>> 1) & IDX_MASK : this.handOver(this.dma, half));
    return true;
  }

  /** Page frame number of the page that was taken from the reuse list, whose half goes to the device again. */
  private handOver(dma: DmaDevice, half: number): number {
    const pfn = this.reusePfns[this.reuseCount]!;
    if (this.needsSync) dma.syncForDevice(pfn, half + HEADROOM_BYTES, this.bufferBytes, FROM_DEVICE);
    return pfn;
  }

  private postFresh(): boolean {
    const ref = this.pages.alloc();
    if (ref === 0) return false;
    const pfn = this.dma === null ? (ref >>> 1) & IDX_MASK : this.dma.map(ref, 0, FROM_DEVICE);
    if (pfn === 0) {
      returnNetmemRxNapi(this.host, ref);
      return false;
    }
    this.allocated++;
    this.post(ref, 0, pfn);
    return true;
  }

  private post(ref: PageRef, half: number, pfn: number): void {
    const { rx } = this;
    const slot = rx.producer & rx.mask;
    this.refs[slot] = ref;
    if (this.dma !== null) this.pfns[slot] = pfn;
    this.halves[slot] = half;
    rx.post(pfn, half + HEADROOM_BYTES, this.bufferBytes, 0);
  }

  /** Unmaps a page and drops the driver's reference. */
  private giveUp(ref: number, pfn: number): void {
    this.dma?.unmap(pfn, 0, FROM_DEVICE);
    returnNetmem(this.host, asPageRef(ref));
  }
}
