/* data path */
import type { NetmemRef } from "@netmem/core";
import {
  FRAG_LEN as FRAG_LEN_,
  FRAG_REF as FRAG_REF_,
  FRAG_TRUESIZE as FRAG_TRUESIZE_,
  fragAt as fragAt_,
  SHINFO_FRAG_LIST as SHINFO_FRAG_LIST_,
  SHINFO_NR_FRAGS as SHINFO_NR_FRAGS_,
} from "./shared-info.ts";
import { expandHead } from "./skb-expand.ts";
import { unrefFrag } from "./skb-frags.ts";
import { checkReleasable, consumeList } from "./skb-free.ts";
import { checkData, isClonedAt } from "./skb-head.ts";
import {
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
const FRAG_REF = FRAG_REF_;
const FRAG_TRUESIZE = FRAG_TRUESIZE_;
const fragAt = fragAt_;
const FRAG_LIST = SHINFO_FRAG_LIST_;
const NR_FRAGS = SHINFO_NR_FRAGS_;
const DATA_LEN = SKB_DATA_LEN_;
const LEN = SKB_LEN_;
const NEXT = SKB_NEXT_;
const SHINFO = SKB_SHINFO_;
const TRUESIZE = SKB_TRUESIZE_;
const FLAGS = SKB_FLAGS_;
const UNREADABLE = SkbFlag.Unreadable;
const PP_RECYCLE = SkbFlag.PpRecycle;

/**
 * Cuts the packet to its first `lenBytes` (kernel: `pskb_trim`); a longer length changes nothing. Fragments and skbs of
 * the fragment list that are not needed any more go home, and `truesize` goes down with them. A packet without
 * fragments is readable again. False, and the packet as long as before, when it is shared and memory is short.
 *
 * @throws `ERR_NETMEM_STALE_SKB`, `ERR_NETMEM_POOL_PAGE_FREED` as `consumeSkb`; nothing has changed then.
 */
export function trimSkb(slab: SkbSlab, skb: SkbRef, lenBytes: number): boolean {
  const at = checkData(slab, skb);
  const i32 = slab.i32;
  const len = i32[at + LEN]!;
  if (lenBytes >= len) return true;
  const headLen = len - i32[at + DATA_LEN]!;
  if (i32[at + DATA_LEN] !== 0) checkReleasable(slab, at);
  // The length is the record's own: only what lies in the shared info needs a copy.
  if (i32[at + DATA_LEN] !== 0 && isClonedAt(slab, at) && !expandHead(slab, skb, 0, 0)) return false;
  const dataLen = lenBytes > headLen ? lenBytes - headLen : 0;
  if (!trimList(slab, at, trimFrags(slab, at, dataLen))) return false;
  i32[at + LEN] = lenBytes > 0 ? lenBytes : 0;
  i32[at + DATA_LEN] = dataLen;
  if (dataLen === 0) i32[at + FLAGS] = i32[at + FLAGS]! & ~UNREADABLE;
  return true;
}

/** Keeps `bytes` bytes of fragments; returns how many of them lie beyond, in the fragment list. */
function trimFrags(slab: SkbSlab, at: number, bytes: number): number {
  const { host, i32 } = slab;
  const shinfo = i32[at + SHINFO]!;
  const count = i32[shinfo + NR_FRAGS]!;
  const ppRecycle = (i32[at + FLAGS]! & PP_RECYCLE) !== 0;
  let left = bytes;
  let kept = 0;
  for (let n = 0; n < count; n++) {
    const frag = fragAt(shinfo, n);
    const size = i32[frag + FRAG_LEN]!;
    if (left > 0) {
      if (size > left) i32[frag + FRAG_LEN] = left;
      left = left > size ? left - size : 0;
      kept++;
      continue;
    }
    unrefFrag(host, i32[frag + FRAG_REF]! as NetmemRef, ppRecycle);
    i32[at + TRUESIZE] = i32[at + TRUESIZE]! - i32[frag + FRAG_TRUESIZE]!;
  }
  i32[shinfo + NR_FRAGS] = kept;
  return left;
}

/** Keeps `bytes` bytes of the fragment list. False when the child that is cut is shared and memory is short. */
function trimList(slab: SkbSlab, at: number, bytes: number): boolean {
  const i32 = slab.i32;
  let linkAt = i32[at + SHINFO]! + FRAG_LIST;
  let left = bytes;
  while (left > 0) {
    const child = i32[linkAt]! as SkbRef;
    const childAt = slab.check(child);
    const len = i32[childAt + LEN]!;
    const before = i32[childAt + TRUESIZE]!;
    const isCut = len <= left || trimSkb(slab, child, left);
    // Also of one that failed: it may have a new head.
    i32[at + TRUESIZE] = i32[at + TRUESIZE]! + i32[childAt + TRUESIZE]! - before;
    if (!isCut) return false;
    left = left > len ? left - len : 0;
    linkAt = childAt + NEXT;
  }
  const rest = i32[linkAt]! as SkbRef | 0;
  i32[linkAt] = 0;
  for (let child = rest; child !== 0; child = i32[slab.check(child) + NEXT]! as SkbRef | 0) {
    i32[at + TRUESIZE] = i32[at + TRUESIZE]! - i32[slab.check(child) + TRUESIZE]!;
  }
  consumeList(slab, rest);
  return true;
}
