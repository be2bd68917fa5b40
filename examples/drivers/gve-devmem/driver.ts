/*
 * data path
 *
 * In the manner of Google's gve with header split: headers land in buffers that stay with the driver, and are copied from
 * there into a piece of a page, so that 64 bytes of headers do not pin 4096. Payload lands in a pool that may be device
 * memory and is never looked at. A packet that is not split is handed on in the page that it landed in.
 */
import { asPageRef, DmaDir, type Host, MemType, type PageRef, type ReadableRef } from "@netmem/core";
import { QueueCounter, type QueueDriver, type QueueDriverStats, type QueueMgmtOps, type RxQueue } from "@netmem/netdev";
import { createPagePool, createPagePoolStats, type PagePool, PagePoolFlag } from "@netmem/page-pool";
import { DescFlag, FrameTx, type NicQueue } from "@netmem/sim-nic";
import { SHARED_INFO_BYTES, XdpBuff } from "@netmem/skb";
import { BufferRing } from "./buffer-ring.ts";

const EOP = DescFlag.Eop;
const ERROR = DescFlag.Error;
const SPLIT = DescFlag.Split;

const HEADROOM_BYTES = 256;
/** What a copied header gets: headroom, up to 448 bytes of headers, shared info. */
const HEAD_BYTES = 1024;
const MAX_COPY_BYTES = HEAD_BYTES - HEADROOM_BYTES - SHARED_INFO_BYTES;

/** All that the receiving half runs on. */
export interface GveMemory {
  readonly headers: BufferRing;
  readonly payload: BufferRing;
}

export class GveDevmemDriver implements QueueDriver, QueueMgmtOps<GveMemory> {
  readonly composition = "gve_devmem";
  readonly canSplitHeaders = true;
  readonly mgmt: QueueMgmtOps<GveMemory> = this;
  declare private readonly host: Host;
  declare private readonly queue: RxQueue;
  declare private readonly hw: NicQueue;
  declare private readonly tx: FrameTx;
  declare private readonly xdp: XdpBuff;
  declare private readonly pageBytes: number;
  declare private readonly needsSync: boolean;
  private memory: GveMemory | null = null;
  /** The pool that statistics are of, also after the queue was stopped: that of the payload, where there is one. */
  private measured: PagePool | null = null;
  /** Pools that were replaced, until their last buffer is home. */
  private old: PagePool[] = [];

  constructor(host: Host, queue: RxQueue, hw: NicQueue) {
    this.host = host;
    this.queue = queue;
    this.hw = hw;
    this.tx = new FrameTx(host, hw, queue.counters);
    this.xdp = new XdpBuff(host, queue.info, host.pageSizeBytes);
    this.pageBytes = host.pageSizeBytes;
    this.needsSync = hw.dma !== null && hw.dma.needsSync;
  }

  start(): void {
    const memory = this.memAlloc();
    this.hw.enable(this.queue.napi);
    try {
      this.queueStart(memory);
    } catch (error) {
      this.hw.disable();
      this.memFree(memory);
      throw error;
    }
  }

  stop(): void {
    this.tx.stop();
    if (this.memory !== null) this.memFree(this.queueStop());
    this.hw.disable();
  }

  memAlloc(): GveMemory {
    const { host, hw, queue } = this;
    const isMapped = hw.dma !== null;
    const dmaFlags = isMapped ? PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev : 0;
    const bound = queue.provider === null ? dmaFlags : PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev;
    const headers = new BufferRing(
      host,
      hw.rx,
      this.makePool("headers", dmaFlags, HEADROOM_BYTES),
      HEADROOM_BYTES,
      isMapped,
    );
    let payload: BufferRing | null = null;
    try {
      const pool = this.makePool("payload", bound | PagePoolFlag.AllowUnreadableNetmem, 0);
      payload = new BufferRing(host, hw.rxData ?? hw.rx, pool, 0, isMapped);
      headers.prefill();
      if (hw.rxData !== null) payload.prefill();
      return { headers, payload };
    } catch (error) {
      headers.giveBack();
      payload?.giveBack();
      throw error;
    }
  }

  memFree({ headers, payload }: GveMemory): void {
    headers.giveBack();
    payload.giveBack();
    this.old = [...this.old, headers.pool, payload.pool].filter((pool) => !pool.freed);
  }

  queueStart(memory: GveMemory): void {
    const { hw, queue, host } = this;
    host.mem.regMemModel(queue.info, MemType.PagePool, memory.headers.pool);
    this.memory = memory;
    this.measured = hw.rxData === null ? memory.headers.pool : memory.payload.pool;
    memory.headers.refill();
    if (hw.rxData !== null) {
      memory.payload.refill();
      const { tcpDataSplit, hdsThreshBytes } = queue.headerSplit;
      hw.setHeaderSplit(tcpDataSplit === "enabled" ? hdsThreshBytes : -1);
    }
    hw.irq.unmask();
  }

  queueStop(): GveMemory {
    const memory = this.memory!;
    memory.headers.takeBack();
    if (this.hw.rxData !== null) memory.payload.takeBack();
    this.hw.disableRx();
    this.memory = null;
    return memory;
  }

  poll(budget: number): number {
    const { memory, queue } = this;
    if (memory === null) return 0;
    this.tx.clean();
    const work = this.receive(memory, budget);
    const isFull = memory.headers.refill() && (this.hw.rxData === null || memory.payload.refill());
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
    const pools = this.memory === null ? this.old : [...this.old, this.memory.headers.pool, this.memory.payload.pool];
    return pools.reduce((sum, pool) => sum + (pool.freed ? 0 : pool.inflight()), 0);
  }

  /** Control path. */
  getStats(): QueueDriverStats {
    const { alloc, recycle } = this.measured?.getStats() ?? createPagePoolStats();
    return {
      alloc: { fast: alloc.fast, refill: alloc.refill, slow: alloc.slow + alloc.slowHighOrder },
      recycle: { cached: recycle.cached, ring: recycle.ring, released: recycle.ringFull + recycle.releasedRefcnt },
    };
  }

  private receive(memory: GveMemory, budget: number): number {
    const { headers } = memory;
    const { burst, counters } = this.queue;
    let work = 0;
    while (work < budget && headers.count > 0) {
      const ref = asPageRef(headers.take());
      if (this.needsSync) headers.pool.dmaSyncForCpu(ref, 0, headers.length);
      const isGood = (headers.flags & SPLIT) === 0 ? this.takeWhole(headers, ref) : this.takeSplit(memory, ref);
      work++;
      if (isGood && !burst.run(this.xdp)) continue;
      if (!isGood) counters.add(QueueCounter.RxBroken, 1);
      this.xdp.returnBuff();
    }
    return work;
  }

  /** A packet in the pages that it landed in. False: the hardware failed, or it is too long; its buffers are the buff's. */
  private takeWhole(headers: BufferRing, first: PageRef): boolean {
    const { xdp, host } = this;
    xdp.frameSz = this.pageBytes;
    xdp.prepare(first, host.offsetOf(first), HEADROOM_BYTES, headers.length);
    xdp.hash = headers.hash;
    let isGood = (headers.flags & ERROR) === 0;
    while ((headers.flags & EOP) === 0) {
      const ref = headers.take();
      if (this.needsSync) headers.pool.dmaSyncForCpu(ref, 0, headers.length);
      if ((headers.flags & ERROR) !== 0) isGood = false;
      if (xdp.addFrag(ref, HEADROOM_BYTES, headers.length, this.pageBytes)) continue;
      headers.pool.recycleDirect(ref);
      isGood = false;
    }
    return isGood;
  }

  /** Headers copied into a piece of a page, payload as it lies. The header buffer is posted again. */
  private takeSplit({ headers, payload }: GveMemory, ref: PageRef): boolean {
    const { xdp, host } = this;
    const { length, flags } = headers;
    const { pool } = headers;
    const piece = length <= MAX_COPY_BYTES ? pool.allocFrag(HEAD_BYTES) : 0;
    if (piece === 0) {
      xdp.frameSz = this.pageBytes;
      xdp.prepare(ref, host.offsetOf(ref), HEADROOM_BYTES, length);
    } else {
      const from = host.offsetOf(ref) + HEADROOM_BYTES;
      const start = host.offsetOf(piece as ReadableRef) + pool.lastOffset;
      host.u8.copyWithin(start + HEADROOM_BYTES, from, from + length);
      xdp.frameSz = HEAD_BYTES;
      xdp.prepare(piece as ReadableRef, start, HEADROOM_BYTES, length);
      headers.reuse(ref);
    }
    xdp.hash = headers.hash;
    let isGood = (flags & ERROR) === 0;
    do {
      const frag = payload.take();
      if (this.needsSync) payload.pool.dmaSyncForCpu(frag, 0, payload.length);
      if (xdp.addFrag(frag, 0, payload.length, this.pageBytes)) continue;
      payload.pool.recycleDirect(frag);
      isGood = false;
    } while ((payload.flags & EOP) === 0);
    return isGood;
  }

  private makePool(part: string, flags: number, offsetBytes: number): PagePool {
    const { queue, pageBytes } = this;
    return createPagePool(this.host, {
      name: `${part} of queue ${queue.queueIdx}`,
      flags,
      dmaDir: DmaDir.FromDevice,
      offsetBytes,
      maxLenBytes: offsetBytes === 0 ? pageBytes : pageBytes - offsetBytes - SHARED_INFO_BYTES,
      napi: queue.napi,
      rxq: queue,
    });
  }
}
