/* data path */
import type { NetmemRef } from "@netmem/core";
import { copyBitsWithin } from "./copy-bits.ts";
import {
  FRAG_LEN as FRAG_LEN_,
  FRAG_OFFSET as FRAG_OFFSET_,
  FRAG_REF as FRAG_REF_,
  FRAG_TRUESIZE as FRAG_TRUESIZE_,
  FRAG_WORDS as FRAG_WORDS_,
  fragAt as fragAt_,
  SHINFO_FRAG_LIST as SHINFO_FRAG_LIST_,
  SHINFO_NR_FRAGS as SHINFO_NR_FRAGS_,
} from "./shared-info.ts";
import { failUnreadableSkb } from "./skb-checksum.ts";
import { makeTailroom } from "./skb-expand.ts";
import { unrefFrag } from "./skb-frags.ts";
import { checkReleasable, consumeSkb } from "./skb-free.ts";
import { checkData } from "./skb-head.ts";
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
import { failRange } from "./skb-seq.ts";
import type { SkbSlab } from "./skb-slab.ts";

const FRAG_LEN = FRAG_LEN_;
const FRAG_OFFSET = FRAG_OFFSET_;
const FRAG_REF = FRAG_REF_;
const FRAG_TRUESIZE = FRAG_TRUESIZE_;
const FRAG_WORDS = FRAG_WORDS_;
const fragAt = fragAt_;
const FRAG_LIST = SHINFO_FRAG_LIST_;
const NR_FRAGS = SHINFO_NR_FRAGS_;
const DATA = SKB_DATA_;
const DATA_LEN = SKB_DATA_LEN_;
const LEN = SKB_LEN_;
const NEXT = SKB_NEXT_;
const SHINFO = SKB_SHINFO_;
const TRUESIZE = SKB_TRUESIZE_;
const FLAGS = SKB_FLAGS_;
const UNREADABLE = SkbFlag.Unreadable;
const PP_RECYCLE = SkbFlag.PpRecycle;

/**
 * Whether the first `lenBytes` of the packet are in the linear part, moving them there if need be (kernel:
 * `pskb_may_pull`). False for a shorter packet, for one with unreadable fragments whose linear part is shorter, and when
 * memory is short.
 */
export function mayPull(slab: SkbSlab, skb: SkbRef, lenBytes: number): boolean {
  const at = checkData(slab, skb);
  const i32 = slab.i32;
  const len = i32[at + LEN]!;
  const headLen = len - i32[at + DATA_LEN]!;
  if (lenBytes <= headLen) return true;
  if (lenBytes > len || (i32[at + FLAGS]! & UNREADABLE) !== 0) return false;
  return pullTail(slab, skb, lenBytes - headLen);
}

/** Moves the whole packet into the head (kernel: `skb_linearize`). Errors as {@link pullTail}. */
export function linearizeSkb(slab: SkbSlab, skb: SkbRef): boolean {
  return pullTail(slab, skb, slab.i32[checkData(slab, skb) + DATA_LEN]!);
}

/**
 * Moves the first `deltaBytes` behind the linear part into it (kernel: `__pskb_pull_tail`): fragments and skbs of the
 * fragment list that are used up go home. The head is replaced when it has no room or is shared. False, and nothing
 * visible changed, when memory is short.
 *
 * @throws `ERR_NETMEM_UNREADABLE` (EFAULT) for a packet with unreadable fragments; `ERR_NETMEM_OUT_OF_RANGE` (EFAULT)
 * when it has fewer bytes; `ERR_NETMEM_STALE_SKB`, `ERR_NETMEM_POOL_PAGE_FREED` as `consumeSkb`. Nothing has changed then.
 */
export function pullTail(slab: SkbSlab, skb: SkbRef, deltaBytes: number): boolean {
  const at = checkData(slab, skb);
  const i32 = slab.i32;
  const dataLen = i32[at + DATA_LEN]!;
  if (deltaBytes < 0 || deltaBytes > dataLen) failRange(0, deltaBytes, dataLen);
  if (deltaBytes === 0) return true;
  if ((i32[at + FLAGS]! & UNREADABLE) !== 0) failUnreadableSkb(skb, "pull");
  checkReleasable(slab, at);
  if (!makeTailroom(slab, at, skb, deltaBytes)) return false;
  const headLen = i32[at + LEN]! - dataLen;
  if (!openPartialChild(slab, at, deltaBytes)) return false;
  copyBitsWithin(slab, skb, headLen, i32[at + DATA]! + headLen, deltaBytes);
  const left = dropFront(slab, at, deltaBytes);
  if (left > 0) dropListFront(slab, at, left);
  i32[at + DATA_LEN] = dataLen - deltaBytes;
  return true;
}

/**
 * Lets go of the first `bytes` behind the linear part; the rest of the last fragment stays. Lengths are the caller's.
 * Returns how many bytes lie in the fragment list instead.
 */
function dropFront(slab: SkbSlab, at: number, bytes: number): number {
  const { host, i32 } = slab;
  const shinfo = i32[at + SHINFO]!;
  const count = i32[shinfo + NR_FRAGS]!;
  const ppRecycle = (i32[at + FLAGS]! & PP_RECYCLE) !== 0;
  let eat = bytes;
  let gone = 0;
  for (; gone < count; gone++) {
    const frag = fragAt(shinfo, gone);
    const size = i32[frag + FRAG_LEN]!;
    if (size > eat) break;
    unrefFrag(host, i32[frag + FRAG_REF]! as NetmemRef, ppRecycle);
    i32[at + TRUESIZE] = i32[at + TRUESIZE]! - i32[frag + FRAG_TRUESIZE]!;
    eat -= size;
  }
  if (gone > 0) removeFirst(i32, shinfo, gone);
  if (eat === 0 || gone === count) return eat;
  const first = fragAt(shinfo, 0);
  i32[first + FRAG_OFFSET] = i32[first + FRAG_OFFSET]! + eat;
  i32[first + FRAG_LEN] = i32[first + FRAG_LEN]! - eat;
  return 0;
}

function removeFirst(i32: Int32Array, shinfo: number, count: number): void {
  const rest = i32[shinfo + NR_FRAGS]! - count;
  const to = fragAt(shinfo, 0);
  const from = fragAt(shinfo, count);
  for (let n = 0; n < rest * FRAG_WORDS; n++) i32[to + n] = i32[from + n]!;
  i32[shinfo + NR_FRAGS] = rest;
}

/** Lets go of `bytes` at the front of the fragment list. What must be pulled out of a child is linear already. */
function dropListFront(slab: SkbSlab, at: number, bytes: number): void {
  const i32 = slab.i32;
  const listAt = i32[at + SHINFO]! + FRAG_LIST;
  let eat = bytes;
  while (eat > 0) {
    const child = i32[listAt]! as SkbRef;
    const childAt = slab.check(child);
    const len = i32[childAt + LEN]!;
    if (len > eat) {
      i32[childAt + DATA] = i32[childAt + DATA]! + eat;
      i32[childAt + LEN] = len - eat;
      return;
    }
    eat -= len;
    i32[listAt] = i32[childAt + NEXT]!;
    i32[at + TRUESIZE] = i32[at + TRUESIZE]! - i32[childAt + TRUESIZE]!;
    consumeSkb(slab, child);
  }
}

/** The one step of a pull that can fail late: the child that keeps some of its bytes gets those that go linear first. */
function openPartialChild(slab: SkbSlab, at: number, deltaBytes: number): boolean {
  const i32 = slab.i32;
  let eat = deltaBytes - fragBytes(i32, i32[at + SHINFO]!);
  let child = i32[i32[at + SHINFO]! + FRAG_LIST]!;
  while (eat > 0) {
    const childAt = slab.check(child as SkbRef);
    const len = i32[childAt + LEN]!;
    if (len > eat) {
      const headLen = len - i32[childAt + DATA_LEN]!;
      const before = i32[childAt + TRUESIZE]!;
      const isOpen = eat <= headLen || pullTail(slab, child as SkbRef, eat - headLen);
      // Also of one that failed: it may have a new head.
      i32[at + TRUESIZE] = i32[at + TRUESIZE]! + i32[childAt + TRUESIZE]! - before;
      return isOpen;
    }
    eat -= len;
    child = i32[childAt + NEXT]!;
  }
  return true;
}

function fragBytes(i32: Int32Array, shinfo: number): number {
  const count = i32[shinfo + NR_FRAGS]!;
  let bytes = 0;
  for (let n = 0; n < count; n++) bytes += i32[fragAt(shinfo, n) + FRAG_LEN]!;
  return bytes;
}
