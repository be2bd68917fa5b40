import {
  failReturn,
  GEN_ONE as GEN_ONE_,
  GEN_SHIFT as GEN_SHIFT_,
  IDX_MASK as IDX_MASK_,
  isPfmemalloc,
  META_SHARED as META_SHARED_,
  NetmemError,
  type NetmemRef,
  OWN_STACK as OWN_STACK_,
  pageRefCount,
  ppRefCount,
  REF_MASK as REF_MASK_,
  unrefNetmem,
} from "@netmem/core";
import { failDestroyed } from "./pool-errors.ts";
import { bump, C_CACHE_FULL, C_RELEASED_REFCNT, C_RING_FULL } from "./counters.ts";
import { isDrained } from "./inflight.ts";
import { type PoolState, SlowBit } from "./pool-state.ts";
import { releaseFromPool } from "./release.ts";

const GEN_ONE = GEN_ONE_;
const GEN_SHIFT = GEN_SHIFT_;
const IDX_MASK = IDX_MASK_;
const REF_MASK = REF_MASK_;
const SHARED = META_SHARED_;
const STACK = OWN_STACK_;

/** Throws a misuse error unless `ref` is live and this pool's, in a context that may return buffers. */
export function checkOwn(pool: PoolState, ref: NetmemRef): void {
  if (pool.context.hardirq) failHardirq();
  if (pool.freed) failDestroyed(pool, "a put");
  const meta = pool.i32[(ref >>> 1) & IDX_MASK]!;
  if ((meta & ~SHARED) !== (pool.outTag | (ref >>> GEN_SHIFT)) || ref <= 0) failReturn(pool.host, ref, pool.ownerId);
}

/** A put that the one-compare path could not do (`page_pool_put_netmem`). */
export function putSlow(pool: PoolState, ref: NetmemRef, dmaSyncSize: number, allowDirect: boolean): void {
  putInto(pool, ref, dmaSyncSize, isDirect(pool, allowDirect));
}

/** As {@link putSlow}, for a caller that has judged the context: `direct` means the alloc cache. */
export function putInto(pool: PoolState, ref: NetmemRef, dmaSyncSize: number, direct: boolean): void {
  checkOwn(pool, ref);
  const shared = (pool.i32[(ref >>> 1) & IDX_MASK]! & SHARED) !== 0;
  if (shared) {
    const left = unrefNetmem(pool.host, ref, 1);
    if (left > 0) return afterPut(pool);
    if (left < 0) failReturn(pool.host, ref, pool.ownerId);
  }
  // What the last fragment's holder touched says nothing about the others: sync all of it.
  recycle(pool, ref, shared ? -1 : dmaSyncSize, direct);
}

/**
 * As {@link putSlow} for a caller that dropped the last pool-level reference itself (`page_pool_put_unrefed_netmem`).
 * @throws `ERR_NETMEM_STILL_REFERENCED` when others hold the buffer; nothing has changed then.
 */
export function putUnrefed(pool: PoolState, ref: NetmemRef, dmaSyncSize: number, allowDirect: boolean): void {
  checkOwn(pool, ref);
  const holders = ppRefCount(pool.host, ref);
  if (holders !== 1) failReferenced(pool, ref, holders);
  const shared = (pool.i32[(ref >>> 1) & IDX_MASK]! & SHARED) !== 0;
  recycle(pool, ref, shared ? -1 : dmaSyncSize, isDirect(pool, allowDirect));
}

/** Whether a put may use the alloc cache. A caller's promise is trusted; see `directRecycle` for the other case. */
export function isDirect(pool: PoolState, allowDirect: boolean): boolean {
  if ((pool.slow & SlowBit.Detached) !== 0) return false;
  if (allowDirect) return true;
  return pool.byThread ? pool.promote : napiLocal(pool);
}

function napiLocal(pool: PoolState): boolean {
  const context = pool.context;
  if (context.preemptRt || !context.softirq) return false;
  return pool.cpuid === context.cpu || (pool.napi !== null && pool.napi.listOwner === context.cpu);
}

/** Whether nobody but the pool holds the page. Only pages marked as shared can be otherwise. */
export function isRecyclable(pool: PoolState, ref: NetmemRef): boolean {
  if ((ref & 1) !== 0 || (pool.i32[(ref >>> 1) & IDX_MASK]! & SHARED) === 0) return true;
  return pageRefCount(pool.host, ref) === 1 && !isPfmemalloc(pool.host, ref);
}

/** Marks an out buffer as inside the pool and returns its armed reference. */
export function arm(pool: PoolState, ref: NetmemRef): NetmemRef {
  const next = (ref + GEN_ONE) & REF_MASK;
  pool.i32[(ref >>> 1) & IDX_MASK] = pool.pooledTag | (next >>> GEN_SHIFT);
  return next as NetmemRef;
}

function recycle(pool: PoolState, ref: NetmemRef, dmaSyncSize: number, direct: boolean): void {
  if (!isRecyclable(pool, ref)) {
    bump(pool.i32, pool.countersAt + C_RELEASED_REFCNT);
    releaseFromPool(pool, ref);
  } else {
    const kept = pool.debug === null ? ref : pool.debug.onPut(ref);
    // A buffer out of the quarantine is not the one that this size speaks of.
    if (kept !== 0) recycleKept(pool, kept, kept === ref ? dmaSyncSize : -1, direct);
  }
  afterPut(pool);
}

/** Tells those who wait for a buffer, or for the pool to drain. Every put that could matter to them ends here. */
export function afterPut(pool: PoolState): void {
  if (pool.onFreed !== null) pool.onFreed();
  if (pool.onDrained !== null && isDrained(pool)) pool.onDrained();
}

function recycleKept(pool: PoolState, ref: NetmemRef, dmaSyncSize: number, direct: boolean): void {
  if ((pool.slow & SlowBit.DmaSync) !== 0) pool.dma?.syncForDevice(ref, dmaSyncSize);
  const next = arm(pool, ref);
  if (direct && pushCache(pool, next)) return;
  if (!pool.ring.produce(next)) dropRingFull(pool, next);
}

/** Pushes an armed reference into the alloc cache; false and `cache_full` when it holds its limit. */
export function pushCache(pool: PoolState, next: NetmemRef): boolean {
  const i32 = pool.i32;
  const count = i32[pool.at]!;
  if (count >= pool.cacheSize) {
    bump(i32, pool.countersAt + C_CACHE_FULL);
    return false;
  }
  i32[pool.at + STACK + count] = next;
  i32[pool.at] = count + 1;
  return true;
}

/** Gives an armed reference that found the ring full back to the allocator. */
export function dropRingFull(pool: PoolState, next: NetmemRef): void {
  bump(pool.i32, pool.countersAt + C_RING_FULL);
  releaseFromPool(pool, next);
}

/** Throws `ERR_NETMEM_HARDIRQ`. */
export function failHardirq(): never {
  throw new NetmemError({
    code: "ERR_NETMEM_HARDIRQ",
    reason: "a buffer was returned from hard-interrupt context",
    remedy: "Schedule a NAPI poll and return it there.",
    param: "context.hardirq",
    value: true,
  });
}

function failReferenced(pool: PoolState, ref: NetmemRef, holders: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_STILL_REFERENCED",
    reason: `ref 0x${ref.toString(16)} of ${pool.params.name} ${pool.id} has ${holders} pool-level holders`,
    remedy: "Use putNetmem, or drop the other references with unrefNetmem first.",
    param: "ref",
    value: ref,
  });
}
