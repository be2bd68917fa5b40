/* data path */
import { NetmemError, type NetmemRef } from "@netmem/core";
import {
  FRAG_LEN as FRAG_LEN_,
  FRAG_OFFSET as FRAG_OFFSET_,
  FRAG_REF as FRAG_REF_,
  FRAG_TRUESIZE as FRAG_TRUESIZE_,
  fragAt as fragAt_,
  SHINFO_FRAG_LIST as SHINFO_FRAG_LIST_,
  SHINFO_NR_FRAGS as SHINFO_NR_FRAGS_,
  writeFrag as writeFrag_,
} from "./shared-info.ts";
import { copyMetadata } from "./skb-copy.ts";
import { expandHead } from "./skb-expand.ts";
import { appendFrags, refFrag } from "./skb-frags.ts";
import { checkReleasable, consumeSkb } from "./skb-free.ts";
import { allocSkb, checkData, isClonedAt } from "./skb-head.ts";
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
import { failRange } from "./skb-seq.ts";
import type { SkbSlab } from "./skb-slab.ts";

const FRAG_LEN = FRAG_LEN_;
const FRAG_OFFSET = FRAG_OFFSET_;
const FRAG_REF = FRAG_REF_;
const FRAG_TRUESIZE = FRAG_TRUESIZE_;
const fragAt = fragAt_;
const writeFrag = writeFrag_;
const FRAG_LIST = SHINFO_FRAG_LIST_;
const NR_FRAGS = SHINFO_NR_FRAGS_;
const DATA = SKB_DATA_;
const DATA_LEN = SKB_DATA_LEN_;
const LEN = SKB_LEN_;
const SHINFO = SKB_SHINFO_;
const TRUESIZE = SKB_TRUESIZE_;
const FLAGS = SKB_FLAGS_;
const PP_RECYCLE = SkbFlag.PpRecycle;
const UNREADABLE = SkbFlag.Unreadable;
const KEPT_BITS = PP_RECYCLE | UNREADABLE | SkbFlag.PfMemalloc;

/**
 * Cuts the packet in two: `skb` keeps the first `lenBytes`, the result has the rest (kernel: `skb_split`). Linear bytes
 * behind the cut are copied into a new head, fragments move, and one that the cut goes through is held by both. Fragments
 * are not read. 0, and nothing changed, when memory or the slab is exhausted.
 *
 * @throws `ERR_NETMEM_OUT_OF_RANGE` (EFAULT) for a length beyond the packet, `ERR_NETMEM_FRAG_LIST` (EOPNOTSUPP) for a
 * packet with a fragment list, `ERR_NETMEM_STALE_SKB`, `ERR_NETMEM_POOL_PAGE_FREED` as `consumeSkb`. Nothing has changed then.
 */
export function splitSkb(slab: SkbSlab, skb: SkbRef, lenBytes: number): SkbRef | 0 {
  const at = checkData(slab, skb);
  const i32 = slab.i32;
  const len = i32[at + LEN]!;
  if (lenBytes < 0 || lenBytes > len) failRange(0, lenBytes, len);
  if (i32[i32[at + SHINFO]! + FRAG_LIST] !== 0) failFragList(skb, "split");
  checkReleasable(slab, at);
  const headLen = len - i32[at + DATA_LEN]!;
  const copied = lenBytes < headLen ? headLen - lenBytes : 0;
  const rest = allocSkb(slab, copied, 0);
  if (rest === 0) return 0;
  if (isClonedAt(slab, at) && !expandHead(slab, skb, 0, 0)) {
    consumeSkb(slab, rest);
    return 0;
  }
  const to = slab.recordAt(rest);
  const from = i32[at + DATA]! + headLen - copied;
  slab.host.u8.copyWithin(i32[to + DATA]!, from, from + copied);
  copyMetadata(i32, at, to);
  i32[to + FLAGS] = i32[to + FLAGS]! | (i32[at + FLAGS]! & KEPT_BITS);
  const keep = lenBytes > headLen ? lenBytes - headLen : 0;
  moveFragsBehind(slab, at, to, keep);
  i32[to + LEN] = len - lenBytes;
  i32[to + DATA_LEN] = len - lenBytes - copied;
  i32[at + LEN] = lenBytes;
  i32[at + DATA_LEN] = keep;
  clearUnreadable(i32, at);
  clearUnreadable(i32, to);
  return rest;
}

/** What lies behind the first `keep` bytes of the fragments goes over. */
function moveFragsBehind(slab: SkbSlab, at: number, to: number, keep: number): void {
  const i32 = slab.i32;
  const shinfo = i32[at + SHINFO]!;
  const count = i32[shinfo + NR_FRAGS]!;
  let left = keep;
  let n = 0;
  for (; n < count && i32[fragAt(shinfo, n) + FRAG_LEN]! <= left; n++) left -= i32[fragAt(shinfo, n) + FRAG_LEN]!;
  if (left > 0) shareFrag(slab, at, to, n++, left);
  let truesize = 0;
  for (let k = n; k < count; k++) truesize += i32[fragAt(shinfo, k) + FRAG_TRUESIZE]!;
  appendFrags(i32, i32[to + SHINFO]!, shinfo, n);
  i32[shinfo + NR_FRAGS] = n;
  i32[at + TRUESIZE] = i32[at + TRUESIZE]! - truesize;
  i32[to + TRUESIZE] = i32[to + TRUESIZE]! + truesize;
}

/** Fragment `fragIdx` keeps `keep` bytes; the rest of it becomes the first fragment of the other. Both hold the buffer. */
function shareFrag(slab: SkbSlab, at: number, to: number, fragIdx: number, keep: number): void {
  const { host, i32 } = slab;
  const frag = fragAt(i32[at + SHINFO]!, fragIdx);
  const ref = i32[frag + FRAG_REF]! as NetmemRef;
  const truesize = i32[frag + FRAG_TRUESIZE]!;
  refFrag(host, ref, (i32[at + FLAGS]! & PP_RECYCLE) !== 0);
  writeFrag(i32, i32[to + SHINFO]!, 0, ref, i32[frag + FRAG_OFFSET]! + keep, i32[frag + FRAG_LEN]! - keep, truesize);
  i32[i32[to + SHINFO]! + NR_FRAGS] = 1;
  i32[to + TRUESIZE] = i32[to + TRUESIZE]! + truesize;
  i32[frag + FRAG_LEN] = keep;
}

function clearUnreadable(i32: Int32Array, at: number): void {
  if (i32[at + DATA_LEN] === 0) i32[at + FLAGS] = i32[at + FLAGS]! & ~UNREADABLE;
}

/** Throws `ERR_NETMEM_FRAG_LIST` (EOPNOTSUPP): `call` does not work on a packet with a fragment list. */
export function failFragList(skb: SkbRef, call: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_FRAG_LIST",
    errno: "EOPNOTSUPP",
    reason: `skb 0x${skb.toString(16)} has a fragment list, and ${call} works on head and fragments only`,
    remedy: "Linearize it, or take the fragment list apart, first.",
    param: "skb",
    value: skb,
  });
}
