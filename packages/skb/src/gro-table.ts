/* data path */
import { completeGro as completeGro_ } from "./gro-complete.ts";
import {
  GroHeaders,
  IS_GRO as IS_GRO_,
  NOT_GRO as NOT_GRO_,
  PROTO_TCP as PROTO_TCP_,
  u32 as u32_,
} from "./gro-headers.ts";
import { groReceive as groReceive_, groReceiveList as groReceiveList_ } from "./gro-merge.ts";
import {
  GroSlots,
  S_SKB as S_SKB_,
  S_LAST as S_LAST_,
  S_COUNT as S_COUNT_,
  S_SEG_BYTES as S_SEG_BYTES_,
  S_NEXT_SEQ as S_NEXT_SEQ_,
  S_ACK as S_ACK_,
  S_TCP_WORD as S_TCP_WORD_,
  S_HOPS as S_HOPS_,
  S_IP_ID as S_IP_ID_,
  S_FIXED_ID as S_FIXED_ID_,
  S_TRANSPORT as S_TRANSPORT_,
  S_PROTOCOL as S_PROTOCOL_,
  S_LIST as S_LIST_,
  S_ORDER as S_ORDER_,
} from "./gro-slots.ts";
import { SHINFO_FRAG_LIST as SHINFO_FRAG_LIST_, SHINFO_GSO as SHINFO_GSO_ } from "./shared-info.ts";
import { checksumSkb as checksumSkb_, sumBytes as sumBytes_ } from "./skb-checksum.ts";
import { checkData as checkData_, isClonedAt as isClonedAt_ } from "./skb-head.ts";
import { mayPull as mayPull_ } from "./skb-pull.ts";
import {
  SKB_DATA as SKB_DATA_,
  SKB_DATA_LEN as SKB_DATA_LEN_,
  SKB_FLAGS as SKB_FLAGS_,
  SKB_LEN as SKB_LEN_,
  SKB_SHINFO as SKB_SHINFO_,
  SkbFlag,
  type SkbRef,
} from "./skb-record.ts";
import type { SkbSlab } from "./skb-slab.ts";

const completeGro = completeGro_;
const IS_GRO = IS_GRO_;
const NOT_GRO = NOT_GRO_;
const PROTO_TCP = PROTO_TCP_;
const u32 = u32_;
const groReceive = groReceive_;
const groReceiveList = groReceiveList_;
const FRAG_LIST = SHINFO_FRAG_LIST_;
const checksumSkb = checksumSkb_;
const sumBytes = sumBytes_;
const checkData = checkData_;
const isClonedAt = isClonedAt_;
const mayPull = mayPull_;
const DATA = SKB_DATA_;
const DATA_LEN = SKB_DATA_LEN_;
const FLAGS = SKB_FLAGS_;
const GSO = SHINFO_GSO_;
const LEN = SKB_LEN_;
const SHINFO = SKB_SHINFO_;
const UNREADABLE = SkbFlag.Unreadable;
const CSUM_VALID = SkbFlag.CsumValid;

const S_SKB = S_SKB_;
const S_LAST = S_LAST_;
const S_COUNT = S_COUNT_;
const S_SEG_BYTES = S_SEG_BYTES_;
const S_NEXT_SEQ = S_NEXT_SEQ_;
const S_ACK = S_ACK_;
const S_TCP_WORD = S_TCP_WORD_;
const S_HOPS = S_HOPS_;
const S_IP_ID = S_IP_ID_;
const S_FIXED_ID = S_FIXED_ID_;
const S_TRANSPORT = S_TRANSPORT_;
const S_PROTOCOL = S_PROTOCOL_;
const S_LIST = S_LIST_;
const S_ORDER = S_ORDER_;

const READY_MAX = 64;
/** Datagrams that one merged packet may hold, and packets of a fragment list (kernel: `UDP_GRO_CNT_MAX`). */
const MAX_COUNT = 64;

/* Flags in the fourth word of a TCP header, as `u32` reads it. */
const FIN = 0x01_0000;
const SYN = 0x02_0000;
const RST = 0x04_0000;
const PSH = 0x08_0000;
const URG = 0x20_0000;
const CWR = 0x80_0000;
const MAY_DIFFER = CWR | FIN | PSH;
const ENDS_BURST = URG | PSH | RST | SYN | FIN;
const DONT_FRAGMENT = 0x1_0000;

const OFF = 0;
const FRAGS = 1;
const LIST = 2;

/** What becomes of a flow's packets: nothing, one packet of all payload, or a list of whole packets to be sent on. */
export type GroMode = "off" | "frags" | "fragList";

export interface GroParams {
  /** Default "frags". */
  readonly tcp?: GroMode;
  /** Default "off", as in the kernel: most receivers of UDP want their datagrams apart. */
  readonly udp?: GroMode;
}

/** Takes packets off a table: `skbs[0..count)` belong to the callee, the array does not. */
export type GroDeliver = (skbs: Int32Array, count: number) => void;

/**
 * Generic receive offload: merges packets of a flow that arrive in order, and hands on everything in order of
 * completion. One per NAPI; give it each packet of a poll, then call {@link endPoll}, or {@link flush} when the poll found
 * its queue empty. Packets that do not merge pass through.
 */
export class GroTable {
  declare private received: number;
  declare private joined: number;
  declare private readonly slab: SkbSlab;
  declare private readonly deliver: GroDeliver;
  declare private readonly table: GroSlots;
  declare private readonly slots: Int32Array;
  declare private readonly headers: GroHeaders;
  declare private readonly ready: Int32Array;
  declare private readyCount: number;
  declare private readonly tcp: number;
  declare private readonly udp: number;
  /** Order of the first packet of this poll. */
  declare private pollFrom: number;

  constructor(slab: SkbSlab, deliver: GroDeliver, params: GroParams = {}) {
    this.received = 0;
    this.joined = 0;
    this.slab = slab;
    this.deliver = deliver;
    this.table = new GroSlots();
    this.slots = this.table.words;
    this.headers = new GroHeaders();
    this.ready = new Int32Array(READY_MAX);
    this.readyCount = 0;
    this.tcp = modeOf(params.tcp ?? "frags");
    this.udp = modeOf(params.udp ?? "off");
    this.pollFrom = 0;
  }

  /** Packets received so far, modulo 2^32. */
  get packets(): number {
    return this.received >>> 0;
  }

  /** How many of them became part of another, modulo 2^32. */
  get merged(): number {
    return this.joined >>> 0;
  }

  /** Packets that wait for more. */
  get held(): number {
    return this.table.held;
  }

  /**
   * Takes a packet that starts with its Ethernet header (kernel: `napi_gro_receive`).
   * @throws `ERR_NETMEM_STALE_SKB`, `ERR_NETMEM_SKB_EMPTIED`; and what the callee of a delivery throws: the packet was
   * taken then.
   */
  receive(skb: SkbRef): void {
    const at = checkData(this.slab, skb);
    this.received = (this.received + 1) | 0;
    this.sort(skb, at);
    // Now that the packet has its place, since the callee may throw. A packet makes two ready at most.
    if (this.readyCount > READY_MAX - 2) this.deliverReady();
  }

  /** Ends a poll that will be continued: hands on what is complete, and what has waited since an earlier poll. */
  endPoll(): void {
    this.completeUntil(this.pollFrom);
    this.pollFrom = this.table.order;
    this.deliverReady();
  }

  /** Hands on everything. */
  flush(): void {
    this.completeUntil(this.table.order);
    this.pollFrom = this.table.order;
    this.deliverReady();
  }

  /** Into its flow's packet, a slot, or out. */
  private sort(skb: SkbRef, at: number): void {
    const mode = this.read(skb, at);
    if (mode === OFF) return this.pass(skb);
    const slot = this.table.find(this.headers);
    if (slot >= 0) {
      if (this.join(slot, skb, at)) return;
      this.complete(slot);
    }
    if (this.mayHold(at)) this.hold(skb, at, mode);
    else this.pass(skb);
  }

  /** Whether GRO looks at the packet, and what for; reads its headers then. */
  private read(skb: SkbRef, at: number): number {
    const { slab, headers } = this;
    const i32 = slab.i32;
    const { u8 } = slab.host;
    const len = i32[at + LEN]!;
    const shinfo = i32[at + SHINFO]!;
    if (i32[shinfo + GSO] !== 0 || i32[shinfo + FRAG_LIST] !== 0 || isClonedAt(slab, at)) return OFF;
    for (;;) {
      const result = headers.parse(u8, i32[at + DATA]!, len - i32[at + DATA_LEN]!, len);
      if (result === NOT_GRO) return OFF;
      if (result === IS_GRO) break;
      if (!mayPull(slab, skb, result)) return OFF;
    }
    const mode = headers.protocol === PROTO_TCP ? this.tcp : this.udp;
    if (mode !== OFF && !this.isChecksumRight(skb, at)) headers.isBroken = true;
    return mode;
  }

  /** Payload that the CPU cannot read must have been checked by the hardware. */
  private isChecksumRight(skb: SkbRef, at: number): boolean {
    const { slab, headers } = this;
    const flags = slab.i32[at + FLAGS]!;
    if ((flags & CSUM_VALID) !== 0) return true;
    if ((flags & UNREADABLE) !== 0) return false;
    const len = slab.i32[at + LEN]! - headers.transport;
    const addresses = headers.isIpv6 ? 32 : 8;
    const from = slab.i32[at + DATA]! + headers.transport - addresses;
    const pseudo = sumBytes(slab.host.u8, from, addresses) + headers.protocol + len;
    return checksumSkb(slab, skb, headers.transport, len, pseudo) === 0xffff;
  }

  /** Merges the packet just read into its flow's. False: that one is complete, and this one not part of it. */
  private join(slot: number, skb: SkbRef, at: number): boolean {
    const { slots, slab, headers } = this;
    const isTcp = headers.protocol === PROTO_TCP;
    const len = slab.i32[at + LEN]! - headers.payload;
    const data = slab.i32[at + DATA]!;
    // Read before the merge: it may take the head.
    const word = isTcp ? u32(slab.host.u8, data + headers.transport + 12) : 0;
    if (headers.isBroken || len <= 0 || len > slots[slot + S_SEG_BYTES]! || !this.fitsHops(slot)) return false;
    if (isTcp && !this.fitsTcp(slot, data, word)) return false;
    const p = slots[slot + S_SKB]! as SkbRef;
    const last = slots[slot + S_LAST]! as SkbRef;
    const isList = slots[slot + S_LIST] === 1;
    const next = isList
      ? groReceiveList(slab, p, last, skb, headers.payload)
      : groReceive(slab, p, last, skb, headers.payload);
    if (next === 0) return false;
    this.joined = (this.joined + 1) | 0;
    slots[slot + S_LAST] = next;
    slots[slot + S_COUNT] = slots[slot + S_COUNT]! + 1;
    if (isTcp) this.advanceTcp(slot, p, word, len);
    if (this.isEnd(slot, word, len)) this.complete(slot);
    return true;
  }

  private fitsHops(slot: number): boolean {
    const { slots, headers } = this;
    if (slots[slot + S_HOPS] !== headers.hopWord) return false;
    if (headers.isIpv6) return true;
    const count = slots[slot + S_COUNT]!;
    const step = (headers.ipId - slots[slot + S_IP_ID]!) & 0xffff;
    const isFixed = step === 0 && (headers.hopWord & DONT_FRAGMENT) !== 0;
    if (count === 1) slots[slot + S_FIXED_ID] = isFixed ? 1 : 0;
    return slots[slot + S_FIXED_ID] === 1 ? isFixed : step === (count & 0xffff);
  }

  /** In order, nothing acknowledged in between, same window and options. */
  private fitsTcp(slot: number, data: number, word: number): boolean {
    const { slots, headers } = this;
    const { u8 } = this.slab.host;
    const at = data + headers.transport;
    // Whole packets are sent on with the header that they came with, so the first cannot take over a flag.
    if (slots[slot + S_LIST] === 1 && word !== slots[slot + S_TCP_WORD]) return false;
    if ((word & CWR) !== 0 || ((word ^ slots[slot + S_TCP_WORD]!) & ~MAY_DIFFER) !== 0) return false;
    if (u32(u8, at + 4) !== slots[slot + S_NEXT_SEQ] || u32(u8, at + 8) !== slots[slot + S_ACK]) return false;
    const held = this.slab.i32[this.slab.recordAt(slots[slot + S_SKB]! as SkbRef) + DATA]! + headers.transport;
    const bytes = headers.payload - headers.transport;
    for (let n = 20; n < bytes; n++) if (u8[at + n] !== u8[held + n]) return false;
    return true;
  }

  private advanceTcp(slot: number, p: SkbRef, word: number, len: number): void {
    const { slots, slab, headers } = this;
    slots[slot + S_NEXT_SEQ] = slots[slot + S_NEXT_SEQ]! + len;
    const flagsAt = slab.i32[slab.recordAt(p) + DATA]! + headers.transport + 13;
    const { u8 } = slab.host;
    u8[flagsAt] = u8[flagsAt]! | ((word & (FIN | PSH)) >>> 16);
    slots[slot + S_TCP_WORD] = slots[slot + S_TCP_WORD]! | (word & (FIN | PSH));
  }

  /** Whether nothing can follow: a short packet, one that wants to be delivered, or enough packets. */
  private isEnd(slot: number, word: number, len: number): boolean {
    const { slots } = this;
    if (len < slots[slot + S_SEG_BYTES]! || (word & ENDS_BURST) !== 0) return true;
    const isStream = slots[slot + S_PROTOCOL] === PROTO_TCP && slots[slot + S_LIST] === 0;
    return !isStream && slots[slot + S_COUNT]! >= MAX_COUNT;
  }

  /** Whether a packet may be the first of several. */
  private mayHold(at: number): boolean {
    const { headers, slab } = this;
    if (headers.isBroken || slab.i32[at + LEN]! <= headers.payload) return false;
    if (headers.protocol !== PROTO_TCP) return true;
    return (u32(slab.host.u8, slab.i32[at + DATA]! + headers.transport + 12) & ENDS_BURST) === 0;
  }

  private hold(skb: SkbRef, at: number, mode: number): void {
    const { slots, table, headers, slab } = this;
    const slot = table.choose(headers);
    if (slots[slot + S_SKB] !== 0) this.complete(slot);
    const { u8 } = slab.host;
    const tcpAt = slab.i32[at + DATA]! + headers.transport;
    const isTcp = headers.protocol === PROTO_TCP;
    const len = slab.i32[at + LEN]! - headers.payload;
    table.take(slot, skb, headers, len);
    slots[slot + S_NEXT_SEQ] = isTcp ? u32(u8, tcpAt + 4) + len : 0;
    slots[slot + S_ACK] = isTcp ? u32(u8, tcpAt + 8) : 0;
    slots[slot + S_TCP_WORD] = isTcp ? u32(u8, tcpAt + 12) : 0;
    slots[slot + S_LIST] = mode === LIST ? 1 : 0;
  }

  /** Completes what was held up to order `until`, oldest first. */
  private completeUntil(until: number): void {
    while (this.held > 0) {
      const slot = this.table.oldest();
      if (((until - this.slots[slot + S_ORDER]!) | 0) < 0) return;
      if (this.readyCount === READY_MAX) this.deliverReady();
      this.complete(slot);
    }
  }

  private complete(slot: number): void {
    const { slots, slab } = this;
    const skb = slots[slot + S_SKB]! as SkbRef;
    const count = slots[slot + S_COUNT]!;
    this.table.release(slot);
    if (count > 1) {
      const isList = slots[slot + S_LIST] === 1;
      const segBytes = slots[slot + S_SEG_BYTES]!;
      completeGro(
        slab,
        slab.recordAt(skb),
        slots[slot + S_TRANSPORT]!,
        slots[slot + S_PROTOCOL]!,
        segBytes,
        count,
        isList,
      );
    }
    this.pass(skb);
  }

  private pass(skb: SkbRef): void {
    this.ready[this.readyCount++] = skb;
  }

  private deliverReady(): void {
    const count = this.readyCount;
    this.readyCount = 0;
    if (count > 0) this.deliver(this.ready, count);
  }
}

function modeOf(mode: GroMode): number {
  if (mode === "off") return OFF;
  return mode === "frags" ? FRAGS : LIST;
}
