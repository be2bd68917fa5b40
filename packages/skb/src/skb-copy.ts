/* data path */
import { copyBitsWithin } from "./copy-bits.ts";
import {
  SHARED_INFO_BYTES,
  SHINFO_FRAG_LIST as SHINFO_FRAG_LIST_,
  SHINFO_NR_FRAGS as SHINFO_NR_FRAGS_,
} from "./shared-info.ts";
import { failUnreadableSkb } from "./skb-checksum.ts";
import { cloneFragList } from "./skb-clone.ts";
import { appendFrags, hasPooledIov, refFrags } from "./skb-frags.ts";
import { checkReleasable, consumeSkb } from "./skb-free.ts";
import { allocSkb, checkData, copyPacketInfo, hardStartAt, headBytesAt } from "./skb-head.ts";
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

const INFO_BYTES = SHARED_INFO_BYTES;
const FRAG_LIST = SHINFO_FRAG_LIST_;
const NR_FRAGS = SHINFO_NR_FRAGS_;
const DATA = SKB_DATA_;
const DATA_LEN = SKB_DATA_LEN_;
const LEN = SKB_LEN_;
const SHINFO = SKB_SHINFO_;
const TRUESIZE = SKB_TRUESIZE_;
const FLAGS = SKB_FLAGS_;
const UNREADABLE = SkbFlag.Unreadable;
const PP_RECYCLE = SkbFlag.PpRecycle;
const CSUM_BITS = SkbFlag.CsumValid | SkbFlag.CsumPartial;

/**
 * A private, linear copy of the whole packet, headroom included, in pages of the page allocator (kernel: `skb_copy`).
 * 0 when memory or the slab is exhausted.
 *
 * @throws `ERR_NETMEM_UNREADABLE` (EFAULT) for a packet with unreadable fragments, `ERR_NETMEM_STALE_SKB`.
 */
export function copySkb(slab: SkbSlab, skb: SkbRef): SkbRef | 0 {
  const from = checkData(slab, skb);
  const i32 = slab.i32;
  if ((i32[from + FLAGS]! & UNREADABLE) !== 0) failUnreadableSkb(skb, "copy");
  const copy = allocLike(slab, from, i32[from + DATA_LEN]!);
  if (copy === 0) return 0;
  const to = slab.recordAt(copy);
  copyBitsWithin(slab, skb, 0, i32[to + DATA]!, i32[from + LEN]!);
  i32[to + LEN] = i32[from + LEN]!;
  return copy;
}

/**
 * A copy of the head that shares the fragments (kernel: `pskb_copy`): headers may be rewritten while payload stays where
 * it is. The fragments get page references and the copy has no `ppRecycle` bit, except with net_iovs of a pool, as
 * described at `expandHead`. 0 when memory or the slab is exhausted.
 *
 * @throws `ERR_NETMEM_STALE_SKB`, `ERR_NETMEM_POOL_PAGE_FREED` as `consumeSkb`; nothing has changed then.
 */
export function copySkbHead(slab: SkbSlab, skb: SkbRef): SkbRef | 0 {
  const from = checkData(slab, skb);
  const { host, i32 } = slab;
  checkReleasable(slab, from);
  const copy = allocLike(slab, from, 0);
  if (copy === 0) return 0;
  const to = slab.recordAt(copy);
  const fromShinfo = i32[from + SHINFO]!;
  const toShinfo = i32[to + SHINFO]!;
  const headLen = i32[from + LEN]! - i32[from + DATA_LEN]!;
  if (!cloneFragList(slab, i32[fromShinfo + FRAG_LIST]! as SkbRef | 0, toShinfo)) {
    consumeSkb(slab, copy);
    return 0;
  }
  host.u8.copyWithin(i32[to + DATA]!, i32[from + DATA]!, i32[from + DATA]! + headLen);
  const ppRecycle = (i32[from + FLAGS]! & PP_RECYCLE) !== 0 && hasPooledIov(host, fromShinfo);
  if (i32[fromShinfo + NR_FRAGS] !== 0) refFrags(host, fromShinfo, ppRecycle);
  appendFrags(i32, toShinfo, fromShinfo, 0);
  i32[to + LEN] = i32[from + LEN]!;
  i32[to + DATA_LEN] = i32[from + DATA_LEN]!;
  i32[to + TRUESIZE] = i32[to + TRUESIZE]! + i32[from + TRUESIZE]! - headBytesAt(slab, from);
  i32[to + FLAGS] = i32[to + FLAGS]! | (i32[from + FLAGS]! & UNREADABLE) | (ppRecycle ? PP_RECYCLE : 0);
  return copy;
}

/** An empty skb with the metadata, headroom and head size of another, and room for `moreBytes`. */
function allocLike(slab: SkbSlab, from: number, moreBytes: number): SkbRef | 0 {
  const i32 = slab.i32;
  const hardStart = hardStartAt(slab, from);
  const headroom = i32[from + DATA]! - hardStart;
  const copy = allocSkb(slab, headBytesAt(slab, from) - headroom - INFO_BYTES + moreBytes, headroom);
  if (copy === 0) return 0;
  const to = slab.recordAt(copy);
  copyMetadata(i32, from, to);
  slab.host.u8.copyWithin(hardStartAt(slab, to), hardStart, i32[from + DATA]);
  return copy;
}

/** What describes the packet and not its memory (kernel: `skb_copy_header`). */
export function copyMetadata(i32: Int32Array, from: number, to: number): void {
  copyPacketInfo(i32, i32[from + SHINFO]!, i32[to + SHINFO]!);
  i32[to + FLAGS] = i32[to + FLAGS]! | (i32[from + FLAGS]! & CSUM_BITS);
}
