/* data path */
import { isPfmemalloc as isPfmemalloc_, type NetmemRef } from "@netmem/core";
import {
  FRAG_REF as FRAG_REF_,
  fragAt as fragAt_,
  SHINFO_FRAG_LIST as SHINFO_FRAG_LIST_,
  SHINFO_HEAD,
  SHINFO_NR_FRAGS as SHINFO_NR_FRAGS_,
  sharedInfoAt as sharedInfoAt_,
} from "./shared-info.ts";
import { cloneFragList } from "./skb-clone.ts";
import { appendFrags, hasPooledIov, refFrags, unrefFrag } from "./skb-frags.ts";
import { checkPlainData, dropData, freeHead } from "./skb-free.ts";
import {
  allocHead,
  checkData,
  checkSizes,
  copyPacketInfo,
  hardStartAt,
  headBytesAt,
  isClonedAt,
  rawTailroomAt,
  writeSharedInfo,
} from "./skb-head.ts";
import {
  SKB_DATA as SKB_DATA_,
  SKB_DATA_LEN,
  SKB_FLAGS,
  SKB_LEN,
  SKB_SHINFO,
  SKB_TRUESIZE,
  SkbFlag,
  type SkbRef,
} from "./skb-record.ts";
import type { SkbSlab } from "./skb-slab.ts";

const FRAG_REF = FRAG_REF_;
const fragAt = fragAt_;
const FRAG_LIST = SHINFO_FRAG_LIST_;
const NR_FRAGS = SHINFO_NR_FRAGS_;
const HEAD = SHINFO_HEAD;
const DATA = SKB_DATA_;
const LEN = SKB_LEN;
const DATA_LEN = SKB_DATA_LEN;
const SHINFO = SKB_SHINFO;
const TRUESIZE = SKB_TRUESIZE;
const FLAGS = SKB_FLAGS;
const PP_RECYCLE = SkbFlag.PpRecycle;
const PFMEMALLOC = SkbFlag.PfMemalloc;
const HEAD_BITS = SkbFlag.HeadFrag | SkbFlag.Cloned;
const sharedInfoAt = sharedInfoAt_;
const isPfmemalloc = isPfmemalloc_;

/** What the kernel adds when it has to make tailroom anyway. */
const SPARE_BYTES = 128;

/**
 * Gives the skb a head of its own, with that much more room in front and behind (kernel: `pskb_expand_head`). False, and
 * nothing changed, when memory or, for a shared fragment list, the slab is exhausted.
 *
 * The new head comes from the page allocator. Of an skb that is not cloned the old head goes home now and the fragments
 * move over. Of a cloned one each fragment gets a page reference and the `ppRecycle` bit goes: when the other clone
 * recycles, its pool lets go of the page, as in the kernel. A pool's net_iovs have no page to count, and the kernel
 * would leave the skb with a buffer that its pool hands out again; such an skb gets pool-level references and keeps the
 * bit.
 *
 * @throws `ERR_NETMEM_SKB_NO_ROOM` (EINVAL) for room below zero, `ERR_NETMEM_POOL_PAGE_FREED` for a pool's buffer in an skb
 * without the bit, `ERR_NETMEM_WRONG_THREAD` for a shared fragment list on a thread that the slab was shared with,
 * `ERR_NETMEM_STALE_SKB`, `ERR_NETMEM_SKB_EMPTIED`; nothing has changed then.
 */
export function expandHead(slab: SkbSlab, skb: SkbRef, headroomBytes: number, tailroomBytes: number): boolean {
  const at = checkData(slab, skb);
  const { host, i32 } = slab;
  const flags = i32[at + FLAGS]!;
  checkSizes(headroomBytes, tailroomBytes);
  if ((flags & PP_RECYCLE) === 0) checkPlainData(slab, at);
  // A shared fragment list will be cloned.
  if (i32[i32[at + SHINFO]! + FRAG_LIST] !== 0 && isClonedAt(slab, at)) slab.checkThread();
  const head = allocHead(host, headBytesAt(slab, at) + headroomBytes + tailroomBytes);
  if (head === 0) return false;
  const hardStart = host.offsetOf(head);
  const shinfo = sharedInfoAt(hardStart, host.bufferBytes(head));
  const old = i32[at + SHINFO]!;
  writeSharedInfo(i32, shinfo, head, hardStart);
  copyPacketInfo(i32, old, shinfo);
  appendFrags(i32, shinfo, old, 0);
  const cloned = isClonedAt(slab, at);
  const ppRecycle = (flags & PP_RECYCLE) !== 0 && (!cloned || hasPooledIov(host, shinfo));
  if (cloned && !holdShared(slab, at, shinfo, ppRecycle)) {
    host.pages.freePage(head);
    return false;
  }
  copyHead(slab, at, hardStart + headroomBytes);
  // Not to be read any more once the old head is home.
  const moved = hardStart + headroomBytes - hardStartAt(slab, at);
  const grown = host.bufferBytes(head) - headBytesAt(slab, at);
  if (cloned) dropData(slab, at);
  else {
    i32[shinfo + FRAG_LIST] = i32[old + FRAG_LIST]!;
    freeHead(host, i32[old + HEAD]! as NetmemRef, flags);
  }
  i32[at + DATA] = i32[at + DATA]! + moved;
  i32[at + TRUESIZE] = i32[at + TRUESIZE]! + grown;
  i32[at + SHINFO] = shinfo;
  const kept = (ppRecycle ? flags : flags & ~PP_RECYCLE) & ~HEAD_BITS;
  i32[at + FLAGS] = kept | (isPfmemalloc(host, head) ? PFMEMALLOC : 0);
  return true;
}

/** Makes `lenBytes` of headroom, or data that may be written, where there is none (kernel: `skb_cow`). */
export function cowHead(slab: SkbSlab, skb: SkbRef, headroomBytes: number): boolean {
  const at = checkData(slab, skb);
  const have = slab.i32[at + DATA]! - hardStartAt(slab, at);
  const missing = headroomBytes > have ? headroomBytes - have : 0;
  return missing === 0 && !isClonedAt(slab, at) ? true : expandHead(slab, skb, missing, 0);
}

/** A head that may be written, with at least `lenBytes` behind the linear part. */
export function makeTailroom(slab: SkbSlab, at: number, skb: SkbRef, lenBytes: number): boolean {
  const missing = lenBytes - rawTailroomAt(slab, at);
  if (missing <= 0 && !isClonedAt(slab, at)) return true;
  return expandHead(slab, skb, 0, missing > 0 ? missing + SPARE_BYTES : 0);
}

/** References of its own to fragments and fragment list, whose copies are at `shinfo`. */
function holdShared(slab: SkbSlab, at: number, shinfo: number, ppRecycle: boolean): boolean {
  const { host, i32 } = slab;
  refFrags(host, shinfo, ppRecycle);
  if (cloneFragList(slab, i32[i32[at + SHINFO]! + FRAG_LIST]! as SkbRef | 0, shinfo)) return true;
  const count = i32[shinfo + NR_FRAGS]!;
  for (let n = 0; n < count; n++) unrefFrag(host, i32[fragAt(shinfo, n) + FRAG_REF]! as NetmemRef, ppRecycle);
  return false;
}

/** Copies headroom and linear part to arena byte offset `to`. */
function copyHead(slab: SkbSlab, at: number, to: number): void {
  const { host, i32 } = slab;
  const tail = i32[at + DATA]! + i32[at + LEN]! - i32[at + DATA_LEN]!;
  host.u8.copyWithin(to, hardStartAt(slab, at), tail);
}
