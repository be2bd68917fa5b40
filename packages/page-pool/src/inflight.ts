import { type NetmemRef, OWN_HOLD, OWN_RELEASE, ppRefCount } from "@netmem/core";
import { BIAS_MAX } from "./limits.ts";
import { FRAG_REF, FRAG_USERS, type PoolState } from "./pool-state.ts";

/** Buffers that left the allocator and did not go back: in cache, ring, fragment page and outside. May be negative. */
export function inflightOf(pool: PoolState): number {
  return (pool.i32[pool.at + OWN_HOLD]! - pool.i32[pool.at + OWN_RELEASE]!) | 0;
}

/** Buffers with users; the current fragment page counts as the pool's own. */
export function outsideCount(pool: PoolState): number {
  const fragPage = pool.i32[pool.at + FRAG_REF] === 0 ? 0 : 1;
  const quarantined = pool.debug === null ? 0 : pool.debug.quarantinedCount;
  return inflightOf(pool) - pool.i32[pool.at]! - pool.ring.count - fragPage - quarantined;
}

/** True when no user holds a buffer, or a piece of one. */
export function isDrained(pool: PoolState): boolean {
  if (outsideCount(pool) !== 0) return false;
  const fragRef = pool.i32[pool.at + FRAG_REF]! as NetmemRef;
  if (fragRef === 0) return true;
  return ppRefCount(pool.host, fragRef) === BIAS_MAX - pool.i32[pool.at + FRAG_USERS]!;
}
