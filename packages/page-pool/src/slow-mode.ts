import { OWN_LEFT, OWN_LIMIT } from "@netmem/core";
import { add, C_FAST, FOLD } from "./counters.ts";
import { ALLOC_SLOW, type PoolState } from "./pool-state.ts";

/** Whether allocations pop the cache by themselves and are counted by the countdown. */
export function allocsAreFast(pool: PoolState): boolean {
  return (pool.slow & ALLOC_SLOW) === 0;
}

/** Adds the pops since the last fold to the wide counter and restarts the countdown. Only while {@link allocsAreFast}. */
export function foldFast(pool: PoolState): void {
  const leftAt = pool.at + OWN_LEFT;
  add(pool.i32, pool.countersAt + C_FAST, FOLD - pool.i32[leftAt]!);
  pool.i32[leftAt] = FOLD;
}

/** Recomputes the push limits and the countdown after a change of `slow`, `promote` or the napi. */
export function applyMode(pool: PoolState): void {
  const fast = pool.slow === 0;
  const byThread = pool.byThread && pool.promote;
  pool.directLimit = fast ? pool.cacheSize : 0;
  pool.i32[pool.at + OWN_LIMIT] = fast && byThread ? pool.cacheSize : 0;
}

/** Sets or clears a slow bit. */
export function setSlow(pool: PoolState, bit: number, on: boolean): void {
  if (allocsAreFast(pool)) foldFast(pool);
  pool.slow = on ? pool.slow | bit : pool.slow & ~bit;
  pool.i32[pool.at + OWN_LEFT] = allocsAreFast(pool) ? FOLD : 0;
  applyMode(pool);
}
