/*
 * data path
 *
 * A queue with an AF_XDP socket, both halves of it: below, the zero-copy driver; here the application, which feeds the fill
 * ring from a page pool, runs the program on what the RX ring brings, and transmits frames of any memory without a copy,
 * because the UMEM *is* the host's packet pages. On a real NIC this half stays as it is, and the kernel is the other.
 */
import {
  type Host,
  IDX_MASK as IDX_MASK_,
  MemType,
  type QueueAllocator,
  type ReadableRef,
  returnNetmemRxNapi,
} from "@netmem/core";
import { QueueCounter, type QueueDriver, type QueueDriverStats, type RxQueue } from "@netmem/netdev";
import { createPagePool, createPagePoolStats, type PagePool } from "@netmem/page-pool";
import type { NicQueue } from "@netmem/sim-nic";
import { XdpBuff } from "@netmem/skb";
import {
  BindFlag,
  createUmem,
  DescOption,
  type Umem,
  XDP_PACKET_HEADROOM,
  XskKernel,
  type XskQueue,
  XskRings,
  type XskSocket,
} from "@netmem/xsk";
import { FrameSender } from "./frame-sender.ts";
import { ZeroCopyQueue } from "./zero-copy-queue.ts";

const IDX_MASK = IDX_MASK_;
const CONTD = DescOption.PktContd;
const HEADROOM_BYTES = XDP_PACKET_HEADROOM;
const BATCH = 64;
const MAX_SEGS = 18;
/** Of a full poll of packets, each of as many pieces as there can be. */
const RX_ENTRIES = 2048;
const TX_ENTRIES = 256;
const COMPLETION_ENTRIES = 512;
const MIN_FILL_ENTRIES = 512;
const OWN_BYTES = 4 * 2 ** 20;

/** Everything that lives from start to stop, and after it until the last buffer is home. */
interface Session {
  readonly umem: Umem;
  readonly socket: XskSocket;
  readonly xsk: XskQueue;
  readonly rings: XskRings;
  readonly zc: ZeroCopyQueue;
  readonly sender: FrameSender;
  /** Null where the UMEM has frames of its own. */
  readonly pool: PagePool | null;
  readonly frames: QueueAllocator;
}

export class XskZcDriver implements QueueDriver {
  readonly composition = "xsk";
  declare private readonly host: Host;
  declare private readonly queue: RxQueue;
  declare private readonly hw: NicQueue;
  declare private readonly xdp: XdpBuff;
  declare private readonly batch: Int32Array;
  /** The device has memory of its own: it would need a copy of every page of the host. */
  declare private readonly hasOwnFrames: boolean;
  private session: Session | null = null;
  private isRunning = false;

  constructor(host: Host, queue: RxQueue, hw: NicQueue) {
    this.host = host;
    this.queue = queue;
    this.hw = hw;
    this.xdp = new XdpBuff(host, queue.info, host.pageSizeBytes);
    this.batch = new Int32Array(BATCH);
    this.hasOwnFrames = hw.dma !== null && hw.dma.needsSync;
  }

  start(): void {
    const session = this.open();
    this.session = session;
    this.isRunning = true;
    this.feed(session);
    session.zc.refill();
    this.hw.enable(this.queue.napi);
    this.hw.irq.unmask();
  }

  stop(): void {
    const { session } = this;
    if (session === null || !this.isRunning) return;
    this.isRunning = false;
    const { rings, xsk, socket, umem, pool, zc } = session;
    zc.stop();
    rings.close();
    socket.close();
    xsk.onReleased(() => {
      rings.released();
      umem.dispose();
    });
    pool?.destroy();
  }

  poll(budget: number): number {
    const { session, queue } = this;
    if (session === null || !this.isRunning) return 0;
    session.zc.transmit();
    session.rings.complete(COMPLETION_ENTRIES);
    const work = session.zc.receive(budget);
    this.takeReceived(session);
    this.feed(session);
    session.zc.refill();
    queue.burst.flush();
    if (work < budget && queue.napi.completeDone()) this.hw.irq.unmask();
    return work;
  }

  xdpXmit(frames: Int32Array, n: number): number {
    return this.session === null || !this.isRunning ? 0 : this.session.sender.xmit(frames, n);
  }

  inflight(): number {
    const { session } = this;
    if (session === null) return 0;
    return session.pool?.inflight() ?? session.umem.frames?.outCount ?? 0;
  }

  getStats(): QueueDriverStats {
    const { alloc, recycle } = this.session?.pool?.getStats() ?? createPagePoolStats();
    return {
      alloc: { fast: alloc.fast, refill: alloc.refill, slow: alloc.slow + alloc.slowHighOrder },
      recycle: { cached: recycle.cached, ring: recycle.ring, released: recycle.ringFull + recycle.releasedRefcnt },
    };
  }

  /** The application's half of receiving: whole packets from the RX ring to the program. */
  private takeReceived({ rings }: Session): void {
    const { xdp } = this;
    const { burst } = this.queue;
    const { refs, offsets, lengths, options } = rings;
    for (let count = rings.receive(BATCH); count > 0; count = rings.receive(BATCH)) {
      let isFirst = true;
      for (let k = 0; k < count; k++) {
        const ref = refs[k]! as ReadableRef;
        if (isFirst) {
          const start = this.startOf(ref);
          xdp.prepare(ref, start, offsets[k]! - start, lengths[k]!);
        } else xdp.addFrag(ref, offsets[k]! - this.startOf(ref), lengths[k]!, this.host.pageSizeBytes);
        isFirst = (options[k]! & CONTD) === 0;
        if (isFirst && burst.run(xdp)) this.recycle();
      }
    }
  }

  private recycle(): void {
    const { xdp } = this;
    if (xdp.flags === 0) returnNetmemRxNapi(this.host, xdp.headRef);
    else xdp.returnBuff();
  }

  private startOf(ref: ReadableRef): number {
    return (ref & 1) === 0 ? ((ref >>> 1) & IDX_MASK) << this.host.pageShift : this.host.offsetOf(ref);
  }

  /** The application's half of refilling: keeps the fill ring full, in batches. */
  private feed({ rings, frames }: Session): void {
    const { batch } = this;
    while (rings.fillRoom(BATCH) >= BATCH) {
      const n = frames.allocBulk(batch, BATCH);
      if (n > 0) rings.post(batch, n);
      if (n === BATCH) continue;
      this.queue.counters.add(QueueCounter.AllocFailed, 1);
      return;
    }
  }

  /** Control path. */
  private open(): Session {
    const { host, queue, hw } = this;
    const umem = this.hasOwnFrames ? createUmem(host, { ownBytes: OWN_BYTES }) : createUmem(host);
    const kernel = new XskKernel(host);
    // The driver below is made once the socket is bound, and woken by it.
    const made: { zc: ZeroCopyQueue | null } = { zc: null };
    kernel.addDevice({
      ifindex: queue.ifindex,
      queueCount: queue.queueIdx + 1,
      zeroCopyMaxSegs: MAX_SEGS,
      dma: hw.dma,
      wakeup: () => made.zc?.wakeup(),
    });
    const socket = kernel.createSocket();
    try {
      return this.bind(umem, socket, made);
    } catch (error) {
      const xsk = socket.queue;
      socket.close();
      if (xsk === null) umem.dispose();
      else xsk.onReleased(() => umem.dispose());
      throw error;
    }
  }

  /** Control path. */
  private bind(umem: Umem, socket: XskSocket, made: { zc: ZeroCopyQueue | null }): Session {
    const { host, queue, hw } = this;
    socket.registerUmem(umem);
    socket.setRing("rx", RX_ENTRIES);
    socket.setRing("tx", TX_ENTRIES);
    socket.setRing("fill", Math.max(MIN_FILL_ENTRIES, hw.rx.size));
    socket.setRing("completion", COMPLETION_ENTRIES);
    const flags = BindFlag.ZeroCopy | BindFlag.UseSg | BindFlag.UseNeedWakeup;
    socket.bind({ ifindex: queue.ifindex, queueIdx: queue.queueIdx, flags });
    const xsk = socket.queue!;
    const pool = umem.frames === null ? this.createPool() : null;
    const rings = new XskRings(umem, socket.layouts, { batch: BATCH, maxPacketDescs: MAX_SEGS });
    const zc = new ZeroCopyQueue(host, queue, hw, socket, xsk);
    made.zc = zc;
    const sender = new FrameSender(host, queue.counters, rings, () => void socket.sendto(), MAX_SEGS);
    return { umem, socket, xsk, rings, zc, sender, pool, frames: pool ?? (umem.frames as QueueAllocator) };
  }

  /** Control path. Pages of this pool are mapped with the UMEM, so the pool has no DMA flags. */
  private createPool(): PagePool {
    const { host, queue, hw } = this;
    const pool = createPagePool(host, {
      name: `xsk of queue ${queue.queueIdx}`,
      offsetBytes: HEADROOM_BYTES,
      poolSize: hw.rx.size,
      napi: queue.napi,
      rxq: queue,
    });
    try {
      host.mem.regMemModel(queue.info, MemType.PagePool, pool);
    } catch (error) {
      pool.destroy();
      throw error;
    }
    return pool;
  }
}
