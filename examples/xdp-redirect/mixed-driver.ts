/*
 * data path
 *
 * A queue whose receive ring takes its buffers from three places in turn: two page pools and the page allocator. A packet
 * of three buffers is a head and two fragments of three owners, whichever of them comes first. The buffers are small, so
 * that ordinary packets need several.
 *
 * Nothing here remembers where a buffer came from: each finds its own way home.
 */
import { asPageRef, type Host, IDX_MASK as IDX_MASK_, MemType, returnNetmem, returnNetmemRxNapi } from "@netmem/core";
import { QueueCounter, type QueueDriver, type QueueDriverStats, type RxQueue } from "@netmem/netdev";
import { createPagePool, type PagePool } from "@netmem/page-pool";
import {
  DESC_FLAGS,
  DESC_HASH,
  DESC_LENGTH,
  DescFlag,
  type DescriptorRing,
  FrameTx,
  type NicQueue,
} from "@netmem/sim-nic";
import { XdpBuff } from "@netmem/skb";

const IDX_MASK = IDX_MASK_;
const LENGTH = DESC_LENGTH;
const FLAGS = DESC_FLAGS;
const HASH = DESC_HASH;
const EOP = DescFlag.Eop;
const ERROR = DescFlag.Error;

/** Room in front of every packet for the frame record and what a program pushes. */
const HEADROOM_BYTES = 256;
/** Packet bytes per buffer. */
export const BUFFER_BYTES = 512;

export interface MixedDriverParams {
  /** Frames as the kernel has them, of one memory type each: packets that mix types are dropped then. */
  readonly kernelFrames?: boolean;
}

export class MixedDriver implements QueueDriver {
  readonly composition = "mixed";
  declare private readonly host: Host;
  declare private readonly i32: Int32Array;
  declare private readonly queue: RxQueue;
  declare private readonly hw: NicQueue;
  declare private readonly rx: DescriptorRing;
  declare private readonly tx: FrameTx;
  declare private readonly xdp: XdpBuff;
  /** Buffer that a slot's descriptor points at. */
  declare private readonly refs: Int32Array;
  declare private pools: readonly [PagePool, PagePool] | null;
  /** Who gives the next buffer: the first pool, the second, or the page allocator. */
  declare private turn: number;

  constructor(host: Host, queue: RxQueue, hw: NicQueue, params: MixedDriverParams = {}) {
    this.host = host;
    this.i32 = host.i32;
    this.queue = queue;
    this.hw = hw;
    this.rx = hw.rx;
    this.tx = new FrameTx(host, hw, queue.counters);
    this.xdp = new XdpBuff(host, queue.info, host.pageSizeBytes, params);
    this.refs = new Int32Array(hw.rx.size);
    this.pools = null;
    this.turn = 0;
  }

  start(): void {
    const pools = this.createPools();
    this.pools = pools;
    this.refill(pools);
    this.hw.enable(this.queue.napi);
    this.hw.irq.unmask();
  }

  stop(): void {
    const { rx, pools, host } = this;
    if (pools === null) return;
    this.tx.stop();
    for (let index = rx.cleaned; index !== rx.producer; index = (index + 1) | 0) {
      returnNetmem(host, asPageRef(this.refs[index & rx.mask]!));
    }
    this.hw.disable();
    for (const pool of pools) pool.destroy();
  }

  poll(budget: number): number {
    const { pools, queue } = this;
    if (pools === null) return 0;
    this.tx.clean();
    const work = this.receive(budget);
    this.refill(pools);
    queue.burst.flush();
    if (work < budget && queue.napi.completeDone()) this.hw.irq.unmask();
    return work;
  }

  xdpXmit(frames: Int32Array, n: number): number {
    return this.tx.xmit(frames, n);
  }

  /** Buffers of the pools; those of the page allocator belong to nobody but their packet. */
  inflight(): number {
    return this.pools?.reduce((sum, pool) => sum + pool.inflight(), 0) ?? 0;
  }

  getStats(): QueueDriverStats {
    const sum = { alloc: { fast: 0, refill: 0, slow: 0 }, recycle: { cached: 0, ring: 0, released: 0 } };
    for (const pool of this.pools ?? []) {
      const { alloc, recycle } = pool.getStats();
      sum.alloc.fast += alloc.fast;
      sum.alloc.refill += alloc.refill;
      sum.alloc.slow += alloc.slow;
      sum.recycle.cached += recycle.cached;
      sum.recycle.ring += recycle.ring;
      sum.recycle.released += recycle.ringFull + recycle.releasedRefcnt;
    }
    return sum;
  }

  /** Both pools, the first of them registered as the queue's memory; none when something fails. */
  private createPools(): readonly [PagePool, PagePool] {
    const first = this.createPool("first");
    let second: PagePool | null = null;
    try {
      second = this.createPool("second");
      this.host.mem.regMemModel(this.queue.info, MemType.PagePool, first);
      return [first, second];
    } catch (error) {
      first.destroy();
      second?.destroy();
      throw error;
    }
  }

  private createPool(name: string): PagePool {
    const { host, queue } = this;
    return createPagePool(host, {
      name: `${name} pool of queue ${queue.queueIdx}, device ${queue.ifindex}`,
      poolSize: this.rx.size,
      napi: queue.napi,
      rxq: queue,
    });
  }

  private receive(budget: number): number {
    const { rx, i32, refs, xdp, host } = this;
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

  private refill([first, second]: readonly [PagePool, PagePool]): void {
    const { rx, refs, host } = this;
    for (let room = rx.room; room > 0; room--) {
      const { turn } = this;
      const ref = turn === 0 ? first.allocPages() : turn === 1 ? second.allocPages() : host.pages.allocPages(0);
      if (ref === 0) {
        this.queue.counters.add(QueueCounter.AllocFailed, 1);
        return;
      }
      this.turn = turn === 2 ? 0 : turn + 1;
      refs[rx.producer & rx.mask] = ref;
      rx.post((ref >>> 1) & IDX_MASK, HEADROOM_BYTES, BUFFER_BYTES, 0);
    }
  }
}
