/*
 * data path
 *
 * Receive buffers from a page pool, one page each: dropped packets go straight back into the pool's cache, everything
 * else comes home from wherever it ends. Packets beyond one page go on in fragments. Behind a device that translates,
 * pages stay mapped for as long as the pool has them.
 */
import { asPageRef, DmaDir, type Host, IDX_MASK as IDX_MASK_, MemType, NetmemError } from "@netmem/core";
import {
  type QueueConfig,
  QueueCounter,
  type QueueDriver,
  type QueueDriverStats,
  type QueueMgmtOps,
  type RxQueue,
} from "@netmem/netdev";
import { createPagePool, createPagePoolStats, type PagePool, PagePoolFlag } from "@netmem/page-pool";
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

/** Room in front of every packet, for headers that a program pushes and for the frame record. */
const HEADROOM_BYTES = 256;
const MAX_REFILL = 64;

export class PagePoolDriver implements QueueDriver, QueueMgmtOps<PagePool> {
  /** The queue can get another pool while the device is up. */
  readonly mgmt: QueueMgmtOps<PagePool> = this;
  /** Packet bytes per buffer. */
  declare readonly bufferBytes: number;
  declare private readonly host: Host;
  declare private readonly i32: Int32Array;
  declare private readonly queue: RxQueue;
  declare private readonly hw: NicQueue;
  declare private readonly rx: DescriptorRing;
  declare private readonly tx: FrameTx;
  declare private readonly xdp: XdpBuff;
  /** Buffer that a slot's descriptor points at. */
  declare private readonly refs: Int32Array;
  declare private readonly batch: Int32Array;
  /** The device and the CPU see different bytes until synced. */
  declare private readonly needsSync: boolean;
  private pool: PagePool | null = null;

  constructor(host: Host, queue: RxQueue, hw: NicQueue) {
    this.host = host;
    this.i32 = host.i32;
    this.queue = queue;
    this.hw = hw;
    this.rx = hw.rx;
    this.tx = new FrameTx(host, hw, queue.counters);
    this.xdp = new XdpBuff(host, queue.info, host.pageSizeBytes);
    this.bufferBytes = host.pageSizeBytes - HEADROOM_BYTES - SHARED_INFO_BYTES;
    this.refs = new Int32Array(hw.rx.size);
    this.needsSync = hw.dma !== null && hw.dma.needsSync;
    this.batch = new Int32Array(Math.min(MAX_REFILL, hw.rx.size >> 2));
  }

  get composition(): string {
    const { provider } = this.queue;
    return provider === null ? "page_pool" : `page_pool over ${provider.name}`;
  }

  start(): void {
    const pool = this.memAlloc();
    this.hw.enable(this.queue.napi);
    try {
      this.queueStart(pool);
    } catch (error) {
      this.hw.disable();
      this.memFree(pool);
      throw error;
    }
  }

  stop(): void {
    this.tx.stop();
    if (this.pool !== null) this.memFree(this.queueStop());
    this.hw.disable();
  }

  /** @throws `ERR_NETMEM_QUEUE_UNSUPPORTED` (EOPNOTSUPP) for a provider of memory that the CPU cannot read */
  validateConfig({ provider }: QueueConfig): void {
    if (provider === null || provider.isReadable === true) return;
    throw new NetmemError({
      code: "ERR_NETMEM_QUEUE_UNSUPPORTED",
      errno: "EOPNOTSUPP",
      reason: `provider ${provider.name} has memory that the CPU cannot read, and this driver puts headers into it`,
      remedy: "Use a driver that splits headers from payload.",
      param: "provider",
      value: provider.name,
    });
  }

  memAlloc(): PagePool {
    return createPagePool(this.host, {
      name: `${this.composition} of queue ${this.queue.queueIdx}`,
      flags: this.poolFlags(),
      dmaDir: DmaDir.FromDevice,
      offsetBytes: HEADROOM_BYTES,
      maxLenBytes: this.bufferBytes,
      poolSize: this.rx.size,
      napi: this.queue.napi,
      rxq: this.queue,
    });
  }

  memFree(pool: PagePool): void {
    pool.destroy();
  }

  queueStart(pool: PagePool): void {
    this.host.mem.regMemModel(this.queue.info, MemType.PagePool, pool);
    try {
      this.refill(pool);
    } catch (error) {
      this.takeBack(pool);
      throw error;
    }
    this.pool = pool;
    this.hw.irq.unmask();
  }

  queueStop(): PagePool {
    const { pool } = this;
    if (pool === null) throw new Error("the queue was never started");
    this.takeBack(pool);
    return pool;
  }

  poll(budget: number): number {
    const { pool, queue } = this;
    if (pool === null) return 0;
    this.tx.clean();
    const work = this.receive(pool, budget);
    this.refill(pool);
    queue.burst.flush();
    if (work < budget && queue.napi.completeDone()) this.hw.irq.unmask();
    return work;
  }

  xdpXmit(frames: Int32Array, n: number): number {
    return this.tx.xmit(frames, n);
  }

  inflight(): number {
    return this.pool?.inflight() ?? 0;
  }

  getStats(): QueueDriverStats {
    const { alloc, recycle } = this.pool?.getStats() ?? createPagePoolStats();
    return {
      alloc: { fast: alloc.fast, refill: alloc.refill, slow: alloc.slow + alloc.slowHighOrder },
      recycle: { cached: recycle.cached, ring: recycle.ring, released: recycle.ringFull + recycle.releasedRefcnt },
    };
  }

  private receive(pool: PagePool, budget: number): number {
    const { rx, i32, refs, xdp, host, needsSync } = this;
    const { burst } = this.queue;
    const { mask, descsAt } = rx;
    const end = rx.completed;
    let index = rx.cleaned;
    let work = 0;
    let isFirst = true;
    let isBroken = false;
    while (index !== end && work < budget) {
      const ref = asPageRef(refs[index & mask]!);
      const d = descsAt + ((index & mask) << 2);
      const len = i32[d + LENGTH]!;
      const flags = i32[d + FLAGS]!;
      index = (index + 1) | 0;
      if (needsSync) pool.dmaSyncForCpu(ref, 0, len);
      if (isFirst) {
        const start = (ref & 1) === 0 ? ((ref >>> 1) & IDX_MASK) << host.pageShift : host.offsetOf(ref);
        xdp.prepare(ref, start, HEADROOM_BYTES, len);
        xdp.hash = i32[d + HASH]!;
      } else if (!xdp.addFrag(ref, HEADROOM_BYTES, len, host.pageSizeBytes)) {
        pool.recycleDirect(ref);
        isBroken = true;
      }
      isFirst = (flags & EOP) !== 0;
      if (!isFirst) continue;
      work++;
      if (isBroken || (flags & ERROR) !== 0) this.dropBroken();
      else if (burst.run(xdp)) this.recycle(pool);
      isBroken = false;
    }
    rx.cleaned = index;
    return work;
  }

  private poolFlags(): number {
    const { DmaMap, DmaSyncDev, AllowUnreadableNetmem } = PagePoolFlag;
    // Without the third flag the queue's provider is not asked; whether it may be is said by validateConfig.
    if (this.queue.provider !== null) return DmaMap | DmaSyncDev | AllowUnreadableNetmem;
    if (this.hw.dma === null) return 0;
    return this.needsSync ? DmaMap | DmaSyncDev : DmaMap;
  }

  private recycle(pool: PagePool): void {
    const { xdp } = this;
    if (xdp.flags === 0) pool.recycleDirect(xdp.headRef);
    else xdp.returnBuff();
  }

  private dropBroken(): void {
    this.queue.counters.add(QueueCounter.RxBroken, 1);
    this.xdp.returnBuff();
  }

  /** Empties the ring. */
  private takeBack(pool: PagePool): void {
    const { rx } = this;
    for (let index = rx.cleaned; index !== rx.producer; index = (index + 1) | 0) {
      pool.putFullPage(asPageRef(this.refs[index & rx.mask]!));
    }
    this.hw.disableRx();
  }

  /** Posts buffers in batches, as far as there are any. */
  private refill(pool: PagePool): void {
    const { rx, batch } = this;
    for (let room = rx.room; room >= batch.length; room -= batch.length) {
      const n = pool.allocBulk(batch, batch.length);
      this.post(pool, n);
      if (n === batch.length) continue;
      this.queue.counters.add(QueueCounter.AllocFailed, 1);
      return;
    }
  }

  /** Posts the first `n` buffers of the batch. */
  private post(pool: PagePool, n: number): void {
    const { rx, refs, batch, bufferBytes } = this;
    const isMapped = this.hw.dma !== null;
    for (let k = 0; k < n; k++) {
      const ref = asPageRef(batch[k]!);
      refs[rx.producer & rx.mask] = ref;
      // A provider's net_iov says itself where the device finds it; a page that is not mapped is where its index says.
      const pfn = isMapped || (ref & 1) !== 0 ? pool.getDmaAddr(ref) : (ref >>> 1) & IDX_MASK;
      rx.post(pfn, HEADROOM_BYTES, bufferBytes, 0);
    }
  }
}
