import { DmaDir, type Host, MemType, type NetmemRef, type PageRef } from "@netmem/core";
import { createPagePool, type PagePool, PagePoolFlag } from "@netmem/page-pool";
import { XdpBuff } from "@netmem/skb";
import type { QueueConfig, QueueDriver, QueueDriverStats, QueueMgmtOps, RxQueue } from "../src/index.ts";

const HEADROOM = 256;
export const HEADER_BYTES = 42;
export const RING_SIZE = 32;

/** Memory of a queue: a pool for headers and whole packets, one for payload, and buffers of both. */
interface QueueMem {
  readonly headers: PagePool;
  readonly payload: PagePool;
  readonly heads: PageRef[];
  readonly data: NetmemRef[];
}

interface Packet {
  readonly head: PageRef;
  readonly headLen: number;
  readonly data: NetmemRef | 0;
  readonly dataLen: number;
}

/** What the driver should do wrong. */
export interface DriverFaults {
  memAlloc?: Error | undefined;
  validate?: Error | undefined;
  /** Starts that fail, one after the other. */
  readonly starts: Error[];
  /** Makes no pool that would ask the provider. */
  ignoresProvider?: boolean;
}

/** A driver with queue management and header split, without hardware: a packet is posted buffers and lengths. */
export class ManagedDriver implements QueueDriver, QueueMgmtOps<QueueMem> {
  readonly composition = "managed";
  readonly mgmt: QueueMgmtOps<QueueMem> = this;
  readonly canSplitHeaders = true;
  readonly maxHdsThreshBytes = 1024;
  readonly canUseXsk = true;
  readonly faults: DriverFaults = { starts: [] };
  /** What was called, in order. */
  readonly calls: string[] = [];
  memCount = 0;
  mem: QueueMem | null = null;
  private irqMasked = true;
  private readonly host: Host;
  private readonly queue: RxQueue;
  private readonly xdp: XdpBuff;
  private readonly filled: Packet[] = [];

  constructor(host: Host, queue: RxQueue) {
    this.host = host;
    this.queue = queue;
    this.xdp = new XdpBuff(host, queue.info, 4096);
  }

  start(): void {
    const mem = this.memAlloc();
    try {
      this.queueStart(mem);
    } catch (error) {
      this.memFree(mem);
      throw error;
    }
  }

  stop(): void {
    if (this.mem !== null) this.memFree(this.queueStop());
  }

  validateConfig(_config: QueueConfig): void {
    if (this.faults.validate !== undefined) throw this.faults.validate;
  }

  memAlloc(): QueueMem {
    this.calls.push("alloc");
    if (this.faults.memAlloc !== undefined) throw this.faults.memAlloc;
    const headers = this.makePool("headers", 0);
    try {
      const isOpen = this.faults.ignoresProvider !== true;
      const payload = this.makePool("payload", isOpen ? PagePoolFlag.AllowUnreadableNetmem : 0);
      this.memCount++;
      return { headers, payload, ...this.takeBuffers(headers, payload) };
    } catch (error) {
      headers.destroy();
      throw error;
    }
  }

  memFree({ headers, payload, heads, data }: QueueMem): void {
    this.calls.push("free");
    for (const ref of heads) headers.putFullPage(ref);
    for (const ref of data) payload.putFullPage(ref);
    headers.destroy();
    payload.destroy();
    this.memCount--;
  }

  queueStart(mem: QueueMem): void {
    this.calls.push("start");
    const fault = this.faults.starts.shift();
    if (fault !== undefined) throw fault;
    this.host.mem.regMemModel(this.queue.info, MemType.PagePool, mem.headers);
    this.mem = mem;
    this.refill(mem);
    this.irqMasked = false;
  }

  queueStop(): QueueMem {
    this.calls.push("stop");
    const { mem } = this;
    if (mem === null) throw new Error("stopped twice");
    this.irqMasked = true;
    // Hardware that goes on receiving would be handed on here; this one receives only when told.
    for (const { head, data } of this.filled.splice(0)) {
      mem.heads.push(head);
      if (data !== 0) mem.data.push(data);
    }
    this.mem = null;
    return mem;
  }

  /** A packet from the wire: headers in a page, payload apart where the queue splits. False: no buffer was posted. */
  receive(lenBytes: number): boolean {
    const { mem, queue } = this;
    if (mem === null) return false;
    const isSplit =
      queue.headerSplit.tcpDataSplit === "enabled" && lenBytes - HEADER_BYTES > queue.headerSplit.hdsThreshBytes;
    if (mem.heads.length === 0 || (isSplit && mem.data.length === 0)) return false;
    const head = mem.heads.shift();
    const data = isSplit ? mem.data.shift() : undefined;
    if (head === undefined) return false;
    const headLen = data === undefined ? lenBytes : HEADER_BYTES;
    this.filled.push({ head, headLen, data: data ?? 0, dataLen: lenBytes - headLen });
    if (!this.irqMasked) this.interrupt();
    return true;
  }

  poll(budget: number): number {
    let work = 0;
    for (; work < budget && this.filled.length > 0; work++) this.receiveOne();
    if (this.mem !== null) this.refill(this.mem);
    this.queue.burst.flush();
    if (work < budget && this.queue.napi.completeDone()) this.irqMasked = false;
    return work;
  }

  xdpXmit(): number {
    return 0;
  }

  inflight(): number {
    return this.mem === null ? 0 : this.mem.headers.inflight() + this.mem.payload.inflight();
  }

  getStats(): QueueDriverStats {
    return { alloc: { fast: 0, refill: 0, slow: 0 }, recycle: { cached: 0, ring: 0, released: 0 } };
  }

  get waitingCount(): number {
    return this.filled.length;
  }

  private interrupt(): void {
    this.irqMasked = true;
    this.queue.napi.schedule();
  }

  private receiveOne(): void {
    const { xdp } = this;
    const packet = this.filled.shift();
    if (packet === undefined) return;
    xdp.prepare(packet.head, this.host.offsetOf(packet.head), HEADROOM, packet.headLen);
    if (packet.data !== 0) xdp.addFrag(packet.data, 0, packet.dataLen, 4096);
    if (this.queue.burst.run(xdp)) xdp.returnBuff();
  }

  private makePool(part: string, flag: number): PagePool {
    const { host, queue } = this;
    const dmaFlags = flag !== 0 && queue.provider !== null ? PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev : 0;
    return createPagePool(host, {
      name: `${part} of queue ${queue.queueIdx}`,
      flags: flag | dmaFlags,
      dmaDir: DmaDir.FromDevice,
      maxLenBytes: 4096,
      poolSize: RING_SIZE,
      napi: queue.napi,
      rxq: queue,
    });
  }

  private takeBuffers(headers: PagePool, payload: PagePool): Pick<QueueMem, "heads" | "data"> {
    const heads: PageRef[] = [];
    const data: NetmemRef[] = [];
    while (heads.length < RING_SIZE) heads.push(take(headers.allocPages()));
    while (data.length < RING_SIZE) data.push(take(payload.allocNetmem()));
    return { heads, data };
  }

  private refill({ headers, payload, heads, data }: QueueMem): void {
    while (heads.length < RING_SIZE) heads.push(take(headers.allocPages()));
    while (data.length < RING_SIZE) data.push(take(payload.allocNetmem()));
  }
}

function take<Ref extends NetmemRef>(ref: Ref | 0): Ref {
  if (ref === 0) throw new Error("out of buffers");
  return ref;
}
