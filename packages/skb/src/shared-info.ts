/*
 * data path
 *
 * The shared info sits in the last 320 bytes of a head buffer, for an xdp_buff, an xdp_frame and an skb alike
 * (kernel: `skb_shared_info`). Word offsets:
 *
 *  +-----+----------+---------+-----------+---------------+---------------+-----------------------------------+
 *  | 0   | 1        | 2       | 3         | 4             | 5 .. 10       | 12 .. 79                          |
 *  | nr  | dataref  | frag    | xdp frags | xdp frags     | see below     | 17 frags of                       |
 *  |frags|          | list    | bytes     | truesize      |               | {ref, offset, len, truesize}      |
 *  +-----+----------+---------+-----------+---------------+---------------+-----------------------------------+
 *
 * Of an skb's data, and so of all its clones:  5 head buffer   6 its first byte's arena offset   7 hash   8 queue
 *  9 ifindex   10 payload bytes per segment (low 16 bits) and segments (high 16 bits) of a merged packet, else 0
 *
 * A fragment's offset counts from the first byte of its netmem. Nothing in here is valid before `nrFrags` and
 * `dataref` were written: a packet without fragments that is dropped never touches these cache lines.
 */
import {
  type Host,
  type NetmemRef,
  returnNetmem as returnNetmem_,
  returnNetmemRxNapi as returnNetmemRxNapi_,
} from "@netmem/core";

// What is exported is read through a module cell, also in here: see docs/decisions/0007.
const INFO_BYTES = 320;
const NR_FRAGS = 0;
const FRAGS = 12;
const WORDS = 4;
const REF = 0;
const OFFSET = 1;
const LEN = 2;
const TRUESIZE = 3;
const returnNetmem = returnNetmem_;
const returnNetmemRxNapi = returnNetmemRxNapi_;

/** Bytes that every head buffer keeps free at its end. */
export const SHARED_INFO_BYTES: 320 = INFO_BYTES;
/** Fragments of one packet, its head not counted. */
export const MAX_SKB_FRAGS = 17;

export const SHINFO_NR_FRAGS: 0 = NR_FRAGS;
/** Holders of the data: this skb and its clones. Crosses threads. */
export const SHINFO_DATAREF = 1;
/** First skb of the fragment list, 0 for none. */
export const SHINFO_FRAG_LIST = 2;
export const SHINFO_XDP_FRAGS_SIZE = 3;
export const SHINFO_XDP_FRAGS_TRUESIZE = 4;
export const SHINFO_HEAD = 5;
export const SHINFO_HARD_START = 6;
export const SHINFO_HASH = 7;
export const SHINFO_QUEUE = 8;
export const SHINFO_IFINDEX = 9;
export const SHINFO_GSO = 10;
export const SHINFO_FRAGS: 12 = FRAGS;

export const FRAG_WORDS: 4 = WORDS;
export const FRAG_REF: 0 = REF;
export const FRAG_OFFSET: 1 = OFFSET;
export const FRAG_LEN: 2 = LEN;
export const FRAG_TRUESIZE: 3 = TRUESIZE;

/** Word offset of the shared info of a head buffer that starts at byte `hardStart` and has `frameSz` bytes. */
export function sharedInfoAt(hardStart: number, frameSz: number): number {
  return (hardStart + frameSz - INFO_BYTES) >> 2;
}

/** Word offset of fragment `fragIdx`; does not check the index. */
export function fragAt(shinfoAt: number, fragIdx: number): number {
  return shinfoAt + FRAGS + fragIdx * WORDS;
}

/** Writes fragment `fragIdx`. Bytes; the reference now belongs to the packet. */
export function writeFrag(
  i32: Int32Array,
  shinfoAt: number,
  fragIdx: number,
  ref: NetmemRef,
  offset: number,
  len: number,
  truesize: number,
): void {
  const at = shinfoAt + FRAGS + fragIdx * WORDS;
  i32[at + REF] = ref;
  i32[at + OFFSET] = offset;
  i32[at + LEN] = len;
  i32[at + TRUESIZE] = truesize;
}

/** Sends every fragment home, in order, each to its own owner. */
export function returnFrags(host: Host, shinfoAt: number): void {
  const i32 = host.i32;
  const end = shinfoAt + FRAGS + i32[shinfoAt + NR_FRAGS]! * WORDS;
  for (let at = shinfoAt + FRAGS; at < end; at += WORDS) returnNetmem(host, i32[at + REF]! as NetmemRef);
}

/** As {@link returnFrags}, promising that the caller is the poll of the owners' NAPI. */
export function returnFragsRxNapi(host: Host, shinfoAt: number): void {
  const i32 = host.i32;
  const end = shinfoAt + FRAGS + i32[shinfoAt + NR_FRAGS]! * WORDS;
  for (let at = shinfoAt + FRAGS; at < end; at += WORDS) returnNetmemRxNapi(host, i32[at + REF]! as NetmemRef);
}
