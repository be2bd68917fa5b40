/*
 * data path
 *
 * Packets that wait for the next one of their flow (kernel: `napi_struct.gro`): 8 buckets of 8 slots. A slot:
 *   0 skb, 0 = free   1 last skb of its fragment list, or itself   2 packets merged   3 payload bytes of the first
 *   4 next TCP sequence number   5 TCP acknowledgement   6 TCP offset, flags and window   7 hops   8 first IP id
 *   9 1: all IP ids are the same   10 transport offset   12 order of arrival   13 flow hash
 *  14 protocol   15 1: fragment list   16 .. 31 flow
 */
import { FLOW_WORDS as FLOW_WORDS_, type GroHeaders } from "./gro-headers.ts";
import type { SkbRef } from "./skb-record.ts";

export const S_SKB = 0;
export const S_LAST = 1;
export const S_COUNT = 2;
export const S_SEG_BYTES = 3;
export const S_NEXT_SEQ = 4;
export const S_ACK = 5;
export const S_TCP_WORD = 6;
export const S_HOPS = 7;
export const S_IP_ID = 8;
export const S_FIXED_ID = 9;
export const S_TRANSPORT = 10;
export const S_ORDER = 12;
const S_HASH = 13;
export const S_PROTOCOL = 14;
export const S_LIST = 15;
const S_FLOW = 16;

const SKB = S_SKB;
const HASH = S_HASH;
const ORDER = S_ORDER;
const FLOW = S_FLOW;
const LAST = S_LAST;
const COUNT = S_COUNT;
const SEG_BYTES = S_SEG_BYTES;
const HOPS = S_HOPS;
const IP_ID = S_IP_ID;
const FIXED_ID = S_FIXED_ID;
const TRANSPORT = S_TRANSPORT;
const PROTOCOL = S_PROTOCOL;
const FLOW_WORDS = FLOW_WORDS_;
const SLOT_WORDS = 32;
const BUCKETS = 8;
const BUCKET_SLOTS = 8;
const BUCKET_WORDS = BUCKET_SLOTS * SLOT_WORDS;

/** The slots of one table. A slot is its first word's place in {@link words}. */
export class GroSlots {
  declare readonly words: Int32Array;
  /** Slots that are taken. */
  declare held: number;
  /** Order of the packet that was held last. */
  declare order: number;

  constructor() {
    this.words = new Int32Array(BUCKETS * BUCKET_WORDS);
    this.held = 0;
    this.order = 0;
  }

  /** Slot of a flow, -1 for none. */
  find(headers: GroHeaders): number {
    const { words } = this;
    const from = (headers.flowHash & (BUCKETS - 1)) * BUCKET_WORDS;
    for (let slot = from; slot < from + BUCKET_WORDS; slot += SLOT_WORDS) {
      if (words[slot + SKB] !== 0 && words[slot + HASH] === headers.flowHash && this.isFlow(slot, headers)) return slot;
    }
    return -1;
  }

  /** A slot for a packet of that flow: a free one of its bucket, else the one that is held longest. */
  choose(headers: GroHeaders): number {
    const { words } = this;
    const from = (headers.flowHash & (BUCKETS - 1)) * BUCKET_WORDS;
    let oldest = from;
    for (let slot = from; slot < from + BUCKET_WORDS; slot += SLOT_WORDS) {
      if (words[slot + SKB] === 0) return slot;
      if (((words[slot + ORDER]! - words[oldest + ORDER]!) | 0) < 0) oldest = slot;
    }
    return oldest;
  }

  /** Takes a free slot for the first packet of a flow. What depends on the protocol is the caller's to write. */
  take(slot: number, skb: SkbRef, headers: GroHeaders, segBytes: number): void {
    const { words } = this;
    this.order = (this.order + 1) | 0;
    this.held++;
    words[slot + SKB] = skb;
    words[slot + LAST] = skb;
    words[slot + COUNT] = 1;
    words[slot + SEG_BYTES] = segBytes;
    words[slot + HOPS] = headers.hopWord;
    words[slot + IP_ID] = headers.ipId;
    words[slot + FIXED_ID] = 0;
    words[slot + TRANSPORT] = headers.transport;
    words[slot + ORDER] = this.order;
    words[slot + HASH] = headers.flowHash;
    words[slot + PROTOCOL] = headers.protocol;
    for (let n = 0; n < FLOW_WORDS; n++) words[slot + FLOW + n] = headers.flow[n]!;
  }

  release(slot: number): void {
    this.words[slot + SKB] = 0;
    this.held--;
  }

  /** The slot that is held longest; one must be taken. */
  oldest(): number {
    const { words } = this;
    let oldest = -1;
    for (let slot = 0; slot < words.length; slot += SLOT_WORDS) {
      if (words[slot + SKB] === 0) continue;
      if (oldest < 0 || ((words[slot + ORDER]! - words[oldest + ORDER]!) | 0) < 0) oldest = slot;
    }
    return oldest;
  }

  private isFlow(slot: number, headers: GroHeaders): boolean {
    const { words } = this;
    const { flow } = headers;
    for (let n = 0; n < FLOW_WORDS; n++) if (words[slot + FLOW + n] !== flow[n]) return false;
    return true;
  }
}
