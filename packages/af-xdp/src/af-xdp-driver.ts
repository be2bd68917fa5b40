/*
 * data path
 *
 * A queue of a real interface behind the same contract as the NIC model's drivers. Buffers are pages of a page pool; the
 * kernel writes packets into them, and sends them from where they lie.
 *
 *   page   256 bytes that the kernel leaves free | packet, up to the end of the page
 *
 * A packet that ends in the last 320 bytes of its page, where the shared info of fragments lies, or that has several
 * pieces, gets a head of its own: its first 256 bytes are copied there, and its pages become fragments.
 */
import { asPageRef, type Host, MemType, type ReadableRef } from "@netmem/core";
import type { Wakeup } from "@netmem/linux";
import { QueueCounter, type QueueDriver, type QueueDriverStats, type RxQueue } from "@netmem/netdev";
import { createPagePool, createPagePoolStats, type PagePool } from "@netmem/page-pool";
import { SHARED_INFO_BYTES, XdpBuff } from "@netmem/skb";
import { DescOption, type XskRings } from "@netmem/xsk";
import type { AfXdpQueue } from "./af-xdp-queue.ts";
import { FrameTx } from "./frame-tx.ts";

const CONTD = DescOption.PktContd;
/** Room that the kernel leaves in front of every packet, for headers that a program pushes and for the frame record. */
const HEADROOM_BYTES = 256;
/** Of a packet that needs a head of its own, so much is copied there: the headers. */
const PULL_BYTES = 256;
const BATCH = 64;
/** Polls that found nothing between two looks whether the interface is still there. */
const IDLE_POLLS = 1024;

export class AfXdpDriver implements QueueDriver {
  readonly composition = "af_xdp";
  /** Packet bytes that stay in their buffer: what is larger has its first bytes copied. */
  declare readonly bufferBytes: number;
  /** The port's queue. */
  declare readonly hw: AfXdpQueue;
  /** Packets whose first bytes were copied, modulo 2^32. */
  declare headCopies: number;
  declare private rings: XskRings | null;
  declare private pool: PagePool | null;
  declare private readonly host: Host;
  declare private readonly queue: RxQueue;
  declare private readonly tx: FrameTx;
  declare private readonly xdp: XdpBuff;
  declare private readonly batch: Int32Array;
  /** Buffers posted at a time. */
  declare private refillCount: number;
  declare private readonly wakeup: Wakeup;
  declare private readonly pageMask: number;
  /** The socket, -1 while stopped. */
  declare fd: number;
  declare private hasWarned: boolean;
  /** 1 while the kernel has descriptors that it did not take at the last kick. */
  declare private mustKick: 0 | 1;
  declare private idlePolls: number;

  constructor(host: Host, queue: RxQueue, hw: AfXdpQueue) {
    const { pageSizeBytes } = host;
    this.bufferBytes = pageSizeBytes - HEADROOM_BYTES - SHARED_INFO_BYTES;
    this.hw = hw;
    this.headCopies = 0;
    this.rings = null;
    this.pool = null;
    this.host = host;
    this.queue = queue;
    this.tx = new FrameTx(host, queue.counters);
    this.xdp = new XdpBuff(host, queue.info, pageSizeBytes);
    this.batch = new Int32Array(BATCH);
    this.refillCount = BATCH;
    this.wakeup = hw.port.afXdp.wakeup;
    this.pageMask = pageSizeBytes - 1;
    this.fd = -1;
    this.hasWarned = false;
    this.mustKick = 0;
    this.idlePolls = 0;
  }

  /**
   * Control path. Binds the queue, posts a page for every entry of the fill ring.
   * @throws what `AfXdpQueue.open` and `createPagePool` throw
   */
  start(): void {
    const { host, queue, hw } = this;
    const socket = hw.open();
    this.refillCount = Math.min(BATCH, Math.max(socket.layouts.fill.size >> 2, 1));
    let pool: PagePool | null = null;
    try {
      pool = this.createPool(socket.layouts.fill.size);
      host.mem.regMemModel(queue.info, MemType.PagePool, pool);
      this.refill(pool, socket.rings);
      hw.enable();
    } catch (error) {
      hw.close();
      pool?.destroy();
      throw error;
    }
    this.pool = pool;
    this.rings = socket.rings;
    this.fd = socket.fd;
    this.mustKick = 0;
  }

  /** Control path. What the kernel has at that moment comes home when the queue is seen released. */
  stop(): void {
    const { rings, pool, hw } = this;
    if (rings === null || pool === null) return;
    hw.disable();
    rings.complete(rings.txPostedCount);
    for (let n = rings.receive(BATCH); n > 0; n = rings.receive(BATCH)) {
      for (let k = 0; k < n; k++) pool.putFullPage(asPageRef(rings.refs[k]!));
    }
    hw.close();
    this.rings = null;
    this.fd = -1;
    pool.destroy();
  }

  poll(budget: number): number {
    const { rings, pool, queue } = this;
    if (rings === null || pool === null) return 0;
    if (rings.txPostedCount > 0) this.clean(rings);
    const work = this.receive(pool, rings, budget < BATCH ? budget : BATCH);
    if (work > 0) {
      this.refill(pool, rings);
      queue.burst.flush();
      this.idlePolls = 0;
    } else this.idle(pool, rings);
    if (work < budget) queue.napi.completeDone();
    return work;
  }

  xdpXmit(frames: Int32Array, n: number): number {
    const { rings } = this;
    if (rings === null || this.hw.fault !== null) return 0;
    // Completions make room in the completion ring, without which the kernel takes nothing off the TX ring.
    if (rings.txRoom(n) < n) this.clean(rings);
    const taken = this.tx.post(rings, frames, n);
    if (taken > 0 && rings.submitTx()) this.kick();
    return taken;
  }

  /** Control path. */
  inflight(): number {
    return this.pool?.inflight() ?? 0;
  }

  /** Control path. */
  getStats(): QueueDriverStats {
    const { alloc, recycle } = this.pool?.getStats() ?? createPagePoolStats();
    return {
      alloc: { fast: alloc.fast, refill: alloc.refill, slow: alloc.slow + alloc.slowHighOrder },
      recycle: { cached: recycle.cached, ring: recycle.ring, released: recycle.ringFull + recycle.releasedRefcnt },
    };
  }

  /** Puts the queue on its scheduler's poll list, as an interrupt would. False when it is there, or stopped. */
  schedule(): boolean {
    return this.queue.napi.schedule();
  }

  /** Looks whether the interface is still there, which nothing else says; one system call. See `AfXdpQueue.fault`. */
  look(): void {
    if (this.rings !== null) this.hw.judgeKick(this.wakeup.kickRx(this.fd));
  }

  /** Descriptors that were sent and are not completed: somebody has to poll for them. */
  get txPendingCount(): number {
    return this.rings?.txPostedCount ?? 0;
  }

  /** Control path. */
  private createPool(poolSize: number): PagePool {
    const { host, queue, hw } = this;
    return createPagePool(host, {
      name: `af_xdp queue ${hw.queueIdx} of ${hw.port.ifname}`,
      offsetBytes: HEADROOM_BYTES,
      maxLenBytes: host.pageSizeBytes - HEADROOM_BYTES,
      poolSize,
      napi: queue.napi,
      rxq: queue,
    });
  }

  private receive(pool: PagePool, rings: XskRings, budget: number): number {
    const { xdp, bufferBytes, pageMask } = this;
    const { burst } = this.queue;
    const { refs, offsets, lengths, options } = rings;
    const n = rings.receive(budget);
    let work = 0;
    let k = 0;
    while (k < n) {
      const len = lengths[k]!;
      const data = offsets[k]!;
      work++;
      if ((options[k]! & CONTD) === 0 && len <= bufferBytes) {
        xdp.prepare(refs[k]! as ReadableRef, data & ~pageMask, data & pageMask, len);
        k++;
        if (burst.run(xdp)) this.recycle(pool);
        continue;
      }
      const end = this.endOf(options, k);
      if (this.gather(pool, rings, k, end)) {
        if (burst.run(xdp)) xdp.returnBuff();
      }
      k = end;
    }
    return work;
  }

  /** Index after the last piece of the packet that begins with piece `k`. */
  private endOf(options: Int32Array, k: number): number {
    let end = k;
    while ((options[end]! & CONTD) !== 0) end++;
    return end + 1;
  }

  /** Makes one packet of pieces `k` to `end`, with its first bytes in a head of its own. False: dropped and counted. */
  private gather(pool: PagePool, rings: XskRings, k: number, end: number): boolean {
    const { xdp, host, pageMask } = this;
    const { refs, offsets, lengths } = rings;
    const head = pool.allocPages();
    if (head === 0) return this.drop(pool, refs, k, end, QueueCounter.AllocFailed);
    const pulled = lengths[k]! < PULL_BYTES ? lengths[k]! : PULL_BYTES;
    const at = host.offsetOf(head);
    host.u8.copyWithin(at + HEADROOM_BYTES, offsets[k]!, offsets[k]! + pulled);
    this.headCopies = (this.headCopies + 1) | 0;
    xdp.prepare(head, at, HEADROOM_BYTES, pulled);
    for (let i = k; i < end; i++) {
      const skip = i === k ? pulled : 0;
      const len = lengths[i]! - skip;
      const ref = refs[i]! as ReadableRef;
      if (len === 0) pool.recycleDirect(ref);
      else if (!xdp.addFrag(ref, (offsets[i]! & pageMask) + skip, len, host.pageSizeBytes)) {
        xdp.returnBuff();
        return this.drop(pool, refs, i, end, QueueCounter.RxBroken);
      }
    }
    return true;
  }

  private drop(pool: PagePool, refs: Int32Array, from: number, end: number, counter: number): false {
    for (let k = from; k < end; k++) pool.recycleDirect(refs[k]! as ReadableRef);
    this.queue.counters.add(counter, 1);
    return false;
  }

  private recycle(pool: PagePool): void {
    const { xdp } = this;
    if (xdp.flags === 0) pool.recycleDirect(xdp.headRef);
    else xdp.returnBuff();
  }

  /** Posts pages in batches, as far as there are any. */
  private refill(pool: PagePool, rings: XskRings): void {
    const { batch, refillCount } = this;
    while (rings.fillRoom(refillCount) >= refillCount) {
      const n = pool.allocBulk(batch, refillCount);
      if (n > 0) rings.post(batch, n);
      if (n === refillCount) continue;
      this.queue.counters.add(QueueCounter.AllocFailed, 1);
      if (!this.hasWarned) this.warnStarved();
      return;
    }
    if (rings.fillNeedsWakeup()) this.hw.judgeKick(this.wakeup.kickRx(this.fd));
  }

  /** Nothing came: what is otherwise done after packets, and now and then a look at the interface. */
  private idle(pool: PagePool, rings: XskRings): void {
    if (rings.fillRoom(this.refillCount) >= this.refillCount) this.refill(pool, rings);
    if (++this.idlePolls < IDLE_POLLS) return;
    this.idlePolls = 0;
    this.look();
  }

  /** Control path. Once per driver: packets are lost from here on until pages come home. */
  private warnStarved(): void {
    const { host, hw } = this;
    this.hasWarned = true;
    const where = `queue ${hw.queueIdx} of ${hw.port.ifname}`;
    host.warn(
      "WARN_NETMEM_XDP_FILL_STARVED",
      `${where} has no pages for its fill ring; return packets, or enlarge the arena`,
    );
  }

  private clean(rings: XskRings): void {
    rings.complete(rings.txPostedCount);
    if (this.mustKick !== 0) this.kick();
  }

  private kick(): void {
    this.mustKick = this.hw.judgeKick(this.wakeup.kickTx(this.fd)) ? 1 : 0;
  }
}
