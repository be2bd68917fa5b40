/* data path */
import {
  FRAG_LEN as FRAG_LEN_,
  FRAG_OFFSET as FRAG_OFFSET_,
  fragAt as fragAt_,
  MAX_SKB_FRAGS,
  SHINFO_FRAG_LIST as SHINFO_FRAG_LIST_,
  SHINFO_NR_FRAGS as SHINFO_NR_FRAGS_,
} from "./shared-info.ts";
import { emptyFrags, markStolen, stealHead } from "./skb-coalesce.ts";
import { appendFrags } from "./skb-frags.ts";
import { consumeSkb } from "./skb-free.ts";
import { checkData, headBytesAt, isClonedAt } from "./skb-head.ts";
import {
  SKB_DATA as SKB_DATA_,
  SKB_DATA_LEN as SKB_DATA_LEN_,
  SKB_FLAGS as SKB_FLAGS_,
  SKB_LEN as SKB_LEN_,
  SKB_NEXT as SKB_NEXT_,
  SKB_SHINFO as SKB_SHINFO_,
  SKB_TRUESIZE as SKB_TRUESIZE_,
  SkbFlag,
  type SkbRef,
} from "./skb-record.ts";
import type { SkbSlab } from "./skb-slab.ts";

const FRAG_LEN = FRAG_LEN_;
const FRAG_OFFSET = FRAG_OFFSET_;
const fragAt = fragAt_;
const MAX_FRAGS = MAX_SKB_FRAGS;
const FRAG_LIST = SHINFO_FRAG_LIST_;
const NR_FRAGS = SHINFO_NR_FRAGS_;
const DATA = SKB_DATA_;
const DATA_LEN = SKB_DATA_LEN_;
const LEN = SKB_LEN_;
const NEXT = SKB_NEXT_;
const SHINFO = SKB_SHINFO_;
const TRUESIZE = SKB_TRUESIZE_;
const FLAGS = SKB_FLAGS_;
const HEAD_FRAG = SkbFlag.HeadFrag;
const PFMEMALLOC = SkbFlag.PfMemalloc;
const UNREADABLE = SkbFlag.Unreadable;
const SAME_BITS = SkbFlag.PpRecycle | UNREADABLE;

/** A merged packet stays below this (kernel: `GRO_LEGACY_MAX_SIZE`). */
export const GRO_MAX_BYTES = 65_536;

/**
 * Merges `skb` from byte `offset` on, its payload, behind packet `p` (kernel: `skb_gro_receive`): fragments move, a head
 * that is a fragment itself becomes one, and where neither finds room the skb goes to the fragment list. `last` is what
 * the previous merge into `p` returned, `p` at first. Returns the new last one; `skb` belongs to `p` then.
 *
 * 0, and both untouched: when one may hold pool buffers and the other not, or the CPU can read one and not the other
 * (the kernel mixes those); when the data of one is shared; when one brought a fragment list of its own; when `offset` lies
 * behind the first fragment; when the result would reach 64 KiB.
 *
 * @throws `ERR_NETMEM_STALE_SKB`, `ERR_NETMEM_SKB_EMPTIED`
 */
export function groReceive(slab: SkbSlab, p: SkbRef, last: SkbRef, skb: SkbRef, offset: number): SkbRef | 0 {
  const pAt = checkData(slab, p);
  const at = checkData(slab, skb);
  const i32 = slab.i32;
  const len = i32[at + LEN]! - offset;
  const lastAt = slab.check(last);
  if (((i32[pAt + FLAGS]! ^ i32[at + FLAGS]!) & SAME_BITS) !== 0 || !mayMerge(slab, pAt, lastAt, at, len)) return 0;
  const headLen = i32[at + LEN]! - i32[at + DATA_LEN]!;
  if (offset - headLen > firstFragLen(i32, i32[at + SHINFO]!)) return 0;
  const shinfo = i32[lastAt + SHINFO]!;
  const count = i32[shinfo + NR_FRAGS]! + i32[i32[at + SHINFO]! + NR_FRAGS]!;
  const before = i32[at + TRUESIZE]!;
  if (headLen <= offset && count <= MAX_FRAGS) {
    skipFrag(i32, i32[at + SHINFO]!, offset - headLen);
    appendFrags(i32, shinfo, i32[at + SHINFO]!, 0);
    emptyFrags(slab, at);
    grow(i32, pAt, lastAt, len, before - headBytesAt(slab, at));
  } else if (headLen > offset && (i32[at + FLAGS]! & HEAD_FRAG) !== 0 && count < MAX_FRAGS) {
    stealHead(slab, at, shinfo, i32[at + DATA]! + offset, headLen - offset);
    appendFrags(i32, shinfo, i32[at + SHINFO]!, 0);
    markStolen(slab, at);
    grow(i32, pAt, lastAt, len, before);
  } else {
    pullOff(i32, at, offset, headLen);
    return link(slab, pAt, lastAt, at, len, before);
  }
  consumeSkb(slab, skb);
  return last;
}

/**
 * As {@link groReceive}, keeping packets whole: `skb`, less its first `offset` bytes, goes to the fragment list of `p`
 * whatever it is made of, so it can be sent on as it came (kernel: `skb_gro_receive_list`). `ppRecycle` may differ.
 */
export function groReceiveList(slab: SkbSlab, p: SkbRef, last: SkbRef, skb: SkbRef, offset: number): SkbRef | 0 {
  const pAt = checkData(slab, p);
  const at = checkData(slab, skb);
  const i32 = slab.i32;
  const len = i32[at + LEN]! - offset;
  const headLen = i32[at + LEN]! - i32[at + DATA_LEN]!;
  if (offset > headLen || ((i32[pAt + FLAGS]! ^ i32[at + FLAGS]!) & UNREADABLE) !== 0) return 0;
  const lastAt = slab.check(last);
  if (!mayMerge(slab, pAt, lastAt, at, len)) return 0;
  pullOff(i32, at, offset, headLen);
  return link(slab, pAt, lastAt, at, len, i32[at + TRUESIZE]!);
}

function mayMerge(slab: SkbSlab, pAt: number, lastAt: number, at: number, len: number): boolean {
  const i32 = slab.i32;
  if (pAt === at || len <= 0 || i32[pAt + LEN]! + len >= GRO_MAX_BYTES) return false;
  // A list in the packet before its first merge is not ours to append to: `link` would forget who is on it.
  if (i32[i32[at + SHINFO]! + FRAG_LIST] !== 0 || (lastAt === pAt && i32[i32[pAt + SHINFO]! + FRAG_LIST] !== 0))
    return false;
  return !isClonedAt(slab, pAt) && !isClonedAt(slab, at);
}

/** Takes headers off: from the head, and from the first fragment if they reach there. */
function pullOff(i32: Int32Array, at: number, offset: number, headLen: number): void {
  const fromHead = offset < headLen ? offset : headLen;
  skipFrag(i32, i32[at + SHINFO]!, offset - fromHead);
  i32[at + DATA] = i32[at + DATA]! + fromHead;
  i32[at + LEN] = i32[at + LEN]! - offset;
  i32[at + DATA_LEN] = i32[at + DATA_LEN]! - (offset - fromHead);
}

function firstFragLen(i32: Int32Array, shinfo: number): number {
  return i32[shinfo + NR_FRAGS] === 0 ? 0 : i32[fragAt(shinfo, 0) + FRAG_LEN]!;
}

function skipFrag(i32: Int32Array, shinfo: number, bytes: number): void {
  if (bytes === 0) return;
  const first = fragAt(shinfo, 0);
  i32[first + FRAG_OFFSET] = i32[first + FRAG_OFFSET]! + bytes;
  i32[first + FRAG_LEN] = i32[first + FRAG_LEN]! - bytes;
}

function link(slab: SkbSlab, pAt: number, lastAt: number, at: number, len: number, truesize: number): SkbRef {
  const i32 = slab.i32;
  const linkAt = lastAt === pAt ? i32[pAt + SHINFO]! + FRAG_LIST : lastAt + NEXT;
  i32[linkAt] = i32[at]!;
  i32[pAt + FLAGS] = i32[pAt + FLAGS]! | (i32[at + FLAGS]! & PFMEMALLOC);
  grow(i32, pAt, pAt, len, truesize);
  return i32[at]! as SkbRef;
}

/** More bytes behind the packet, in its own fragments or in those of the last skb of its list. */
function grow(i32: Int32Array, pAt: number, lastAt: number, len: number, truesize: number): void {
  i32[pAt + LEN] = i32[pAt + LEN]! + len;
  i32[pAt + DATA_LEN] = i32[pAt + DATA_LEN]! + len;
  i32[pAt + TRUESIZE] = i32[pAt + TRUESIZE]! + truesize;
  if (lastAt === pAt) return;
  i32[lastAt + LEN] = i32[lastAt + LEN]! + len;
  i32[lastAt + DATA_LEN] = i32[lastAt + DATA_LEN]! + len;
  i32[lastAt + TRUESIZE] = i32[lastAt + TRUESIZE]! + truesize;
}
