/* data path */
import {
  fetchAdd,
  type Host,
  IDX_MASK as IDX_MASK_,
  META_OWNER_SHIFT as META_OWNER_SHIFT_,
  NetmemError,
  type NetmemRef,
  OWNER_SHARED,
  pageRefCount,
  putNetmem,
  returnNetmem,
} from "@netmem/core";
import { FRAG_REF, fragAt, returnFrags, SHINFO_DATAREF, SHINFO_FRAG_LIST, SHINFO_NR_FRAGS } from "./shared-info.ts";
import {
  SKB_FLAGS,
  SKB_HEAD,
  SKB_NEXT as SKB_NEXT_,
  SKB_SHINFO as SKB_SHINFO_,
  SkbFlag,
  type SkbRef,
} from "./skb-record.ts";
import type { SkbSlab } from "./skb-slab.ts";

const IDX_MASK = IDX_MASK_;
const OWNER_SHIFT = META_OWNER_SHIFT_;
const LAST_PLAIN_OWNER = OWNER_SHARED;
const REF = FRAG_REF;
const DATAREF = SHINFO_DATAREF;
const FRAG_LIST = SHINFO_FRAG_LIST;
const NR_FRAGS = SHINFO_NR_FRAGS;
const FLAGS = SKB_FLAGS;
const HEAD = SKB_HEAD;
const NEXT = SKB_NEXT_;
const SHINFO = SKB_SHINFO_;
const PP_RECYCLE = SkbFlag.PpRecycle;
const HEAD_RECYCLE = SkbFlag.HeadFrag | SkbFlag.PpRecycle;

/**
 * Gives the skb back. With the last holder of its data go fragments 0 to n-1, the fragment list, then the head, each to
 * its own owner. Kernel: `consume_skb`, `skb_release_data`. About 8 ns for a head alone.
 *
 * @throws `ERR_NETMEM_STALE_SKB` for an skb that is gone, `ERR_NETMEM_POOL_PAGE_FREED` for a pool's buffer in an skb
 * without the `ppRecycle` bit (nothing has changed in either case), or a misuse error for a buffer that is not live:
 * buffers before it are home and the skb stays.
 */
export function consumeSkb(slab: SkbSlab, skb: SkbRef): void {
  const at = slab.check(skb);
  const i32 = slab.i32;
  const datarefAt = i32[at + SHINFO]! + DATAREF;
  if (i32[datarefAt] === 1 || fetchAdd(slab.host, datarefAt, -1) === 1) releaseData(slab, at);
  slab.free(skb);
}

/** As {@link consumeSkb}, for a packet that did not reach its user; counts `reason` (see `DropReason`). Kernel: `kfree_skb_reason`. */
export function dropSkb(slab: SkbSlab, skb: SkbRef, reason: number): void {
  consumeSkb(slab, skb);
  slab.countDrop(reason);
}

/** Gives `skbs[0..count)` back, in order. On an error, those before the bad one are gone. */
export function consumeSkbBulk(slab: SkbSlab, skbs: Int32Array, count: number): void {
  for (let n = 0; n < count; n++) consumeSkb(slab, skbs[n]! as SkbRef);
}

function releaseData(slab: SkbSlab, at: number): void {
  const i32 = slab.i32;
  const host = slab.host;
  const shinfo = i32[at + SHINFO]!;
  const flags = i32[at + FLAGS]!;
  if ((flags & PP_RECYCLE) === 0) releasePlainFrags(host, shinfo, i32[at + HEAD]! as NetmemRef);
  else if (i32[shinfo + NR_FRAGS] !== 0) returnFrags(host, shinfo);
  if (i32[shinfo + FRAG_LIST] !== 0) consumeList(slab, i32[shinfo + FRAG_LIST]!);
  const head = i32[at + HEAD]! as NetmemRef;
  if ((flags & HEAD_RECYCLE) === HEAD_RECYCLE) returnNetmem(host, head);
  else putNetmem(host, head);
}

function consumeList(slab: SkbSlab, first: number): void {
  let child = first;
  while (child !== 0) {
    const next = slab.i32[slab.check(child as SkbRef) + NEXT]!;
    consumeSkb(slab, child as SkbRef);
    child = next;
  }
}

/** Looks at every buffer before it releases the first: refusing halfway would lose the rest. */
function releasePlainFrags(host: Host, shinfo: number, head: NetmemRef): void {
  const i32 = host.i32;
  const count = i32[shinfo + NR_FRAGS]!;
  checkPlain(host, head);
  for (let n = 0; n < count; n++) checkPlain(host, i32[fragAt(shinfo, n) + REF]! as NetmemRef);
  for (let n = 0; n < count; n++) putNetmem(host, i32[fragAt(shinfo, n) + REF]! as NetmemRef);
}

/** A pool's page is fine where the skb holds a page reference of its own, beyond the pool's. */
function checkPlain(host: Host, ref: NetmemRef): void {
  const owner = host.i32[(ref >>> 1) & IDX_MASK]! >>> OWNER_SHIFT;
  if (owner <= LAST_PLAIN_OWNER || pageRefCount(host, ref) > 1) return;
  throw new NetmemError({
    code: "ERR_NETMEM_POOL_PAGE_FREED",
    reason: `the skb holds ref 0x${ref.toString(16)} of ${host.owners.describe(owner)} but not the ppRecycle bit`,
    remedy: "Call markForRecycle when you add a pool's buffer to an skb.",
    param: "skb",
    value: ref,
  });
}
