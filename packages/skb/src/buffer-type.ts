/* data path */
import {
  type Host,
  IDX_MASK as IDX_MASK_,
  INFO_PFMEMALLOC,
  META_OWNER_SHIFT as META_OWNER_SHIFT_,
  META_SHARED,
  type NetmemRef,
  OWNER_SHARED,
} from "@netmem/core";
import { XdpFlag } from "./xdp-flags.ts";

const IDX_MASK = IDX_MASK_;
const OWNER_SHIFT = META_OWNER_SHIFT_;
const SHARED = META_SHARED;
const LAST_PLAIN_OWNER = OWNER_SHARED;
const PFMEMALLOC_INFO = INFO_PFMEMALLOC;
const POOLED = XdpFlag.Pooled;
const UNREADABLE = XdpFlag.Unreadable;
const PF_MEMALLOC = XdpFlag.PfMemalloc;

/** Memory type of a live buffer's owner (`MemType`). Works on any thread; does not check that the reference is live. */
export function memTypeOf(host: Host, ref: NetmemRef): number {
  return host.owners.typeOf(host.i32[(ref >>> 1) & IDX_MASK]! >>> OWNER_SHIFT);
}

/** What a fragment adds to the flags of its packet. `meta` is the meta word of its descriptor. */
export function fragFlags(host: Host, ref: NetmemRef, meta: number): number {
  let flags = meta >>> OWNER_SHIFT > LAST_PLAIN_OWNER ? POOLED : 0;
  if ((ref & 1) !== 0 && !host.isReadable(ref)) flags |= UNREADABLE;
  if ((meta & SHARED) === 0) return flags;
  return (host.i32[host.infoAt + ((ref >>> 1) & IDX_MASK)]! & PFMEMALLOC_INFO) === 0 ? flags : flags | PF_MEMALLOC;
}
