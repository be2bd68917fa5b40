/*
 * data path
 *
 * The simplest receive buffers: a fresh page from the page allocator for each, given back like any page when its packet
 * ends. Nothing to register, nothing to destroy; every packet pays the allocator and, behind a device that translates, a
 * mapping of its own.
 */
import {
  asPageRef,
  type DmaDevice,
  DmaDir,
  type Host,
  IDX_MASK as IDX_MASK_,
  MemType,
  returnNetmemRxNapi,
} from "@netmem/core";
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
const MAX_REFILL = 64;

export class Order0Driver implements QueueDriver {
  readonly composition = "page_order0";
  /** Packet bytes per buffer. */
  declare readonly bufferBytes: number;
  declare private readonly host: Host;
  declare private readonly i32: Int32Array;
  declare private readonly queue: RxQueue;
  declare private readonly hw: NicQueue;
  declare private readonly rx: DescriptorRing;
  declare private readonly tx: FrameTx;
  declare private readonly xdp: XdpBuff;
  declare private readonly dma: DmaDevice | null;
  /** Page that a slot's descriptor points at, and its page frame number while it is mapped. */
  declare private readonly refs: Int32Array;
  declare private readonly pfns: Int32Array;
  declare private readonly batch: Int32Array;
  private allocated = 0;

  constructor(host: Host, queue: RxQueue, hw: NicQueue) {
    this.host = host;
    this.i32 = host.i32;
    this.queue = queue;
    this.hw = hw;
    this.rx = hw.rx;
    this.tx = new FrameTx(host, hw, queue.counters);
    this.xdp = new XdpBuff(host, queue.info, host.pageSizeBytes);
    this.bufferBytes = host.pageSizeBytes - HEADROOM_BYTES - SHARED_INFO_BYTES;
    this.dma = hw.dma;
    this.refs = new Int32Array(hw.rx.size);
    this.pfns = new Int32Array(hw.rx.size);
    this.batch = new Int32Array(Math.min(MAX_REFILL, hw.rx.size >> 2));
  }

  start(): void {
    this.host.mem.regMemModel(this.queue.info, MemType.PageOrder0, null);
    this.refill();
    this.hw.enable(this.queue.napi);
    this.hw.irq.unmask();
  }

  stop(): void {
    const { rx, host } = this;
    this.tx.stop();
    for (let index = rx.cleaned; index !== rx.producer; index = (index + 1) | 0) {
      const slot = index & rx.mask;
      this.dma?.unmap(this.pfns[slot]!, 0, FROM_DEVICE);
      host.pages.freePage(asPageRef(this.refs[slot]!));
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

  /** Pages posted and frames being sent. Pages with packets belong to nobody but their packet. */
  inflight(): number {
    return this.postedCount + this.tx.pendingCount;
  }

  getStats(): QueueDriverStats {
    return {
      alloc: { fast: 0, refill: 0, slow: this.allocated },
      recycle: { cached: 0, ring: 0, released: this.allocated - this.postedCount },
    };
  }

  private get postedCount(): number {
    return (this.rx.producer - this.rx.cleaned) | 0;
  }

  private receive(budget: number): number {
    const { rx, i32, refs, xdp, host, dma } = this;
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
      const d = descsAt + (slot << 2);
      const len = i32[d + LENGTH]!;
      const flags = i32[d + FLAGS]!;
      index = (index + 1) | 0;
      if (dma !== null) takeFromDevice(dma, this.pfns[slot]!, len);
      if (isFirst) {
        xdp.prepare(ref, ((ref >>> 1) & IDX_MASK) << host.pageShift, HEADROOM_BYTES, len);
        xdp.hash = i32[d + HASH]!;
      } else if (!xdp.addFrag(ref, HEADROOM_BYTES, len, host.pageSizeBytes)) {
        returnNetmemRxNapi(host, ref);
        isBroken = true;
      }
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

  /** Posts fresh pages in batches, as far as there are any. */
  private refill(): void {
    const { rx, batch, host } = this;
    for (let room = rx.room; room >= batch.length; room -= batch.length) {
      const n = host.pages.allocBulk(batch, batch.length);
      this.allocated += n;
      if (this.post(n) === batch.length) continue;
      this.queue.counters.add(QueueCounter.AllocFailed, 1);
      return;
    }
  }

  /** Posts the first `n` pages of the batch; returns how many. */
  private post(n: number): number {
    const { rx, refs, batch, bufferBytes, dma } = this;
    if (dma !== null) return this.postMapped(dma, n);
    for (let k = 0; k < n; k++) {
      const ref = asPageRef(batch[k]!);
      refs[rx.producer & rx.mask] = ref;
      rx.post((ref >>> 1) & IDX_MASK, HEADROOM_BYTES, bufferBytes, 0);
    }
    return n;
  }

  /** As {@link post}; pages that the device refuses go back. */
  private postMapped(dma: DmaDevice, n: number): number {
    const { rx, refs, pfns, batch, bufferBytes, host } = this;
    for (let k = 0; k < n; k++) {
      const ref = asPageRef(batch[k]!);
      const pfn = dma.map(ref, 0, FROM_DEVICE);
      if (pfn === 0) {
        for (let rest = k; rest < n; rest++) host.pages.freePage(asPageRef(batch[rest]!));
        return k;
      }
      const slot = rx.producer & rx.mask;
      refs[slot] = ref;
      pfns[slot] = pfn;
      rx.post(pfn, HEADROOM_BYTES, bufferBytes, 0);
    }
    return n;
  }
}

/** Ends a buffer's mapping; the `len` bytes that the device wrote are the CPU's from here on. */
function takeFromDevice(dma: DmaDevice, pfn: number, len: number): void {
  if (dma.needsSync) dma.syncForCpu(pfn, HEADROOM_BYTES, len, FROM_DEVICE);
  dma.unmap(pfn, 0, FROM_DEVICE);
}
