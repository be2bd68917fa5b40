/*
 * data path
 *
 * What a poll does with its packets: run the program on each, collect what goes somewhere, and hand every collection
 * over in one call when the burst ends.
 */
import type { Host } from "@netmem/core";
import {
  asFrameRef,
  buildSkbFromXdp,
  convertBuffToFrame,
  type FrameRef,
  returnFrame,
  type SkbSlab,
  type XdpBuff,
} from "@netmem/skb";
import { QueueCounter, type QueueCounters } from "./queue-counters.ts";
import { type XdpProgram, XdpVerdict } from "./xdp-program.ts";

const ABORTED = XdpVerdict.Aborted;
const DROP = XdpVerdict.Drop;
const PASS = XdpVerdict.Pass;
const TX = XdpVerdict.Tx;
const REDIRECT = XdpVerdict.Redirect;

/** Packets collected at most; a burst that collects more hands over in between. */
const CAPACITY = 64;

/** What a burst needs of its device. */
export interface BurstTarget {
  /** Sends on queue `queueIdx` of this device; returns how many frames were taken. */
  xdpXmit(frames: Int32Array, n: number, queueIdx: number): number;
  /** Sends on the device with that index; 0 when there is none. */
  redirect(ifindex: number, frames: Int32Array, n: number, queueIdx: number): number;
  /** The skbs are the callee's. */
  deliver(skbs: Int32Array, count: number): void;
}

/** The packets of one poll. One per queue, reused. */
export class RxBurst {
  /** Program of the queue; null passes everything. */
  program: XdpProgram | null = null;
  declare private readonly host: Host;
  declare private readonly slab: SkbSlab;
  declare private readonly target: BurstTarget;
  declare private readonly counters: QueueCounters;
  declare private readonly queueIdx: number;
  private readonly skbs: Int32Array = new Int32Array(CAPACITY);
  private readonly txFrames: Int32Array = new Int32Array(CAPACITY);
  private readonly redirectFrames: Int32Array = new Int32Array(CAPACITY);
  private skbCount = 0;
  private txCount = 0;
  private redirectCount = 0;
  /** Device that all collected redirect frames go to. */
  private redirectIfindex = 0;
  private drops = 0;
  private aborts = 0;
  private passes = 0;
  private txs = 0;
  private redirects = 0;
  private bytes = 0;
  private hasFailed = false;
  private failure: unknown = null;

  constructor(host: Host, slab: SkbSlab, target: BurstTarget, counters: QueueCounters, queueIdx: number) {
    this.host = host;
    this.slab = slab;
    this.target = target;
    this.counters = counters;
    this.queueIdx = queueIdx;
  }

  /**
   * Runs the program on a packet and sends the packet on its way. False: its buffers were handed on. True: it is
   * dropped, and head and fragments are still the driver's, to recycle as it knows best.
   */
  run(xdp: XdpBuff): boolean {
    this.bytes += xdp.len;
    const verdict = this.program === null ? PASS : this.judge(this.program, xdp);
    if (verdict === DROP) {
      this.drops++;
      return true;
    }
    if (verdict === PASS) return this.pass(xdp);
    if (verdict === TX) return this.tx(xdp);
    if (verdict === REDIRECT) return this.redirect(xdp);
    this.aborts++;
    return true;
  }

  /**
   * Hands over everything collected: TX frames, redirected frames, skbs. Call it at the end of a poll, when the driver's
   * own state is in order: an error of the program is thrown here.
   */
  flush(): void {
    this.flushCounters();
    if (this.txCount > 0) this.flushTx();
    if (this.redirectCount > 0) this.flushRedirect();
    if (this.skbCount > 0) this.flushSkbs();
    if (this.hasFailed) this.rethrow();
  }

  private judge(program: XdpProgram, xdp: XdpBuff): number {
    try {
      return program(xdp);
    } catch (error) {
      if (!this.hasFailed) this.failure = error;
      this.hasFailed = true;
      return ABORTED;
    }
  }

  private pass(xdp: XdpBuff): boolean {
    const skb = buildSkbFromXdp(this.slab, xdp);
    this.passes++;
    if (skb === 0) {
      this.counters.add(QueueCounter.SkbNoMem, 1);
      return true;
    }
    if (this.skbCount === CAPACITY) this.flushSkbs();
    this.skbs[this.skbCount++] = skb;
    return false;
  }

  private tx(xdp: XdpBuff): boolean {
    const frame = this.frameOf(xdp);
    this.txs++;
    if (frame === 0) return true;
    if (this.txCount === CAPACITY) this.flushTx();
    this.txFrames[this.txCount++] = frame;
    return false;
  }

  private redirect(xdp: XdpBuff): boolean {
    const frame = this.frameOf(xdp);
    this.redirects++;
    if (frame === 0) return true;
    const full = this.redirectCount === CAPACITY;
    if (this.redirectCount > 0 && (full || this.redirectIfindex !== xdp.redirectIfindex)) this.flushRedirect();
    this.redirectIfindex = xdp.redirectIfindex;
    this.redirectFrames[this.redirectCount++] = frame;
    return false;
  }

  private frameOf(xdp: XdpBuff): FrameRef | 0 {
    const frame = convertBuffToFrame(xdp);
    if (frame === 0) this.counters.add(QueueCounter.FrameErrors, 1);
    return frame;
  }

  private flushTx(): void {
    const n = this.txCount;
    this.txCount = 0;
    this.returnRest(this.txFrames, this.target.xdpXmit(this.txFrames, n, this.queueIdx), n);
  }

  private flushRedirect(): void {
    const n = this.redirectCount;
    this.redirectCount = 0;
    const taken = this.target.redirect(this.redirectIfindex, this.redirectFrames, n, this.queueIdx);
    this.returnRest(this.redirectFrames, taken, n);
  }

  private flushSkbs(): void {
    const n = this.skbCount;
    this.skbCount = 0;
    this.target.deliver(this.skbs, n);
  }

  private returnRest(frames: Int32Array, from: number, to: number): void {
    if (from < to) this.counters.add(QueueCounter.XmitErrors, to - from);
    for (let n = from; n < to; n++) returnFrame(this.host, asFrameRef(frames[n]!));
  }

  private flushCounters(): void {
    const counters = this.counters;
    const packets = this.drops + this.aborts + this.passes + this.txs + this.redirects;
    if (packets === 0) return;
    counters.addWide(QueueCounter.RxPackets, packets);
    counters.addWide(QueueCounter.RxBytes, this.bytes);
    counters.add(QueueCounter.XdpDrop, this.drops);
    counters.add(QueueCounter.XdpAborted, this.aborts);
    counters.add(QueueCounter.XdpPass, this.passes);
    counters.add(QueueCounter.XdpTx, this.txs);
    counters.add(QueueCounter.XdpRedirect, this.redirects);
    this.drops = 0;
    this.aborts = 0;
    this.passes = 0;
    this.txs = 0;
    this.redirects = 0;
    this.bytes = 0;
  }

  private rethrow(): never {
    const error = this.failure;
    this.hasFailed = false;
    this.failure = null;
    throw error;
  }
}
