import {
  GEN_MASK,
  IDX_MASK,
  isPage,
  makeRef,
  META_SHARED,
  type NetmemRef,
  setPpRefCount,
  unrefNetmem,
} from "@netmem/core";
import { bump, C_FAST } from "./counters.ts";
import { BIAS_MAX, FRAG_ALIGN_BYTES } from "./limits.ts";
import {
  ALLOC_SLOW as ALLOC_SLOW_,
  FRAG_OFFSET as FRAG_OFFSET_,
  FRAG_REF as FRAG_REF_,
  FRAG_USERS as FRAG_USERS_,
  type PoolState,
  SlowBit,
} from "./pool-state.ts";
import { failNotPage } from "./pool-errors.ts";
import { isRecyclable } from "./put-slow.ts";
import { releaseFromPool } from "./release.ts";

const ALLOC_SLOW = ALLOC_SLOW_;
const FRAG_REF = FRAG_REF_;
const FRAG_OFFSET = FRAG_OFFSET_;
const FRAG_USERS = FRAG_USERS_;

/** The part of a pool that fragments need beyond its state. */
export interface FragPool extends PoolState {
  readonly name: string;
  allocNetmem(): NetmemRef | 0;
  put(ref: NetmemRef, dmaSyncSize: number, allowDirect: boolean): void;
}

function alignFrag(sizeBytes: number): number {
  return (sizeBytes + FRAG_ALIGN_BYTES - 1) & -FRAG_ALIGN_BYTES;
}

/** The next piece of the current fragment page when it fits and nothing is unusual. */
export function allocFrag(pool: FragPool, sizeBytes: number): NetmemRef | 0 {
  const i32 = pool.i32;
  const at = pool.at;
  const ref = i32[at + FRAG_REF]!;
  const offset = i32[at + FRAG_OFFSET]!;
  const fits = sizeBytes >= 1 && sizeBytes <= pool.bufferBytes - offset;
  if (ref === 0 || !fits || (pool.slow & ALLOC_SLOW) !== 0) return allocFragSlow(pool, sizeBytes);
  i32[at + FRAG_OFFSET] = offset + ((sizeBytes + 7) & ~7);
  i32[at + FRAG_USERS] = i32[at + FRAG_USERS]! + 1;
  pool.lastOffset = offset;
  return ref as NetmemRef;
}

/**
 * A piece of `sizeBytes` from the current fragment page, or from a new one (`page_pool_alloc_frag_netmem`). Its offset
 * is left in `pool.lastOffset`.
 */
function allocFragSlow(pool: FragPool, sizeBytes: number): NetmemRef | 0 {
  const max = pool.bufferBytes;
  if (!(sizeBytes >= 1 && sizeBytes <= max)) {
    pool.host.warn("WARN_NETMEM_FRAG_SIZE", `fragment of ${sizeBytes} bytes asked from a pool of ${max}-byte buffers`);
    return 0;
  }
  const i32 = pool.i32;
  const step = alignFrag(sizeBytes) + (pool.debug === null ? 0 : pool.debug.redZoneBytes);
  let ref = i32[pool.at + FRAG_REF]! as NetmemRef | 0;
  if (ref !== 0 && i32[pool.at + FRAG_OFFSET]! + step <= max) return takeNext(pool, ref, step, sizeBytes);
  if (ref !== 0) ref = drainFragPage(pool, ref);
  if (ref === 0) ref = pool.allocNetmem();
  i32[pool.at + FRAG_REF] = ref;
  if (ref === 0) return 0;
  setPpRefCount(pool.host, ref, BIAS_MAX);
  i32[pool.at + FRAG_OFFSET] = 0;
  i32[pool.at + FRAG_USERS] = 0;
  return takeNext(pool, ref, step, sizeBytes);
}

function takeNext(pool: FragPool, ref: NetmemRef, step: number, sizeBytes: number): NetmemRef {
  const i32 = pool.i32;
  const offset = i32[pool.at + FRAG_OFFSET]!;
  i32[pool.at + FRAG_OFFSET] = offset + step;
  i32[pool.at + FRAG_USERS] = i32[pool.at + FRAG_USERS]! + 1;
  pool.lastOffset = offset;
  pool.debug?.onFragAlloc(ref, offset, sizeBytes);
  return ref;
}

/**
 * Gives up the pool's share of the fragment page. Returns a reference when the page can start over in place, 0 when
 * others still hold pieces or it had to go back to the allocator.
 */
function drainFragPage(pool: FragPool, ref: NetmemRef): NetmemRef | 0 {
  const users = pool.i32[pool.at + FRAG_USERS]!;
  pool.i32[pool.at + FRAG_REF] = 0;
  if (dropBias(pool, ref, users) !== 0) return 0;
  if (!isRecyclable(pool, ref)) {
    releaseFromPool(pool, ref);
    return 0;
  }
  if ((pool.slow & SlowBit.DmaSync) !== 0) pool.dma?.syncForDevice(ref, -1);
  bump(pool.i32, pool.countersAt + C_FAST);
  return nextGeneration(pool, ref);
}

/** Drops what the pool holds of its fragment page; returns how many pieces are out, -1 when too many came back. */
function dropBias(pool: PoolState, ref: NetmemRef, users: number): number {
  const left = unrefNetmem(pool.host, ref, BIAS_MAX - users);
  if (left < 0) {
    pool.host.warn(
      "WARN_NETMEM_FRAG_OVERPUT",
      `${pool.params.name} ${pool.id}: a fragment of page 0x${ref.toString(16)} was returned twice`,
    );
  }
  return left;
}

/** A page that starts over gets a new generation, so that references to its old pieces are stale. */
function nextGeneration(pool: PoolState, ref: NetmemRef): NetmemRef {
  const idx = (ref >>> 1) & IDX_MASK;
  const gen = ((pool.i32[idx]! & GEN_MASK) + 1) & GEN_MASK;
  pool.i32[idx] = pool.outTag | META_SHARED | gen;
  return makeRef(idx, gen, ref & 1);
}

/** As {@link allocSized}, as an arena byte offset; 0 when exhausted. @throws `ERR_NETMEM_NOT_A_PAGE` */
export function allocVa(pool: FragPool, sizeBytes: number): number {
  const ref = allocSized(pool, sizeBytes);
  if (ref === 0) return 0;
  if (isPage(ref)) return pool.host.offsetOf(ref) + pool.lastOffset;
  pool.put(ref, -1, true);
  return failNotPage(pool);
}

/** Lets go of the current fragment page at destroy. Pieces outside keep it alive. */
export function freeFragPage(pool: PoolState): void {
  const ref = pool.i32[pool.at + FRAG_REF]! as NetmemRef | 0;
  if (ref === 0) return;
  const users = pool.i32[pool.at + FRAG_USERS]!;
  pool.i32[pool.at + FRAG_REF] = 0;
  if (dropBias(pool, ref, users) === 0) releaseFromPool(pool, ref);
}

/**
 * Fragment or whole buffer, whichever wastes less (`page_pool_alloc_netmem`): offset in `pool.lastOffset`, usable size
 * in `pool.lastSize`, so that truesize is honest.
 */
export function allocSized(pool: FragPool, sizeBytes: number): NetmemRef | 0 {
  const max = pool.bufferBytes;
  if (sizeBytes * 2 > max) {
    pool.lastSize = max;
    pool.lastOffset = 0;
    return sizeBytes > max ? allocFragSlow(pool, sizeBytes) : pool.allocNetmem();
  }
  const ref = allocFragSlow(pool, sizeBytes);
  if (ref === 0) return 0;
  pool.lastSize = sizeBytes;
  const fragOffset = pool.i32[pool.at + FRAG_OFFSET]!;
  if (pool.debug === null && fragOffset + sizeBytes > max) {
    pool.lastSize = max - pool.lastOffset;
    pool.i32[pool.at + FRAG_OFFSET] = max;
  }
  return ref;
}
