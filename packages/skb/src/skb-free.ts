/* data path */
import {
  fetchAdd as fetchAdd_,
  type Host,
  IDX_MASK as IDX_MASK_,
  META_OWNER_SHIFT as META_OWNER_SHIFT_,
  NetmemError,
  type NetmemRef,
  OWNER_SHARED,
  pageRefCount as pageRefCount_,
  putNetmem as putNetmem_,
  returnNetmem as returnNetmem_,
} from "@netmem/core";
import {
  FRAG_REF,
  fragAt as fragAt_,
  returnFrags as returnFrags_,
  SHINFO_DATAREF,
  SHINFO_FRAG_LIST,
  SHINFO_HEAD,
  SHINFO_NR_FRAGS,
} from "./shared-info.ts";
import { SKB_FLAGS, SKB_NEXT as SKB_NEXT_, SKB_SHINFO as SKB_SHINFO_, SkbFlag, type SkbRef } from "./skb-record.ts";
import type { SkbSlab } from "./skb-slab.ts";

const IDX_MASK = IDX_MASK_;
const OWNER_SHIFT = META_OWNER_SHIFT_;
const LAST_PLAIN_OWNER = OWNER_SHARED;
const REF = FRAG_REF;
const DATAREF = SHINFO_DATAREF;
const FRAG_LIST = SHINFO_FRAG_LIST;
const NR_FRAGS = SHINFO_NR_FRAGS;
const FLAGS = SKB_FLAGS;
const HEAD = SHINFO_HEAD;
const NEXT = SKB_NEXT_;
const SHINFO = SKB_SHINFO_;
const PP_RECYCLE = SkbFlag.PpRecycle;
const HEAD_RECYCLE = SkbFlag.HeadFrag | SkbFlag.PpRecycle;
const CLONED = SkbFlag.Cloned;
const HEAD_STOLEN = SkbFlag.HeadStolen;
const UNUSUAL = CLONED | HEAD_STOLEN;
const fragAt = fragAt_;
const returnFrags = returnFrags_;
const fetchAdd = fetchAdd_;
const pageRefCount = pageRefCount_;
const putNetmem = putNetmem_;
const returnNetmem = returnNetmem_;

/**
 * Gives the skb back, from any thread. With the last holder of its data go fragments 0 to n-1, the fragment list, then
 * the head, each to its own owner. Kernel: `consume_skb`, `skb_release_data`. About 8 ns for a head alone.
 *
 * @throws `ERR_NETMEM_STALE_SKB` for an skb that is gone, `ERR_NETMEM_POOL_PAGE_FREED` for a pool's buffer in an skb
 * without the `ppRecycle` bit, here or in the fragment list (nothing has changed in either case), or a misuse error for a
 * buffer that is not live: buffers before it are home and the skb stays.
 */
export function consumeSkb(slab: SkbSlab, skb: SkbRef): void {
  const at = slab.check(skb);
  const flags = slab.i32[at + FLAGS]!;
  if ((flags & UNUSUAL) !== 0 && !isLastHolder(slab, at, flags)) return slab.free(skb, at);
  releaseData(slab, at);
  slab.free(skb, at);
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

/** Drops the data reference of a record that lives on with other data (kernel: `skb_release_data`). */
export function dropData(slab: SkbSlab, at: number): void {
  const flags = slab.i32[at + FLAGS]!;
  if ((flags & CLONED) === 0 || isLastHolder(slab, at, flags)) releaseData(slab, at);
}

/** Sends the head buffer of a record home (kernel: `skb_free_head`): to a pool only when it can be a pool's. */
export function freeHead(host: Host, head: NetmemRef, flags: number): void {
  if ((flags & HEAD_RECYCLE) === HEAD_RECYCLE) returnNetmem(host, head);
  else putNetmem(host, head);
}

/** Consumes the skb `first` and all behind it (kernel: `kfree_skb_list`). */
export function consumeList(slab: SkbSlab, first: SkbRef | 0): void {
  let child: SkbRef | 0 = first;
  while (child !== 0) {
    const next = slab.i32[slab.check(child) + NEXT]! as SkbRef | 0;
    consumeSkb(slab, child);
    child = next;
  }
}

/**
 * Throws `ERR_NETMEM_POOL_PAGE_FREED` for a pool's buffer that the skb at `at`, which has no `ppRecycle` bit, holds only
 * by what the pool counts. The kernel frees such a page behind the pool's back.
 */
export function checkPlainData(slab: SkbSlab, at: number): void {
  const { host, i32 } = slab;
  const shinfo = i32[at + SHINFO]!;
  const count = i32[shinfo + NR_FRAGS]!;
  checkPlain(host, i32[shinfo + HEAD]! as NetmemRef);
  for (let n = 0; n < count; n++) checkPlain(host, i32[fragAt(shinfo, n) + REF]! as NetmemRef);
}

/**
 * Looks whether an skb, and all that is in its fragment list, could give its buffers back, before the first one goes:
 * refusing halfway would lose the rest. @throws as {@link checkPlainData}.
 */
export function checkReleasable(slab: SkbSlab, at: number): void {
  const { i32 } = slab;
  const flags = i32[at + FLAGS]!;
  if ((flags & HEAD_STOLEN) !== 0) return;
  if ((flags & PP_RECYCLE) === 0) checkPlainData(slab, at);
  checkList(slab, i32[i32[at + SHINFO]! + FRAG_LIST]! as SkbRef | 0);
}

function checkList(slab: SkbSlab, first: SkbRef | 0): void {
  for (let child = first; child !== 0;) {
    const at = slab.check(child);
    checkReleasable(slab, at);
    child = slab.i32[at + NEXT]! as SkbRef | 0;
  }
}

/** For an skb that was cloned, or emptied. The last clone to let go releases, and finds its copy of the bit. */
function isLastHolder(slab: SkbSlab, at: number, flags: number): boolean {
  if ((flags & HEAD_STOLEN) !== 0) return false;
  const i32 = slab.i32;
  const datarefAt = i32[at + SHINFO]! + DATAREF;
  // Pairs with the add of the clone that lets go before us: its writes to the data come before our release.
  const isLast = fetchAdd(slab.host, datarefAt, -1) === 1;
  if (isLast) i32[datarefAt] = 1;
  return isLast;
}

function releaseData(slab: SkbSlab, at: number): void {
  const { i32, host } = slab;
  const shinfo = i32[at + SHINFO]!;
  const flags = i32[at + FLAGS]!;
  const list = i32[shinfo + FRAG_LIST]! as SkbRef | 0;
  if (list !== 0) checkList(slab, list);
  if ((flags & PP_RECYCLE) === 0) releasePlainFrags(slab, at, shinfo);
  else if (i32[shinfo + NR_FRAGS] !== 0) returnFrags(host, shinfo);
  if (list !== 0) consumeList(slab, list);
  freeHead(host, i32[shinfo + HEAD]! as NetmemRef, flags);
}

/** Looks at every buffer before it releases the first: refusing halfway would lose the rest. */
function releasePlainFrags(slab: SkbSlab, at: number, shinfo: number): void {
  const { i32, host } = slab;
  const count = i32[shinfo + NR_FRAGS]!;
  checkPlainData(slab, at);
  for (let n = 0; n < count; n++) putNetmem(host, i32[fragAt(shinfo, n) + REF]! as NetmemRef);
}

/**
 * A pool's page is fine where the skb holds a page reference of its own, beyond the pool's. A net_iov of a pool is not:
 * its page-level reference counts for the area, not for the buffer. One of no pool, as device memory for transmission is,
 * is held by just that.
 */
function checkPlain(host: Host, ref: NetmemRef): void {
  const owner = host.i32[(ref >>> 1) & IDX_MASK]! >>> OWNER_SHIFT;
  if (owner <= LAST_PLAIN_OWNER || ((ref & 1) === 0 && pageRefCount(host, ref) > 1)) return;
  throw new NetmemError({
    code: "ERR_NETMEM_POOL_PAGE_FREED",
    reason: `the skb holds ref 0x${ref.toString(16)} of ${host.owners.describe(owner)} but not the ppRecycle bit`,
    remedy: "Call markForRecycle when you add a pool's buffer to an skb.",
    param: "skb",
    value: ref,
  });
}
