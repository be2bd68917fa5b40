/*
 * data path
 *
 * A queue whose buffers go to an application as they are: no skb, no frame, no headroom, nothing but packet bytes is
 * ever written into them. Buffers come from a page pool of the queue's own, zeroed when they enter it. What the
 * application can find in a page is therefore zeros and its own flow's bytes, if a flow rule lets nothing else in.
 */
import { asPageRef, DmaDir, type Host, IDX_MASK as IDX_MASK_, MemType } from "@netmem/core";
import { QueueCounter, type QueueDriver, type QueueDriverStats, type RxQueue } from "@netmem/netdev";
import { createPagePool, createPagePoolStats, type PagePool, PagePoolFlag } from "@netmem/page-pool";
import { DESC_FLAGS, DESC_LENGTH, DescFlag, type DescriptorRing, type NicQueue } from "@netmem/sim-nic";

const IDX_MASK = IDX_MASK_;
const LENGTH = DESC_LENGTH;
const FLAGS = DESC_FLAGS;
const EOP = DescFlag.Eop;
const MAX_BURST = 64;

/**
 * Takes the packets of a poll: packet n is the first `lengths[n]` bytes of page `refs[n]`, for n below `count`. The pages
 * are the callee's, until it gives them to {@link ZeroCopyDriver.giveBack}; the arrays are not.
 */
export type TakePackets = (refs: Int32Array, lengths: Int32Array, count: number) => void;

export interface ZeroCopyParams {
  readonly take: TakePackets;
  /** Zero pages when they enter the pool. Default true; tests show what happens otherwise. */
  readonly clearOnEntry?: boolean;
}

export class ZeroCopyDriver implements QueueDriver {
  readonly composition = "zero_copy";
  declare private readonly host: Host;
  declare private readonly i32: Int32Array;
  declare private readonly queue: RxQueue;
  declare private readonly hw: NicQueue;
  declare private readonly rx: DescriptorRing;
  /** Buffer that a slot's descriptor points at. */
  declare private readonly posted: Int32Array;
  declare private readonly batch: Int32Array;
  /** Packets of the poll at hand. */
  declare private readonly refs: Int32Array;
  declare private readonly lengths: Int32Array;
  declare private readonly take: TakePackets;
  declare private readonly needsSync: boolean;
  declare private readonly clearOnEntry: boolean;
  private count = 0;
  private pool: PagePool | null = null;
  /** Pools that were replaced, until the application's last page is home. */
  private old: PagePool[] = [];

  constructor(host: Host, queue: RxQueue, hw: NicQueue, params: ZeroCopyParams) {
    this.host = host;
    this.i32 = host.i32;
    this.queue = queue;
    this.hw = hw;
    this.rx = hw.rx;
    this.posted = new Int32Array(hw.rx.size);
    this.batch = new Int32Array(Math.min(MAX_BURST, hw.rx.size >> 2));
    this.refs = new Int32Array(MAX_BURST);
    this.lengths = new Int32Array(MAX_BURST);
    this.take = params.take;
    this.needsSync = hw.dma !== null && hw.dma.needsSync;
    this.clearOnEntry = params.clearOnEntry ?? true;
  }

  start(): void {
    const { host, queue } = this;
    const pool = this.createPool();
    try {
      host.mem.regMemModel(queue.info, MemType.PagePool, pool);
    } catch (error) {
      pool.destroy();
      throw error;
    }
    if (this.pool !== null) this.old = [...this.old, this.pool].filter(({ freed }) => !freed);
    this.pool = pool;
    this.refill(pool);
    this.hw.enable(queue.napi);
    this.hw.irq.unmask();
  }

  /** Pages that the application has live on until it gives them back. */
  stop(): void {
    const { rx, pool } = this;
    if (pool === null) return;
    for (let index = rx.cleaned; index !== rx.producer; index = (index + 1) | 0) {
      pool.putFullPage(asPageRef(this.posted[index & rx.mask]!));
    }
    this.hw.disable();
    pool.destroy();
  }

  poll(budget: number): number {
    const { pool, queue } = this;
    if (pool === null) return 0;
    const work = this.receive(pool, budget);
    this.refill(pool);
    if (this.count > 0) this.take(this.refs, this.lengths, this.count);
    if (work < budget && queue.napi.completeDone()) this.hw.irq.unmask();
    return work;
  }

  /** Takes pages back from the application: `refs[0..count)`, in any order, also of a pool that was replaced. */
  giveBack(refs: Int32Array, count: number): void {
    this.pool?.putNetmemBulk(refs, count);
  }

  /** The queue only receives. */
  xdpXmit(_frames: Int32Array, _n: number): number {
    return 0;
  }

  /** Control path. */
  inflight(): number {
    const pools = this.pool === null ? this.old : [...this.old, this.pool];
    return pools.reduce((sum, pool) => sum + (pool.freed ? 0 : pool.inflight()), 0);
  }

  getStats(): QueueDriverStats {
    const { alloc, recycle } = this.pool?.getStats() ?? createPagePoolStats();
    return {
      alloc: { fast: alloc.fast, refill: alloc.refill, slow: alloc.slow + alloc.slowHighOrder },
      recycle: { cached: recycle.cached, ring: recycle.ring, released: recycle.ringFull + recycle.releasedRefcnt },
    };
  }

  private createPool(): PagePool {
    const { host, queue } = this;
    const syncFlag = this.needsSync ? PagePoolFlag.DmaSyncDev : 0;
    return createPagePool(host, {
      name: `${this.composition} of queue ${queue.queueIdx}`,
      flags: this.hw.dma === null ? 0 : PagePoolFlag.DmaMap | syncFlag,
      dmaDir: DmaDir.FromDevice,
      maxLenBytes: host.pageSizeBytes,
      poolSize: this.rx.size,
      napi: queue.napi,
      rxq: queue,
      clearOnEntry: this.clearOnEntry,
    });
  }

  /** Collects packets of one page; what is longer or has no data is dropped. */
  private receive(pool: PagePool, budget: number): number {
    const { rx, i32, posted } = this;
    const { mask, descsAt } = rx;
    const end = rx.completed;
    let index = rx.cleaned;
    let work = 0;
    let bytes = 0;
    let isFirst = true;
    this.count = 0;
    while (index !== end && work < budget) {
      const slot = index & mask;
      const ref = asPageRef(posted[slot]!);
      const len = i32[descsAt + (slot << 2) + LENGTH]!;
      const flags = i32[descsAt + (slot << 2) + FLAGS]!;
      index = (index + 1) | 0;
      if (isFirst && flags === EOP) {
        if (this.needsSync) pool.dmaSyncForCpu(ref, 0, len);
        this.refs[this.count] = ref;
        this.lengths[this.count++] = len;
        bytes += len;
        work++;
        continue;
      }
      pool.recycleDirect(ref);
      isFirst = (flags & EOP) !== 0;
      if (isFirst) this.queue.counters.add(QueueCounter.RxBroken, 1);
      if (isFirst) work++;
    }
    rx.cleaned = index;
    this.queue.counters.addWide(QueueCounter.RxPackets, this.count);
    this.queue.counters.addWide(QueueCounter.RxBytes, bytes);
    return work;
  }

  /** Posts whole pages in batches, as far as there are any. */
  private refill(pool: PagePool): void {
    const { rx, batch, posted, host } = this;
    const isMapped = this.hw.dma !== null;
    for (let room = rx.room; room >= batch.length; room -= batch.length) {
      const n = pool.allocBulk(batch, batch.length);
      for (let k = 0; k < n; k++) {
        const ref = asPageRef(batch[k]!);
        posted[rx.producer & rx.mask] = ref;
        rx.post(isMapped ? pool.getDmaAddr(ref) : (ref >>> 1) & IDX_MASK, 0, host.pageSizeBytes, 0);
      }
      if (n === batch.length) continue;
      this.queue.counters.add(QueueCounter.AllocFailed, 1);
      return;
    }
  }
}
