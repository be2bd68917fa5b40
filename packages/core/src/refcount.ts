/*
 * data path
 *
 * Both count columns hold "holders - 1", so that a zeroed descriptor is one exclusive holder and the exclusive path
 * never touches them. META_SHARED is set before a second holder can exist; only then are the columns looked at.
 * Atomics cost 8 ns and are used once the host has been shared with another thread.
 */
import type { Host } from "./host.ts";
import { INFO_ORDER_MASK, INFO_PFMEMALLOC } from "./layout.ts";
import { META_GEN_MASK, META_OUT, META_SHARED, META_STATE_MASK, NetmemState, ownerTag } from "./meta.ts";
import { failReturn } from "./misuse.ts";
import { GEN_SHIFT as GEN_SHIFT_, IDX_MASK as IDX_MASK_, type NetmemRef } from "./netmem-ref.ts";
import { OWNER_ORDER0 } from "./owners.ts";

const GEN_SHIFT = GEN_SHIFT_;
const IDX_MASK = IDX_MASK_;
const LIVE_MASK = META_STATE_MASK | META_GEN_MASK;
const OUT = META_OUT;
const SHARED = META_SHARED;
const UNUSUAL_MASK = INFO_ORDER_MASK | INFO_PFMEMALLOC;
const PLAIN_OUT = ownerTag(OWNER_ORDER0, NetmemState.Out);

/** Adds to an arena word and returns what it held before. */
export function fetchAdd(host: Host, at: number, delta: number): number {
  const i32 = host.i32;
  if (host.threaded !== 0) return Atomics.add(i32, at, delta);
  const before = i32[at]!;
  i32[at] = (before + delta) | 0;
  return before;
}

/** Throws a misuse error unless `ref` is live: out, and of the current generation. */
export function checkLive(host: Host, ref: NetmemRef): void {
  const meta = host.i32[(ref >>> 1) & IDX_MASK]!;
  if (ref <= 0 || (meta & LIVE_MASK) !== (OUT | (ref >>> GEN_SHIFT))) failReturn(host, ref, 0);
}

/** Marks a live buffer as held more than once, so that its return takes the counting path. */
export function markShared(host: Host, ref: NetmemRef): void {
  const idx = (ref >>> 1) & IDX_MASK;
  const i32 = host.i32;
  if ((i32[idx]! & SHARED) !== 0) return;
  if (host.threaded !== 0) Atomics.or(i32, idx, SHARED);
  else i32[idx] = i32[idx]! | SHARED;
}

/** pp_ref_count: pool-level holders of the buffer, >= 1. */
export function ppRefCount(host: Host, ref: NetmemRef): number {
  return host.i32[host.ppRefAt + ((ref >>> 1) & IDX_MASK)]! + 1;
}

/** Page refcount, >= 1; a net_iov always reads 1. */
export function pageRefCount(host: Host, ref: NetmemRef): number {
  return host.i32[host.pageRefAt + ((ref >>> 1) & IDX_MASK)]! + 1;
}

/** Sets the number of pool-level holders of an exclusively held buffer (`page_pool_fragment_netmem`). `n` >= 1. */
export function setPpRefCount(host: Host, ref: NetmemRef, n: number): void {
  if (n > 1) markShared(host, ref);
  host.i32[host.ppRefAt + ((ref >>> 1) & IDX_MASK)] = n - 1;
}

/** One more pool-level holder of a live buffer (`page_pool_ref_netmem`). The caller must return it once more. */
export function refNetmem(host: Host, ref: NetmemRef): void {
  checkLive(host, ref);
  markShared(host, ref);
  fetchAdd(host, host.ppRefAt + ((ref >>> 1) & IDX_MASK), 1);
}

/**
 * Drops `n` pool-level holders (`page_pool_unref_netmem`). Returns how many remain; 0 means that the caller held the
 * last ones and must give the buffer back exactly once, and leaves the count at 1. Below zero: -1, and the count stays.
 */
export function unrefNetmem(host: Host, ref: NetmemRef, n: number): number {
  const at = host.ppRefAt + ((ref >>> 1) & IDX_MASK);
  const i32 = host.i32;
  // An atomic load between threads: what the other holders did with the buffer comes before their fetchAdd, and so
  // before what the last one does with it.
  if ((host.threaded === 0 ? i32[at]! : Atomics.load(i32, at)) + 1 === n) {
    if (n !== 1) i32[at] = 0;
    return 0;
  }
  const left = fetchAdd(host, at, -n) + 1 - n;
  if (left > 0) return left;
  if (left === 0) {
    i32[at] = 0;
    return 0;
  }
  fetchAdd(host, at, n);
  return -1;
}

/**
 * One more page-level holder (`get_netmem`): a page's refcount, or whatever the area of a net_iov counts
 * (device memory: its binding; a user area: nothing).
 */
export function getNetmem(host: Host, ref: NetmemRef): void {
  checkLive(host, ref);
  const idx = (ref >>> 1) & IDX_MASK;
  if ((ref & 1) !== 0) {
    host.areas.of(idx)?.getRef?.(ref);
    return;
  }
  markShared(host, ref);
  fetchAdd(host, host.pageRefAt + idx, 1);
}

/**
 * Takes a pool's marks off a page: from here on only its page references count. The reference and its generation stay
 * valid; `putNetmem` drops what was the pool's page reference.
 */
export function makePlain(host: Host, ref: NetmemRef): void {
  const i32 = host.i32;
  const idx = (ref >>> 1) & IDX_MASK;
  const info = i32[host.infoAt + idx]!;
  const exclusive = i32[host.pageRefAt + idx] === 0 && (info & UNUSUAL_MASK) === 0;
  i32[host.ppRefAt + idx] = 0;
  i32[idx] = PLAIN_OUT | (exclusive ? 0 : SHARED) | (ref >>> GEN_SHIFT);
}

/** Marks a live page as taken from emergency reserves: its pool will not recycle it. */
export function setPfmemalloc(host: Host, ref: NetmemRef): void {
  markShared(host, ref);
  const at = host.infoAt + ((ref >>> 1) & IDX_MASK);
  host.i32[at] = host.i32[at]! | INFO_PFMEMALLOC;
}

export function isPfmemalloc(host: Host, ref: NetmemRef): boolean {
  return (ref & 1) === 0 && (host.i32[host.infoAt + ((ref >>> 1) & IDX_MASK)]! & INFO_PFMEMALLOC) !== 0;
}
