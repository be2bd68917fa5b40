import { type Host, MemType, type NetIovArea, type NetmemRef, type PageRef, type ReadableRef } from "@netmem/core";
import { Prng } from "@netmem/testing";
import { expect } from "vitest";
import {
  cloneFrame,
  convertBuffToFrame,
  convertFrameToBuff,
  FRAG_LEN,
  FRAG_OFFSET,
  FRAG_REF,
  fragAt,
  FrameBulk,
  FRAME_METASIZE,
  FRAME_REF,
  frameData,
  type FrameRef,
  frameHasFrags,
  frameLen,
  frameSharedInfoAt,
  MAX_SKB_FRAGS,
  returnFrame,
  returnFrameBulk,
  returnFrameRxNapi,
  SHINFO_NR_FRAGS,
  updateFrameFromBuff,
  XdpBuff,
} from "../src/index.ts";
import { makeHost, makeRxq, NotingOwner, withHolders, wordAt } from "./fixture.ts";

const FRAME_SZ = 4096;
const TAILROOM = 320;
const HEADROOM = 256;
const IOVS = 64;

interface Frag {
  readonly ref: NetmemRef;
  readonly offset: number;
  /** Null: nobody can read them. */
  bytes: number[] | null;
  len: number;
}

/** What a packet must be, and where it is. */
interface Packet {
  readonly buff: XdpBuff;
  frame: FrameRef | 0;
  headroom: number;
  meta: number;
  head: NetmemRef;
  linear: number[];
  frags: Frag[];
}

/** Packets of random mixes, each beside a plain model of its bytes and its buffers. */
export class FrameWorld {
  readonly prng: Prng;
  readonly packets: Packet[] = [];
  clones = 0;
  copies = 0;
  merged = 0;
  private readonly host: Host = makeHost();
  private readonly pool = new NotingOwner(this.host, "pool");
  private readonly xsk = new NotingOwner(this.host, "xsk", [], MemType.XskBuffPool);
  private readonly gpu = new NotingOwner(this.host, "gpu", [], MemType.Devmem);
  private readonly area: NetIovArea = this.host.areas.add({ name: "gpu", count: IOVS, pageShift: 12 });
  private readonly bulk = new FrameBulk(this.host);
  private readonly owned = new Map<NetmemRef, NotingOwner>();
  private readonly plain = new Set<NetmemRef>();
  private readonly freeAtStart = this.host.pages.freePageCount();
  private iovs = 0;

  constructor(seed: number) {
    this.prng = new Prng(seed);
    this.bulk.begin();
  }

  step(op: number): void {
    const at = this.prng.below(Math.max(this.packets.length, 1));
    const packet = this.packets[at];
    if (packet === undefined || (op === 0 && this.packets.length < 40)) this.packets.push(this.make());
    else if (packet.frame !== 0) this.stepFrame(packet, packet.frame, op);
    else this.stepBuff(packet, op);
    if (packet !== undefined && this.packets.includes(packet)) this.checkBytes(packet);
    this.checkHome();
  }

  /** Ends every packet; nothing may be outside afterwards. */
  finish(): void {
    while (this.packets.length > 0) this.end(this.packets[0]!);
    this.bulk.end();
    this.checkHome();
    for (const [ref, owner] of this.owned) expect(owner.returned.filter((one) => one === ref)).toHaveLength(1);
    expect(this.host.pages.freePageCount()).toBe(this.freeAtStart - this.pagesOfOwners());
  }

  private make(): Packet {
    const rxq = makeRxq(this.prng.below(3) === 0 ? MemType.XskBuffPool : MemType.PagePool);
    rxq.fragSizeBytes = this.prng.below(2) * 2048;
    const buff = new XdpBuff(this.host, rxq, FRAME_SZ);
    const ref = this.takePage(this.prng.below(3));
    const start = this.host.offsetOf(ref);
    const linear = this.bytesFor(14 + this.prng.below(500), start + HEADROOM);
    buff.prepare(ref, start, HEADROOM, linear.length);
    const packet: Packet = { buff, frame: 0, headroom: HEADROOM, meta: 0, head: ref, linear, frags: [] };
    const count = this.prng.below(3) === 0 ? 0 : this.prng.below(MAX_SKB_FRAGS + 3);
    for (let n = 0; n < count; n++) this.addFrag(packet);
    return packet;
  }

  private addFrag(packet: Packet): void {
    const kind = this.prng.below(5);
    if (kind === 4) return this.addPieces(packet);
    const ref = kind === 3 ? this.takeIov() : this.takePage(kind);
    if (ref === 0) return;
    const offset = this.prng.below(100);
    const len = 1 + this.prng.below(700);
    const bytes = kind === 3 ? null : this.bytesFor(len, this.host.offsetOf(ref as ReadableRef) + offset);
    if (packet.buff.addFrag(ref, offset, len, FRAME_SZ)) packet.frags.push({ ref, offset, bytes, len });
    else this.giveUp(ref);
  }

  /** Two to four pieces of one page, one behind the other or with a gap. */
  private addPieces(packet: Packet): void {
    const count = 2 + this.prng.below(3);
    const ref = withHolders(this.host, this.takeOwned(this.pool), count) as PageRef;
    let offset = 0;
    for (let n = 0; n < count; n++) {
      const len = 1 + this.prng.below(300);
      offset += this.prng.below(2) * 100;
      const bytes = this.bytesFor(len, this.host.offsetOf(ref) + offset);
      const last = packet.frags.at(-1);
      const joins = last?.ref === ref && last.offset + last.len === offset;
      if (!packet.buff.addFrag(ref, offset, len, 1024)) this.giveUp(ref);
      else if (joins) this.merge(last, bytes);
      else packet.frags.push({ ref, offset, bytes, len });
      offset += len;
    }
  }

  private merge(last: Frag, bytes: number[]): void {
    this.merged++;
    last.bytes?.push(...bytes);
    last.len += bytes.length;
  }

  private stepBuff(packet: Packet, op: number): void {
    if (op < 6) this.adjust(packet, packet.buff);
    else if (op < 9) this.convert(packet);
    else this.end(packet);
  }

  private stepFrame(packet: Packet, frame: FrameRef, op: number): void {
    if (op < 3) this.clone(packet, frame);
    else if (op < 7) {
      const there = new XdpBuff(this.host, packet.buff.rxq, 2048);
      convertFrameToBuff(frame, there);
      this.adjust(packet, there);
      expect(updateFrameFromBuff(there, frame)).toBe(true);
    } else this.end(packet);
  }

  private adjust(packet: Packet, buff: XdpBuff): void {
    const kind = this.prng.below(4);
    const delta = this.prng.below(400) - 200;
    if (kind === 0) this.adjustHead(packet, buff, delta);
    else if (kind === 1) this.adjustMeta(packet, buff, delta & ~1);
    else this.adjustTail(packet, buff, kind === 2 ? delta : -this.prng.below(2000));
  }

  private adjustHead(packet: Packet, buff: XdpBuff, delta: number): void {
    const headroom = packet.headroom + delta;
    const fits = headroom - packet.meta >= 40 && packet.linear.length - delta >= 14;
    expect(buff.adjustHead(delta)).toBe(fits);
    if (!fits) return;
    packet.headroom = headroom;
    const fresh = delta < 0 ? this.bytesFor(-delta, buff.data) : [];
    packet.linear = [...fresh, ...packet.linear.slice(Math.max(delta, 0))];
  }

  private adjustMeta(packet: Packet, buff: XdpBuff, delta: number): void {
    const meta = packet.meta - delta;
    const fits = meta >= 0 && meta <= 252 && meta % 4 === 0 && packet.headroom - meta >= 40;
    expect(buff.adjustMeta(delta)).toBe(fits);
    if (fits) packet.meta = meta;
  }

  private adjustTail(packet: Packet, buff: XdpBuff, delta: number): void {
    const total = packet.linear.length + packet.frags.reduce((sum, { len }) => sum + len, 0);
    if (delta >= 0) return this.growTail(packet, buff, delta);
    const fits = total + delta >= 14;
    expect(buff.adjustTail(delta)).toBe(fits);
    if (!fits) return;
    let left = -delta;
    while (left > 0 && packet.frags.length > 0) {
      const last = packet.frags.at(-1)!;
      const cut = Math.min(left, last.len);
      last.len -= cut;
      last.bytes?.splice(last.len);
      left -= cut;
      if (last.len > 0) break;
      this.plain.delete(last.ref);
      packet.frags.pop();
    }
    packet.linear.splice(packet.linear.length - left);
  }

  private growTail(packet: Packet, buff: XdpBuff, delta: number): void {
    const last = packet.frags.at(-1);
    const zeros = Array.from({ length: delta }, () => 0);
    if (last === undefined) {
      const fits = packet.headroom + packet.linear.length + delta <= FRAME_SZ - TAILROOM;
      expect(buff.adjustTail(delta)).toBe(fits);
      if (fits) packet.linear.push(...zeros);
      return;
    }
    const stride = packet.buff.rxq.fragSizeBytes;
    const room = stride - last.len - (last.offset % Math.max(stride, 1));
    const fits =
      stride > 0 && stride <= buff.frameSz && last.bytes !== null && delta <= room && !this.isSharedWith(last);
    if (this.isSharedWith(last)) return;
    expect(buff.adjustTail(delta)).toBe(fits);
    if (!fits) return;
    last.bytes?.push(...zeros);
    last.len += delta;
  }

  /** The model keeps no two pieces of a page from growing into each other: drivers do, by their strides. */
  private isSharedWith(frag: Frag): boolean {
    return (
      this.packets.some(({ frags }) => frags.some((one) => one !== frag && one.ref === frag.ref)) || frag.len > 1000
    );
  }

  private convert(packet: Packet): void {
    const copies = packet.buff.rxq.mem.type === MemType.XskBuffPool;
    const frame = convertBuffToFrame(packet.buff);
    expect(frame).not.toBe(0);
    packet.frame = frame;
    if (!copies) return;
    this.copies++;
    this.plain.delete(packet.head);
    packet.head = this.headOf(frame as FrameRef);
    packet.headroom = packet.meta + 40;
    this.plain.add(packet.head);
  }

  private clone(packet: Packet, frame: FrameRef): void {
    const clone = cloneFrame(this.host, frame);
    const readable = packet.frags.every(({ bytes }) => bytes !== null);
    expect(clone !== 0).toBe(readable);
    if (clone === 0) return;
    this.clones++;
    const frags = this.fragsOf(clone).map(([ref], n): Frag => {
      const { bytes, len } = packet.frags[n]!;
      return { ref, offset: 0, bytes: [...bytes!], len };
    });
    const copy: Packet = { ...packet, frame: clone, head: this.headOf(clone), linear: [...packet.linear], frags };
    for (const ref of [copy.head, ...frags.map((one) => one.ref)]) this.plain.add(ref);
    this.packets.push(copy);
    this.checkBytes(copy);
  }

  private end(packet: Packet): void {
    this.packets.splice(this.packets.indexOf(packet), 1);
    for (const ref of [packet.head, ...packet.frags.map((frag) => frag.ref)]) this.plain.delete(ref);
    const { frame } = packet;
    const way = this.prng.below(4);
    if (frame === 0) packet.buff.returnBuff();
    else if (way === 0) returnFrame(this.host, frame);
    else if (way === 1) returnFrameRxNapi(this.host, frame);
    else if (way === 2) returnFrameBulk(this.host, Int32Array.of(frame), 1);
    else this.bulk.add(frame);
    if (way === 3 || this.prng.below(4) === 0) this.bulk.flush();
  }

  /** Every buffer that no packet holds is home, once, with its own owner; every buffer that one holds is not. */
  private checkHome(): void {
    const outside = new Set(this.packets.flatMap(({ head, frags }) => [head, ...frags.map(({ ref }) => ref)]));
    for (const owner of [this.pool, this.xsk, this.gpu]) {
      expect(new Set(owner.returned).size).toBe(owner.returned.length);
      for (const ref of owner.returned)
        expect([this.owned.get(ref as NetmemRef), outside.has(ref as NetmemRef)]).toEqual([owner, false]);
    }
    const out = [...this.owned.keys()].filter((ref) => outside.has(ref)).length;
    const home = this.pool.returned.length + this.xsk.returned.length + this.gpu.returned.length;
    expect(home).toBe(this.owned.size - out);
    expect(this.host.pages.freePageCount()).toBe(this.freeAtStart - this.pagesOfOwners() - this.plain.size);
  }

  private checkBytes(packet: Packet): void {
    const { host } = this;
    const { frame, buff } = packet;
    const data = frame === 0 ? buff.data : frameData(host, frame);
    const meta = frame === 0 ? buff.metaLen : wordAt(host, frame + FRAME_METASIZE);
    const total = packet.linear.length + packet.frags.reduce((sum, { len }) => sum + len, 0);
    expect([frame === 0 ? buff.len : frameLen(host, frame), meta]).toEqual([total, packet.meta]);
    expect([...host.u8.subarray(data, data + packet.linear.length)]).toEqual(packet.linear);
    const frags = frame === 0 ? this.fragsAt(buff.flags === 0 ? 0 : buff.sharedInfoAt()) : this.fragsOf(frame);
    expect(frags).toEqual(packet.frags.map(({ ref, offset, len }) => [ref, offset, len]));
    for (const { ref, offset, len, bytes } of packet.frags) {
      if (bytes === null) continue;
      const from = host.offsetOf(ref as ReadableRef) + offset;
      expect([...host.u8.subarray(from, from + len)]).toEqual(bytes);
    }
  }

  private fragsOf(frame: FrameRef): [NetmemRef, number, number][] {
    return this.fragsAt(frameHasFrags(this.host, frame) ? frameSharedInfoAt(this.host, frame) : 0);
  }

  private fragsAt(shinfo: number): [NetmemRef, number, number][] {
    const count = shinfo === 0 ? 0 : wordAt(this.host, shinfo + SHINFO_NR_FRAGS);
    return Array.from({ length: count }, (_, n) => {
      const at = fragAt(shinfo, n);
      return [
        wordAt(this.host, at + FRAG_REF) as NetmemRef,
        wordAt(this.host, at + FRAG_OFFSET),
        wordAt(this.host, at + FRAG_LEN),
      ];
    });
  }

  private headOf(frame: FrameRef): NetmemRef {
    return wordAt(this.host, frame + FRAME_REF) as NetmemRef;
  }

  /** Writes random bytes and returns them. */
  private bytesFor(len: number, at: number): number[] {
    const bytes = Array.from({ length: len }, () => this.prng.below(256));
    this.host.u8.set(bytes, at);
    return bytes;
  }

  private takePage(kind: number): PageRef {
    if (kind === 1) return this.takePlain();
    return this.takeOwned(kind === 0 ? this.pool : this.xsk);
  }

  private takeOwned(owner: NotingOwner): PageRef {
    const ref = owner.allocPage();
    this.owned.set(ref, owner);
    return ref;
  }

  private takePlain(): PageRef {
    const ref = this.host.pages.allocPages(0);
    if (ref === 0) throw new Error("out of pages");
    this.plain.add(ref);
    return ref;
  }

  private takeIov(): NetmemRef | 0 {
    if (this.iovs === IOVS) return 0;
    const ref = this.gpu.claimIov(this.area, this.iovs++);
    this.owned.set(ref, this.gpu);
    return ref;
  }

  /** What a packet did not take is the caller's to return. */
  private giveUp(ref: NetmemRef): void {
    const single = new XdpBuff(this.host, makeRxq(MemType.PagePool), FRAME_SZ);
    single.prepare(ref as ReadableRef, 0, HEADROOM, 60);
    this.plain.delete(ref);
    single.returnBuff();
  }

  /** The owners keep what came home. */
  private pagesOfOwners(): number {
    return [...this.owned.values()].filter((owner) => owner !== this.gpu).length;
  }
}
