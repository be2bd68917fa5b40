import { asNetmemRef, checkInt, IDX_MASK, NO_NODE, OWN_STACK } from "@netmem/core";
import { failDestroyed } from "./pool-errors.ts";
import { bump, C_WAIVE } from "./counters.ts";
import { type PoolState, SlowBit } from "./pool-state.ts";
import { popCache, releaseFromPool } from "./release.ts";

/** The memory node that the pool wants its pages from: its own, or that of the running CPU. */
function preferredNid(pool: PoolState): number {
  if (pool.nid !== NO_NODE) return pool.nid;
  const last = pool.host.nodeCount - 1;
  const { nid } = pool.context;
  return nid < last ? nid : last;
}

/** What the page allocator is told: nothing on a host of one node. */
export function wantedNid(pool: PoolState): number | undefined {
  return pool.host.nodeCount === 1 ? undefined : preferredNid(pool);
}

/**
 * Refills the cache from the ring up to the first page of another node, which goes back to the allocator: one per
 * attempt, so that a move of the pool does not flood it (`page_pool_refill_alloc_cache`). Returns how many entries came.
 */
export function refillLocal(pool: PoolState): number {
  const { i32, ring } = pool;
  const stackAt = pool.at + OWN_STACK;
  const n = ring.consumeBatch(i32, stackAt, pool.refillCount);
  const stranger = findStranger(pool, stackAt, n);
  if (stranger === n) return n;
  const ref = asNetmemRef(i32[stackAt + stranger]!);
  const rest = i32.slice(stackAt + stranger + 1, stackAt + n);
  ring.unconsume(rest, rest.length, (value) => releaseFromPool(pool, asNetmemRef(value)));
  bump(i32, pool.countersAt + C_WAIVE);
  releaseFromPool(pool, ref);
  return stranger;
}

/** Which of the `n` entries is the first of another node; `n` when none is. A net_iov is local everywhere. */
function findStranger(pool: PoolState, stackAt: number, n: number): number {
  const { table, shift } = pool.host.nodes;
  const { i32 } = pool;
  const wanted = preferredNid(pool);
  for (let k = 0; k < n; k++) {
    const ref = i32[stackAt + k]!;
    if ((ref & 1) === 0 && table[((ref >>> 1) & IDX_MASK) >>> shift] !== wanted) return k;
  }
  return n;
}

/** Sets the node and gives the alloc cache back; the ring is weeded out by refills (`page_pool_update_nid`). */
export function updateNid(pool: PoolState, nid: number): void {
  checkInt("nid", nid, NO_NODE, pool.host.nodeCount - 1);
  if ((pool.slow & SlowBit.Detached) !== 0) failDestroyed(pool, "updateNid()");
  pool.nid = nid;
  popCache(pool, pool.cacheSize);
}
