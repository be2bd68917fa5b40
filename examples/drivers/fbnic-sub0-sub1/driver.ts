/*
 * data path
 *
 * In the manner of Meta's fbnic: every receive queue has two buffer queues with a page pool each. `sub0` takes headers, and
 * packets that are not split, into half pages: two holders per page, which goes home with the second. `sub1` takes payload
 * into whole buffers of ordinary or unreadable memory. The head goes up in the half page that it landed in, uncopied.
 */
import { asPageRef, DmaDir, type Host, MemType } from "@netmem/core";
import { QueueCounter, type QueueDriver, type QueueDriverStats, type QueueMgmtOps, type RxQueue } from "@netmem/netdev";
import { createPagePool, createPagePoolStats, type PagePool, PagePoolFlag } from "@netmem/page-pool";
import { DescFlag, FrameTx, type NicQueue } from "@netmem/sim-nic";
import { SHARED_INFO_BYTES, XdpBuff } from "@netmem/skb";
import { type Layout, SubQueue } from "./sub-queue.ts";

const EOP = DescFlag.Eop;
const ERROR = DescFlag.Error;
const SPLIT = DescFlag.Split;

const HEADROOM_BYTES = 256;
const HEADERS_PER_PAGE = 2;

/** All that the receiving half runs on: kernel `fbnic_q_triad`. */
export interface FbnicTriad {
  readonly sub0: SubQueue;
  readonly sub1: SubQueue | null;
}

export class FbnicDriver implements QueueDriver, QueueMgmtOps<FbnicTriad> {
  readonly composition = "fbnic_sub0_sub1";
  readonly canSplitHeaders = true;
  readonly mgmt: QueueMgmtOps<FbnicTriad> = this;
  declare private readonly host: Host;
  declare private readonly queue: RxQueue;
  declare private readonly hw: NicQueue;
  declare private readonly tx: FrameTx;
  declare private readonly xdp: XdpBuff;
  /** Bytes of a header buffer. */
  declare private readonly headerBytes: number;
  declare private readonly needsSync: boolean;
  private triad: FbnicTriad | null = null;
  /** The pool that statistics are of, also after the queue was stopped: that of the headers. */
  private measured: PagePool | null = null;
  /** Pools that were replaced, until their last buffer is home. */
  private old: PagePool[] = [];

  constructor(host: Host, queue: RxQueue, hw: NicQueue) {
    this.host = host;
    this.queue = queue;
    this.hw = hw;
    this.headerBytes = host.pageSizeBytes / HEADERS_PER_PAGE;
    this.tx = new FrameTx(host, hw, queue.counters);
    this.xdp = new XdpBuff(host, queue.info, this.headerBytes);
    this.needsSync = hw.dma !== null && hw.dma.needsSync;
  }

  start(): void {
    const triad = this.memAlloc();
    this.hw.enable(this.queue.napi);
    try {
      this.queueStart(triad);
    } catch (error) {
      this.hw.disable();
      this.memFree(triad);
      throw error;
    }
  }

  stop(): void {
    this.tx.stop();
    if (this.triad !== null) this.memFree(this.queueStop());
    this.hw.disable();
  }

  memAlloc(): FbnicTriad {
    const { host, hw, queue, headerBytes } = this;
    const isMapped = hw.dma !== null;
    const mapped = PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev;
    const header: Layout = {
      piecesPerBuffer: HEADERS_PER_PAGE,
      pieceBytes: headerBytes,
      headroomBytes: HEADROOM_BYTES,
      roomBytes: headerBytes - HEADROOM_BYTES - SHARED_INFO_BYTES,
    };
    const bytes = host.pageSizeBytes;
    const whole: Layout = { piecesPerBuffer: 1, pieceBytes: bytes, headroomBytes: 0, roomBytes: bytes };
    const flags = PagePoolFlag.AllowUnreadableNetmem | (isMapped || queue.provider !== null ? mapped : 0);
    const sub0 = new SubQueue(host, hw.rx, this.makePool("sub0", isMapped ? mapped : 0), header, isMapped);
    let sub1: SubQueue | null = null;
    try {
      // The provider of the queue may refuse its pool.
      sub1 = hw.rxData && new SubQueue(host, hw.rxData, this.makePool("sub1", flags), whole, isMapped);
      sub0.prefill();
      sub1?.prefill();
    } catch (error) {
      sub0.giveBack();
      sub1?.giveBack();
      throw error;
    }
    return { sub0, sub1 };
  }

  memFree({ sub0, sub1 }: FbnicTriad): void {
    sub0.giveBack();
    sub1?.giveBack();
    const pools = sub1 === null ? [sub0.pool] : [sub0.pool, sub1.pool];
    this.old = [...this.old, ...pools].filter((pool) => !pool.freed);
  }

  queueStart(triad: FbnicTriad): void {
    const { hw, queue, host } = this;
    host.mem.regMemModel(queue.info, MemType.PagePool, triad.sub0.pool);
    this.triad = triad;
    this.measured = triad.sub0.pool;
    triad.sub0.refill();
    if (triad.sub1 !== null) {
      triad.sub1.refill();
      const { tcpDataSplit, hdsThreshBytes } = queue.headerSplit;
      hw.setHeaderSplit(tcpDataSplit === "enabled" ? hdsThreshBytes : -1);
    }
    hw.irq.unmask();
  }

  queueStop(): FbnicTriad {
    const triad = this.triad!;
    triad.sub0.takeBack();
    triad.sub1?.takeBack();
    this.hw.disableRx();
    this.triad = null;
    // For the case that it is started again, as far as there are buffers.
    triad.sub0.stockUp();
    triad.sub1?.stockUp();
    return triad;
  }

  poll(budget: number): number {
    const { triad, queue } = this;
    if (triad === null) return 0;
    this.tx.clean();
    const work = this.receive(triad, budget);
    const isFull = triad.sub0.refill() && (triad.sub1 === null || triad.sub1.refill());
    if (!isFull) queue.counters.add(QueueCounter.AllocFailed, 1);
    queue.burst.flush();
    if (work < budget && queue.napi.completeDone()) this.hw.irq.unmask();
    return work;
  }

  xdpXmit(frames: Int32Array, n: number): number {
    return this.tx.xmit(frames, n);
  }

  /** Control path. */
  inflight(): number {
    const { triad } = this;
    const live = triad === null ? [] : [triad.sub0.pool, ...(triad.sub1 === null ? [] : [triad.sub1.pool])];
    return [...this.old, ...live].reduce((sum, pool) => sum + (pool.freed ? 0 : pool.inflight()), 0);
  }

  /** Control path. */
  getStats(): QueueDriverStats {
    const { alloc, recycle } = this.measured?.getStats() ?? createPagePoolStats();
    return {
      alloc: { fast: alloc.fast, refill: alloc.refill, slow: alloc.slow + alloc.slowHighOrder },
      recycle: { cached: recycle.cached, ring: recycle.ring, released: recycle.ringFull + recycle.releasedRefcnt },
    };
  }

  private receive(triad: FbnicTriad, budget: number): number {
    const { sub0, sub1 } = triad;
    const { xdp, host } = this;
    const { burst, counters } = this.queue;
    let work = 0;
    for (; work < budget && sub0.count > 0; work++) {
      const ref = asPageRef(sub0.take());
      const { start, length, flags } = sub0;
      if (this.needsSync) sub0.pool.dmaSyncForCpu(ref, start + HEADROOM_BYTES, length);
      xdp.prepare(ref, host.offsetOf(ref) + start, HEADROOM_BYTES, length);
      xdp.hash = sub0.hash;
      let isGood = (flags & ERROR) === 0;
      if ((flags & SPLIT) !== 0 && sub1 !== null) isGood = this.addFrags(sub1, 0) && isGood;
      else if ((flags & EOP) === 0) isGood = this.addFrags(sub0, HEADROOM_BYTES) && isGood;
      if (isGood && !burst.run(xdp)) continue;
      if (!isGood) counters.add(QueueCounter.RxBroken, 1);
      xdp.returnBuff();
    }
    return work;
  }

  /** The rest of a packet, up to its last piece. False: the hardware failed, or the packet is too long. */
  private addFrags(sub: SubQueue, headroom: number): boolean {
    const truesize = headroom === 0 ? this.host.pageSizeBytes : this.headerBytes;
    let isGood = true;
    do {
      const ref = sub.take();
      if (this.needsSync) sub.pool.dmaSyncForCpu(ref, sub.start + headroom, sub.length);
      if ((sub.flags & ERROR) !== 0) isGood = false;
      if (this.xdp.addFrag(ref, sub.start + headroom, sub.length, truesize)) continue;
      sub.pool.put(ref, -1, true);
      isGood = false;
    } while ((sub.flags & EOP) === 0);
    return isGood;
  }

  private makePool(name: string, flags: number): PagePool {
    const { queue, host } = this;
    return createPagePool(host, {
      name: `${name} of queue ${queue.queueIdx}`,
      flags,
      dmaDir: DmaDir.FromDevice,
      maxLenBytes: host.pageSizeBytes,
      napi: queue.napi,
      rxq: queue,
    });
  }
}
