/*
 * data path
 *
 * Who holds a fragment, and how. With the `ppRecycle` bit a pool's buffer is held by a pool-level reference and goes back
 * to its pool; without it, by a page reference (a net_iov: by whatever its area counts). The bit belongs to the skb, so
 * all of its fragments follow one rule.
 */
import {
  checkLive as checkLive_,
  getNetmem as getNetmem_,
  type Host,
  IDX_MASK as IDX_MASK_,
  META_OWNER_SHIFT,
  type NetmemRef,
  OWNER_SHARED,
  putNetmem as putNetmem_,
  refNetmem as refNetmem_,
  returnNetmem as returnNetmem_,
} from "@netmem/core";
import { FRAG_REF, FRAG_WORDS as FRAG_WORDS_, fragAt as fragAt_, SHINFO_NR_FRAGS } from "./shared-info.ts";

const IDX_MASK = IDX_MASK_;
const OWNER_SHIFT = META_OWNER_SHIFT;
const LAST_PLAIN_OWNER = OWNER_SHARED;
const NR_FRAGS = SHINFO_NR_FRAGS;
const REF = FRAG_REF;
const FRAG_WORDS = FRAG_WORDS_;
const fragAt = fragAt_;
const checkLive = checkLive_;
const getNetmem = getNetmem_;
const putNetmem = putNetmem_;
const refNetmem = refNetmem_;
const returnNetmem = returnNetmem_;

/** Whether a buffer belongs to something that is not the page allocator. */
export function isPooled(host: Host, ref: NetmemRef): boolean {
  return host.i32[(ref >>> 1) & IDX_MASK]! >>> OWNER_SHIFT > LAST_PLAIN_OWNER;
}

/** One more holder of a fragment's buffer (kernel: `skb_frag_ref`, or `skb_pp_frag_ref` with the bit). */
export function refFrag(host: Host, ref: NetmemRef, ppRecycle: boolean): void {
  if (ppRecycle && isPooled(host, ref)) refNetmem(host, ref);
  else getNetmem(host, ref);
}

/** One holder less (kernel: `skb_page_unref`). */
export function unrefFrag(host: Host, ref: NetmemRef, ppRecycle: boolean): void {
  if (ppRecycle) returnNetmem(host, ref);
  else putNetmem(host, ref);
}

/** One more holder of every fragment. Nothing has changed when one of them is not live, which throws. */
export function refFrags(host: Host, shinfo: number, ppRecycle: boolean): void {
  const i32 = host.i32;
  const count = i32[shinfo + NR_FRAGS]!;
  for (let n = 0; n < count; n++) checkLive(host, i32[fragAt(shinfo, n) + REF]! as NetmemRef);
  for (let n = 0; n < count; n++) refFrag(host, i32[fragAt(shinfo, n) + REF]! as NetmemRef, ppRecycle);
}

/** Whether a fragment is a net_iov that belongs to a pool: a page-level reference would not keep it out of the pool. */
export function hasPooledIov(host: Host, shinfo: number): boolean {
  const i32 = host.i32;
  const count = i32[shinfo + NR_FRAGS]!;
  for (let n = 0; n < count; n++) {
    const ref = i32[fragAt(shinfo, n) + REF]! as NetmemRef;
    if ((ref & 1) !== 0 && isPooled(host, ref)) return true;
  }
  return false;
}

/** Copies the fragments from `first` on behind those of `to`; the room was checked. References are the caller's business. */
export function appendFrags(i32: Int32Array, to: number, from: number, first: number): void {
  const have = i32[to + NR_FRAGS]!;
  const count = i32[from + NR_FRAGS]! - first;
  const fromAt = fragAt(from, first);
  const toAt = fragAt(to, have);
  for (let n = 0; n < count * FRAG_WORDS; n++) i32[toAt + n] = i32[fromAt + n]!;
  i32[to + NR_FRAGS] = have + count;
}
