import { asNetmemRef, type NetmemRef, pageRefCount, ppRefCount, type ReadableRef, XdpRxqInfo } from "@netmem/core";
import {
  addSkbFrag,
  asFrameRef,
  buildSkb,
  buildSkbFromFrame,
  buildSkbFromXdp,
  consumeSkb,
  convertBuffToFrame,
  dropSkb,
  FRAG_REF,
  fragAt,
  FRAME_REF,
  frameHasFrags,
  type FrameRef,
  frameSharedInfoAt,
  markForRecycle,
  putSkb,
  returnFrame,
  returnFrameBulk,
  returnFrameRxNapi,
  SHINFO_NR_FRAGS,
  SKB_SHINFO,
  type SkbRef,
  type SkbSlab,
  SkbView,
  XdpBuff,
} from "@netmem/skb";
import { Prng } from "@netmem/testing";
import { checkContent, type Span } from "./content.ts";
import { isLive, word } from "./memory.ts";
import { type Kind, KINDS, MixMemory, type Piece, READABLE_KINDS } from "./mix-memory.ts";

/** A live skb and the bytes that it must have. */
export interface Packet {
  readonly skb: SkbRef;
  spans: Span[];
}

interface HeldFrame {
  readonly frame: FrameRef;
  readonly spans: Span[];
}

/** Heads have room for headroom and shared info. */
const HEAD_KINDS: readonly Kind[] = READABLE_KINDS.filter((kind) => kind !== "poolFrag");
const HEADROOM = 256;
/** More holders than packets can be: the bias of a block that is still being cut. */
const BIAS = 2 ** 16;

/** Packets of mixed memory beside a model of their bytes. Every operation may be followed by {@link check}. */
export class MixWorld {
  readonly prng: Prng;
  readonly memory: MixMemory = new MixMemory();
  readonly slab: SkbSlab = this.memory.slab;
  readonly view: SkbView = new SkbView(this.slab);
  packets: Packet[] = [];
  /** Packets made so far. */
  made = 0;
  private frames: HeldFrame[] = [];
  private readonly buffs: readonly [XdpBuff, XdpBuff];
  /** Whole buffers that were seen in a packet and may still be out. */
  private readonly seen = new Set<NetmemRef>();

  constructor(seed: number) {
    this.prng = new Prng(seed);
    const rxq = new XdpRxqInfo();
    this.buffs = [new XdpBuff(this.memory.host, rxq, 4096), new XdpBuff(this.memory.host, rxq, 2048)];
  }

  /** Any of the kernel's contexts, at random. */
  shuffleContext(): void {
    const { prng, memory } = this;
    const { context } = memory.host;
    context.cpu = prng.below(3);
    context.softirq = prng.bool(0.5);
    context.noDirect = prng.bool(0.2);
    memory.napi.listOwner = prng.range(-1, 2);
  }

  /** A packet of random head and up to 7 random fragments, by one of the ways that there are. */
  build(): void {
    const { prng } = this;
    const head = this.memory.take(prng.pick(HEAD_KINDS));
    if (head === null) return;
    const room = head.size - HEADROOM - 320;
    const linear = prng.below(Math.min(room, prng.bool(0.1) ? 3000 : 200) + 1);
    const spans = [this.memory.fill(head, HEADROOM, linear)];
    const frags: { piece: Piece; start: number; len: number }[] = [];
    for (let n = prng.below(8); n > 0; n--) {
      const piece = this.memory.take(prng.pick(KINDS));
      if (piece === null) break;
      const start = prng.below(64);
      const len = 1 + prng.below(prng.bool(0.1) ? piece.size - start : 200);
      frags.push({ piece, start, len });
      spans.push(this.memory.fill(piece, start, len));
    }
    this.made++;
    if (prng.bool(0.3)) this.buildBare(head, linear, frags, spans);
    else this.buildXdp(head, linear, frags, spans);
  }

  private buildBare(
    head: Piece,
    linear: number,
    frags: { piece: Piece; start: number; len: number }[],
    spans: Span[],
  ): void {
    const { slab } = this;
    const skb = buildSkb(slab, head.ref as ReadableRef, head.offset, head.size, HEADROOM);
    if (skb === 0) {
      for (const { piece } of [{ piece: head }, ...frags]) this.memory.giveBack(piece);
      return;
    }
    putSkb(slab, skb, linear);
    markForRecycle(slab, skb);
    for (const { piece, start, len } of frags) addSkbFrag(slab, skb, piece.ref, piece.offset + start, len, piece.size);
    this.packets.push({ skb, spans });
  }

  private buildXdp(
    head: Piece,
    linear: number,
    frags: { piece: Piece; start: number; len: number }[],
    spans: Span[],
  ): void {
    const { slab, prng, memory } = this;
    const xdp = this.buffs[head.size === 4096 ? 0 : 1];
    xdp.prepare(head.ref as ReadableRef, memory.host.offsetOf(head.ref as ReadableRef) + head.offset, HEADROOM, linear);
    for (const { piece, start, len } of frags) xdp.addFrag(piece.ref, piece.offset + start, len, piece.size);
    const ending = prng.below(4);
    if (ending === 0) return xdp.returnBuff();
    const frame = ending === 1 ? convertBuffToFrame(xdp) : 0;
    if (frame !== 0) {
      this.frames.push({ frame, spans });
      return;
    }
    const skb = buildSkbFromXdp(slab, xdp);
    if (skb === 0) xdp.returnBuff();
    else this.packets.push({ skb, spans });
  }

  /** Ends a held frame: it becomes an skb, or its buffers go home. */
  endFrame(): void {
    const { prng, slab, memory } = this;
    const held = this.frames.splice(prng.below(this.frames.length + 1), 1)[0];
    if (held === undefined) return;
    const ending = prng.below(4);
    const skb = ending === 0 ? buildSkbFromFrame(slab, held.frame) : 0;
    if (skb !== 0) this.packets.push({ skb, spans: held.spans });
    else if (ending === 1) returnFrameRxNapi(memory.host, held.frame);
    else if (ending === 2) returnFrameBulk(memory.host, Int32Array.of(held.frame), 1);
    else returnFrame(memory.host, asFrameRef(held.frame));
  }

  get frameCount(): number {
    return this.frames.length;
  }

  pick(): Packet | undefined {
    return this.packets[this.prng.below(this.packets.length + 1)];
  }

  /** Takes the packet off the list: it went into another one. */
  remove(packet: Packet): void {
    this.packets.splice(this.packets.indexOf(packet), 1);
  }

  consume(packet: Packet): void {
    this.remove(packet);
    if (this.prng.bool(0.5)) consumeSkb(this.slab, packet.skb);
    else dropSkb(this.slab, packet.skb, this.prng.below(64));
  }

  checkPacket(packet: Packet): void {
    checkContent(this.slab, packet.skb, packet.spans, (ref) => this.memory.nameOf(ref));
  }

  /**
   * Throws unless every packet has its bytes, and every buffer as many holders as packets say: it is out while there is
   * one, and home when there is none.
   */
  check(): void {
    const { host } = this.memory;
    const holders = new Map<NetmemRef, number>();
    const heads = new Set<number>();
    for (const packet of this.packets) {
      this.checkPacket(packet);
      this.countHolders(packet.skb, holders, heads);
    }
    for (const { frame } of this.frames) this.countFrame(frame, holders);
    for (const ref of holders.keys()) this.seen.add(ref);
    for (const ref of this.seen) {
      const isOut = isLive(host, ref);
      const expected = (holders.get(ref) ?? 0) + (isOut ? this.memory.ownHolders(ref) : 0);
      const counted = isOut ? ppRefCount(host, ref) + pageRefCount(host, ref) - 1 : 0;
      if (counted !== expected && counted < BIAS) {
        throw new Error(`ref 0x${ref.toString(16)} has ${counted} holders, ${expected} in packets and frames`);
      }
      if (!isOut) this.seen.delete(ref);
    }
    this.memory.checkPools();
  }

  /** Ends everything and looks whether something is missing. */
  finish(): void {
    while (this.frames.length > 0) this.endFrame();
    while (this.packets.length > 0) this.consume(this.packets[0]!);
    if (this.slab.liveCount !== 0) throw new Error(`${this.slab.liveCount} skbs are live`);
    this.check();
    this.memory.finish();
  }

  private countFrame(frame: FrameRef, holders: Map<NetmemRef, number>): void {
    const { host } = this.memory;
    const add = (ref: number): unknown => holders.set(asNetmemRef(ref), (holders.get(asNetmemRef(ref)) ?? 0) + 1);
    add(word(host, frame + FRAME_REF));
    if (!frameHasFrags(host, frame)) return;
    const shinfo = frameSharedInfoAt(host, frame);
    for (let n = 0; n < word(host, shinfo + SHINFO_NR_FRAGS); n++) add(word(host, fragAt(shinfo, n) + FRAG_REF));
  }

  private countHolders(skb: SkbRef, holders: Map<NetmemRef, number>, heads: Set<number>): void {
    const { slab } = this;
    const shinfo = word(slab.host, slab.check(skb) + SKB_SHINFO);
    if (heads.has(shinfo)) return;
    heads.add(shinfo);
    const view = new SkbView(slab).of(skb);
    const add = (ref: NetmemRef): unknown => holders.set(ref, (holders.get(ref) ?? 0) + 1);
    add(view.head);
    for (let n = 0; n < view.nrFrags; n++) add(view.fragRef(n));
    for (let child = view.fragList; child !== 0; child = new SkbView(slab).of(child).next) {
      this.countHolders(child, holders, heads);
    }
  }
}
