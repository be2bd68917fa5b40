import { asPageRef, DmaDir, type Host, MemType, type NetmemRef } from "@netmem/core";
import { QueueCounter, type QueueDriver, type QueueDriverStats, type QueueMgmtOps, type RxQueue } from "@netmem/netdev";
import { createPagePool, type PagePool, PagePoolFlag } from "@netmem/page-pool";
import { DESC_FLAGS, DESC_LENGTH, DescFlag, type DescriptorRing, FrameTx, type NicQueue } from "@netmem/sim-nic";
import { SHARED_INFO_BYTES, XdpBuff } from "@netmem/skb";

const HEADROOM = 256;

interface Half {
  readonly ring: DescriptorRing;
  readonly pool: PagePool;
  /** Buffer of each slot. */
  readonly refs: Int32Array;
}

interface QueueMem {
  readonly head: Half;
  readonly data: Half;
  /** Buffers for the first posts, so that starting cannot run out. */
  readonly ready: { readonly head: NetmemRef[]; readonly data: NetmemRef[] };
}

/** A driver in the style of two page pools per queue: headers and whole packets in pages, payload wherever it may be. */
export class SplitDriver implements QueueDriver, QueueMgmtOps<QueueMem> {
  readonly composition = "split";
  readonly mgmt: QueueMgmtOps<QueueMem> = this;
  readonly canSplitHeaders = true;
  private readonly host: Host;
  private readonly queue: RxQueue;
  private readonly hw: NicQueue;
  private readonly tx: FrameTx;
  private readonly xdp: XdpBuff;
  private mem: QueueMem | null = null;

  constructor(host: Host, queue: RxQueue, hw: NicQueue) {
    this.host = host;
    this.queue = queue;
    this.hw = hw;
    this.tx = new FrameTx(host, hw, queue.counters);
    this.xdp = new XdpBuff(host, queue.info, host.pageSizeBytes);
  }

  start(): void {
    this.hw.enable(this.queue.napi);
    this.queueStart(this.memAlloc());
  }

  stop(): void {
    this.tx.stop();
    if (this.mem !== null) this.memFree(this.queueStop());
    this.hw.disable();
  }

  memAlloc(): QueueMem {
    const { rx, rxData } = this.hw;
    if (rxData === null) throw new Error("the hardware cannot split");
    const head = { ring: rx, pool: this.makePool("headers", 0), refs: new Int32Array(rx.size) };
    const isBound = this.queue.provider !== null;
    const dmaFlags = isBound ? PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev : 0;
    const flags = PagePoolFlag.AllowUnreadableNetmem | dmaFlags;
    const data = { ring: rxData, pool: this.makePool("payload", flags), refs: new Int32Array(rxData.size) };
    return { head, data, ready: { head: takeAll(head), data: takeAll(data) } };
  }

  memFree({ head, data, ready }: QueueMem): void {
    for (const ref of ready.head) head.pool.putFullPage(ref);
    for (const ref of ready.data) data.pool.putFullPage(ref);
    head.pool.destroy();
    data.pool.destroy();
  }

  queueStart(mem: QueueMem): void {
    this.host.mem.regMemModel(this.queue.info, MemType.PagePool, mem.head.pool);
    this.mem = mem;
    for (const ref of mem.ready.head.splice(0)) this.post(mem.head, ref, HEADROOM, this.headRoom);
    for (const ref of mem.ready.data.splice(0)) this.post(mem.data, ref, 0, this.host.pageSizeBytes);
    this.hw.setHeaderSplit(
      this.queue.headerSplit.tcpDataSplit === "enabled" ? this.queue.headerSplit.hdsThreshBytes : -1,
    );
    this.hw.irq.unmask();
  }

  queueStop(): QueueMem {
    const { mem } = this;
    if (mem === null) throw new Error("stopped twice");
    mem.ready.head.push(...takeBack(mem.head));
    mem.ready.data.push(...takeBack(mem.data));
    this.hw.disableRx();
    this.mem = null;
    return mem;
  }

  poll(budget: number): number {
    this.tx.clean();
    const work = this.mem === null ? 0 : this.receive(this.mem, budget);
    this.queue.burst.flush();
    if (work < budget && this.queue.napi.completeDone()) this.hw.irq.unmask();
    return work;
  }

  xdpXmit(frames: Int32Array, n: number): number {
    return this.tx.xmit(frames, n);
  }

  inflight(): number {
    return this.mem === null ? 0 : this.mem.head.pool.inflight() + this.mem.data.pool.inflight();
  }

  getStats(): QueueDriverStats {
    return { alloc: { fast: 0, refill: 0, slow: 0 }, recycle: { cached: 0, ring: 0, released: 0 } };
  }

  private get headRoom(): number {
    return this.host.pageSizeBytes - HEADROOM - SHARED_INFO_BYTES;
  }

  private receive(mem: QueueMem, budget: number): number {
    const { head, data } = mem;
    const { xdp } = this;
    let work = 0;
    for (; work < budget && head.ring.cleaned !== head.ring.completed; work++) {
      const flags = this.takePacket(head);
      if ((flags & DescFlag.Split) !== 0) this.addPayload(data);
      if ((flags & DescFlag.Error) !== 0) this.queue.counters.add(QueueCounter.RxBroken, 1);
      if ((flags & DescFlag.Error) !== 0 || this.queue.burst.run(xdp)) xdp.returnBuff();
    }
    this.refill(head, HEADROOM, this.headRoom);
    this.refill(data, 0, this.host.pageSizeBytes);
    return work;
  }

  /** A packet, or its headers, in as many buffers as it came in. Returns the flags of the last. */
  private takePacket(head: Half): number {
    const { host, xdp } = this;
    const first = next(host, head);
    xdp.prepare(asPageRef(first.ref), host.offsetOf(asPageRef(first.ref)), HEADROOM, first.length);
    let { flags } = first;
    while ((flags & DescFlag.Eop) === 0) {
      const piece = next(host, head);
      ({ flags } = piece);
      if (!xdp.addFrag(piece.ref, HEADROOM, piece.length, host.pageSizeBytes)) head.pool.recycleDirect(piece.ref);
    }
    return flags;
  }

  private addPayload(data: Half): void {
    for (let flags = 0; (flags & DescFlag.Eop) === 0;) {
      const piece = next(this.host, data);
      ({ flags } = piece);
      if (!this.xdp.addFrag(piece.ref, 0, piece.length, this.host.pageSizeBytes)) data.pool.recycleDirect(piece.ref);
    }
  }

  private refill(half: Half, offset: number, room: number): void {
    while (half.ring.room > 0) {
      const ref = half.pool.allocNetmem();
      if (ref === 0) {
        this.queue.counters.add(QueueCounter.AllocFailed, 1);
        return;
      }
      this.post(half, ref, offset, room);
    }
  }

  private post({ ring, pool, refs }: Half, ref: NetmemRef, offset: number, room: number): void {
    refs[ring.producer & ring.mask] = ref;
    // A provider's buffer says itself where the device finds it; a page's address is its index.
    const pfn = (ref & 1) !== 0 ? pool.getDmaAddr(ref) : this.host.pageIdxAt(this.host.offsetOf(asPageRef(ref)));
    ring.post(pfn, offset, room, 0);
  }

  private makePool(part: string, flags: number): PagePool {
    const { queue } = this;
    const name = `${part} of queue ${queue.queueIdx}`;
    return createPagePool(this.host, {
      name,
      flags,
      dmaDir: DmaDir.FromDevice,
      maxLenBytes: 4096,
      napi: queue.napi,
      rxq: queue,
    });
  }
}

function takeAll({ ring, pool }: Half): NetmemRef[] {
  return Array.from({ length: ring.size }, () => {
    const ref = pool.allocNetmem();
    if (ref === 0) throw new Error("too few buffers for the ring");
    return ref;
  });
}

/** The buffers that the hardware has not completed. */
function takeBack({ ring, refs }: Half): NetmemRef[] {
  const posted: NetmemRef[] = [];
  for (let index = ring.cleaned; index !== ring.producer; index = (index + 1) | 0)
    posted.push(refs[index & ring.mask] as NetmemRef);
  return posted;
}

function next(host: Host, { ring, refs }: Half): { ref: NetmemRef; length: number; flags: number } {
  const d = ring.descAt(ring.cleaned);
  const ref = refs[ring.cleaned & ring.mask] as NetmemRef;
  ring.cleaned = (ring.cleaned + 1) | 0;
  return { ref, length: host.i32[d + DESC_LENGTH]!, flags: host.i32[d + DESC_FLAGS]! };
}
