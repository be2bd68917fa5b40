import { asNetmemRef, asPageRef, type Host, MemType, type PageRef, returnNetmem } from "@netmem/core";
import {
  asFrameRef,
  FRAG_LEN,
  FRAG_OFFSET,
  FRAG_REF,
  fragAt,
  FRAME_LEN,
  frameData,
  frameHasFrags,
  frameLen,
  frameSharedInfoAt,
  returnFrame,
  SHARED_INFO_BYTES,
  SHINFO_NR_FRAGS,
  XdpBuff,
} from "@netmem/skb";
import { QueueCounter, type QueueDriver, type QueueDriverStats, type RxQueue } from "../src/index.ts";

const HEADROOM = 256;
export const BUFFER_BYTES: number = 4096 - HEADROOM - SHARED_INFO_BYTES;
export const RING_SIZE = 128;
const TX_ROOM = 32;

/** A driver without hardware: posted pages in an array, the wire is a list of frames. */
export class MemoryDriver implements QueueDriver {
  readonly composition = "memory";
  readonly sent: Uint8Array[] = [];
  isPaused = false;
  private isUp = false;
  private irqMasked = true;
  private readonly host: Host;
  private readonly queue: RxQueue;
  private readonly xdp: XdpBuff;
  private posted: PageRef[] = [];
  private filled: { refs: PageRef[]; lens: number[] }[] = [];
  private tx: number[] = [];

  constructor(host: Host, queue: RxQueue) {
    this.host = host;
    this.queue = queue;
    this.xdp = new XdpBuff(host, queue.info, 4096);
  }

  start(): void {
    this.host.mem.regMemModel(this.queue.info, MemType.PageOrder0, null);
    this.refill();
    this.isUp = true;
    this.irqMasked = false;
  }

  stop(): void {
    this.isUp = false;
    this.irqMasked = true;
    for (const ref of [...this.posted, ...this.filled.flatMap((one) => one.refs)]) returnNetmem(this.host, ref);
    for (const frame of this.tx) returnFrame(this.host, asFrameRef(frame));
    this.posted = [];
    this.filled = [];
    this.tx = [];
  }

  receive(frame: Uint8Array): boolean {
    const pieces = Math.ceil(frame.length / BUFFER_BYTES);
    const fits = this.isUp && pieces <= this.posted.length;
    if (fits) {
      const refs = this.posted.splice(0, pieces);
      const parts = refs.map((_, n) => frame.subarray(n * BUFFER_BYTES, (n + 1) * BUFFER_BYTES));
      for (const [n, ref] of refs.entries()) this.host.u8.set(parts[n] ?? [], this.host.offsetOf(ref) + HEADROOM);
      this.filled.push({ refs, lens: parts.map((part) => part.length) });
    }
    if (!this.irqMasked) this.interrupt();
    return fits;
  }

  setPaused(paused: boolean): void {
    this.isPaused = paused;
    if (!paused && this.tx.length > 0) this.interrupt();
  }

  poll(budget: number): number {
    this.transmit();
    let work = 0;
    for (; work < budget && this.filled.length > 0; work++) this.receiveOne();
    this.refill();
    this.queue.burst.flush();
    if (work < budget && this.queue.napi.completeDone()) this.irqMasked = false;
    if (!this.irqMasked && this.filled.length > 0) this.interrupt();
    return work;
  }

  xdpXmit(frames: Int32Array, n: number): number {
    const taken = Math.min(n, TX_ROOM - this.tx.length);
    for (const frame of frames.subarray(0, taken)) this.tx.push(frame);
    if (taken > 0) this.queue.napi.schedule();
    return taken;
  }

  inflight(): number {
    return this.posted.length + this.filled.length;
  }

  getStats(): QueueDriverStats {
    return { alloc: { fast: 0, refill: 0, slow: 0 }, recycle: { cached: 0, ring: 0, released: 0 } };
  }

  private interrupt(): void {
    this.irqMasked = true;
    this.queue.napi.schedule();
  }

  private receiveOne(): void {
    const { xdp } = this;
    const packet = this.filled.shift();
    if (packet === undefined) return;
    for (const [n, ref] of packet.refs.entries()) {
      const len = packet.lens[n] ?? 0;
      if (n === 0) xdp.prepare(ref, this.host.offsetOf(ref), HEADROOM, len);
      else xdp.addFrag(ref, HEADROOM, len, 4096);
    }
    if (this.queue.burst.run(xdp)) xdp.returnBuff();
  }

  private refill(): void {
    while (this.posted.length + this.filled.length < RING_SIZE) {
      const page = this.host.pages.allocPages(0);
      if (page === 0) {
        this.queue.counters.add(QueueCounter.AllocFailed, 1);
        return;
      }
      this.posted.push(asPageRef(page));
    }
  }

  private transmit(): void {
    if (this.isPaused) return;
    for (const frame of this.tx) {
      const bytes = this.bytesOf(frame);
      this.sent.push(bytes);
      this.queue.counters.addWide(QueueCounter.TxPackets, 1);
      this.queue.counters.addWide(QueueCounter.TxBytes, bytes.length);
      returnFrame(this.host, asFrameRef(frame));
    }
    this.tx = [];
  }

  private bytesOf(raw: number): Uint8Array {
    const { host } = this;
    const { i32 } = host;
    const frame = asFrameRef(raw);
    const word = (at: number): number => i32[at] ?? 0;
    const bytes = new Uint8Array(frameLen(host, frame));
    const linear = word(frame + FRAME_LEN);
    bytes.set(host.u8.subarray(frameData(host, frame), frameData(host, frame) + linear));
    const shinfo = frameSharedInfoAt(host, frame);
    let pos = linear;
    for (let n = 0; frameHasFrags(host, frame) && n < word(shinfo + SHINFO_NR_FRAGS); n++) {
      const at = fragAt(shinfo, n);
      const from = host.offsetOf(asPageRef(asNetmemRef(word(at + FRAG_REF)))) + word(at + FRAG_OFFSET);
      bytes.set(host.u8.subarray(from, from + word(at + FRAG_LEN)), pos);
      pos += word(at + FRAG_LEN);
    }
    return bytes;
  }
}
