/* data path */
import type { NetmemRef, ReadableRef } from "@netmem/core";
import { copyBitsWithin } from "./copy-bits.ts";
import {
  MAX_SKB_FRAGS,
  SHINFO_FRAG_LIST as SHINFO_FRAG_LIST_,
  SHINFO_HEAD as SHINFO_HEAD_,
  SHINFO_NR_FRAGS as SHINFO_NR_FRAGS_,
  writeFrag as writeFrag_,
} from "./shared-info.ts";
import { appendFrags, refFrags } from "./skb-frags.ts";
import { checkData, growTail, headBytesAt, isClonedAt, tailroomAt } from "./skb-head.ts";
import {
  SKB_DATA as SKB_DATA_,
  SKB_DATA_LEN as SKB_DATA_LEN_,
  SKB_FLAGS as SKB_FLAGS_,
  SKB_LEN as SKB_LEN_,
  SKB_SHINFO as SKB_SHINFO_,
  SKB_TRUESIZE as SKB_TRUESIZE_,
  SkbFlag,
  type SkbRef,
} from "./skb-record.ts";
import type { SkbSlab } from "./skb-slab.ts";

const MAX_FRAGS = MAX_SKB_FRAGS;
const FRAG_LIST = SHINFO_FRAG_LIST_;
const NR_FRAGS = SHINFO_NR_FRAGS_;
const DATA = SKB_DATA_;
const DATA_LEN = SKB_DATA_LEN_;
const HEAD = SHINFO_HEAD_;
const LEN = SKB_LEN_;
const SHINFO = SKB_SHINFO_;
const TRUESIZE = SKB_TRUESIZE_;
const FLAGS = SKB_FLAGS_;
const HEAD_FRAG = SkbFlag.HeadFrag;
const PP_RECYCLE = SkbFlag.PpRecycle;
const UNREADABLE = SkbFlag.Unreadable;
const PFMEMALLOC = SkbFlag.PfMemalloc;
const HEAD_STOLEN = SkbFlag.HeadStolen;
const SAME_BITS = PP_RECYCLE | UNREADABLE;
const writeFrag = writeFrag_;

/**
 * Merges `from` behind `to`, by copying where the linear tail of `to` has room, else by moving buffers (kernel:
 * `skb_try_coalesce`). False, and both untouched, when `to` is cloned; when one may hold pool buffers and the other not,
 * or one is readable and the other not; when there is a fragment list; when fragments do not find room; when the head of
 * `from` has bytes but is shared or not a fragment itself.
 *
 * `from` is the caller's in every case and is consumed as ever: after a copy and as a clone it still has its bytes, else
 * what is left of it. By how much `truesize` of `to` grew is in `slab.lastTruesize`.
 *
 * @throws `ERR_NETMEM_STALE_SKB`, `ERR_NETMEM_SKB_EMPTIED`
 */
export function tryCoalesce(slab: SkbSlab, to: SkbRef, from: SkbRef): boolean {
  const toAt = checkData(slab, to);
  const fromAt = checkData(slab, from);
  const i32 = slab.i32;
  slab.lastTruesize = 0;
  if (to === from || isClonedAt(slab, toAt)) return false;
  if (((i32[toAt + FLAGS]! ^ i32[fromAt + FLAGS]!) & SAME_BITS) !== 0) return false;
  const len = i32[fromAt + LEN]!;
  if (len <= tailroomAt(slab, toAt) && (i32[fromAt + FLAGS]! & UNREADABLE) === 0) {
    copyBitsWithin(slab, from, 0, growTail(slab, toAt, len), len);
    return true;
  }
  const toShinfo = i32[toAt + SHINFO]!;
  const fromShinfo = i32[fromAt + SHINFO]!;
  if (i32[toShinfo + FRAG_LIST] !== 0 || i32[fromShinfo + FRAG_LIST] !== 0) return false;
  const count = i32[toShinfo + NR_FRAGS]! + i32[fromShinfo + NR_FRAGS]!;
  const headLen = len - i32[fromAt + DATA_LEN]!;
  if (headLen === 0) {
    if (count > MAX_FRAGS) return false;
    moveFrags(slab, toAt, fromAt);
  } else {
    if (count >= MAX_FRAGS || (i32[fromAt + FLAGS]! & HEAD_FRAG) === 0 || isClonedAt(slab, fromAt)) return false;
    stealAll(slab, toAt, fromAt, headLen);
  }
  i32[toAt + LEN] = i32[toAt + LEN]! + len;
  i32[toAt + DATA_LEN] = i32[toAt + DATA_LEN]! + len;
  i32[toAt + TRUESIZE] = i32[toAt + TRUESIZE]! + slab.lastTruesize;
  i32[toAt + FLAGS] = i32[toAt + FLAGS]! | (i32[fromAt + FLAGS]! & PFMEMALLOC);
  return true;
}

/** All fragments of an skb without linear bytes: shared when it is a clone, else moved. */
function moveFrags(slab: SkbSlab, toAt: number, fromAt: number): void {
  const i32 = slab.i32;
  const fromShinfo = i32[fromAt + SHINFO]!;
  slab.lastTruesize = i32[fromAt + TRUESIZE]! - headBytesAt(slab, fromAt);
  const cloned = isClonedAt(slab, fromAt);
  if (cloned) refFrags(slab.host, fromShinfo, (i32[fromAt + FLAGS]! & PP_RECYCLE) !== 0);
  appendFrags(i32, i32[toAt + SHINFO]!, fromShinfo, 0);
  if (!cloned) emptyFrags(slab, fromAt);
}

/** What is left of an skb whose fragments went elsewhere: its head, and no bytes. */
export function emptyFrags(slab: SkbSlab, at: number): void {
  const i32 = slab.i32;
  i32[i32[at + SHINFO]! + NR_FRAGS] = 0;
  i32[at + LEN] = i32[at + LEN]! - i32[at + DATA_LEN]!;
  i32[at + DATA_LEN] = 0;
  i32[at + TRUESIZE] = headBytesAt(slab, at);
  i32[at + FLAGS] = i32[at + FLAGS]! & ~UNREADABLE;
}

/** The head's bytes as one more fragment, then the fragments. */
function stealAll(slab: SkbSlab, toAt: number, fromAt: number, headLen: number): void {
  const i32 = slab.i32;
  slab.lastTruesize = i32[fromAt + TRUESIZE]!;
  stealHead(slab, fromAt, i32[toAt + SHINFO]!, i32[fromAt + DATA]!, headLen);
  appendFrags(i32, i32[toAt + SHINFO]!, i32[fromAt + SHINFO]!, 0);
  markStolen(slab, fromAt);
}

/** Appends bytes of the head buffer to the fragments at `toShinfo`; the head belongs to them then. */
export function stealHead(slab: SkbSlab, fromAt: number, toShinfo: number, data: number, len: number): void {
  const i32 = slab.i32;
  const head = i32[i32[fromAt + SHINFO]! + HEAD]! as NetmemRef;
  const offset = data - slab.host.offsetOf(head as ReadableRef);
  const count = i32[toShinfo + NR_FRAGS]!;
  writeFrag(i32, toShinfo, count, head, offset, len, headBytesAt(slab, fromAt));
  i32[toShinfo + NR_FRAGS] = count + 1;
}

/** Nothing but the record is left: see `SkbFlag.HeadStolen`. */
export function markStolen(slab: SkbSlab, at: number): void {
  const i32 = slab.i32;
  i32[at + LEN] = 0;
  i32[at + DATA_LEN] = 0;
  i32[at + TRUESIZE] = 0;
  i32[at + FLAGS] = HEAD_STOLEN;
}
