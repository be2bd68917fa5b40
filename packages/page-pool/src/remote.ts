/*
 * data path
 *
 * What other threads returned, replayed as puts from remote context: never into the alloc cache, whatever thread this is.
 */
import {
  asNetmemRef,
  GEN_ONE as GEN_ONE_,
  GEN_SHIFT as GEN_SHIFT_,
  IDX_MASK as IDX_MASK_,
  REF_MASK as REF_MASK_,
  refuseReturn,
  reopen,
} from "@netmem/core";
import { ptrRingProduceBatch as ptrRingProduceBatch_ } from "@netmem/ring";
import type { PoolState } from "./pool-state.ts";
import { dropRingFull, putInto } from "./put-slow.ts";

const GEN_ONE = GEN_ONE_;
const GEN_SHIFT = GEN_SHIFT_;
const IDX_MASK = IDX_MASK_;
const REF_MASK = REF_MASK_;
const ptrRingProduceBatch = ptrRingProduceBatch_;

/** Takes entries of `refs[from..end)` that name the pool, which worker `worker` returned; see `MemOwner.returnRemote`. */
export function returnRemote(pool: PoolState, refs: Int32Array, from: number, end: number, worker: number): number {
  const { i32, outTag, pooledTag } = pool;
  let n = from;
  // In a slow mode every put wants to be seen by itself.
  for (const last = pool.slow === 0 ? end : from; n < last; n++) {
    const ref = refs[n]!;
    const idx = (ref >>> 1) & IDX_MASK;
    if (i32[idx] !== (outTag | (ref >> GEN_SHIFT))) break;
    const next = (ref + GEN_ONE) & REF_MASK;
    i32[idx] = pooledTag | (next >>> GEN_SHIFT);
    refs[n] = next;
  }
  if (n > from) return keepRun(pool, refs, from, n);
  takeUnusual(pool, refs[from]!, worker);
  return 1;
}

/** Armed references into the ring. */
function keepRun(pool: PoolState, refs: Int32Array, from: number, end: number): number {
  let n = from + ptrRingProduceBatch(pool.i32, pool.ring.at, refs, from, end - from);
  for (; n < end; n++) dropRingFull(pool, asNetmemRef(refs[n]!));
  return end - from;
}

/** Shared, from an overflow list, a pool in a slow mode, or a mistake of the thread that returned it. */
function takeUnusual(pool: PoolState, value: number, worker: number): void {
  const ref = asNetmemRef(value);
  reopen(pool.host, ref);
  try {
    putInto(pool, ref, -1, false);
  } catch {
    refuseReturn(pool.host, ref, worker);
  }
}
