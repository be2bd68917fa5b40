import { OWN_LEFT } from "@netmem/core";
import {
  C_CACHE_FULL,
  C_EMPTY,
  C_FAST,
  C_POPPED,
  C_PUSHED,
  C_REFILL,
  C_RELEASED_REFCNT,
  C_RING,
  C_RING_FULL,
  C_SLOW,
  C_SLOW_HIGH_ORDER,
  C_WAIVE,
  FOLD,
  foldRing,
  read,
} from "./counters.ts";
import type { PoolState } from "./pool-state.ts";
import { allocsAreFast } from "./slow-mode.ts";

/** How allocations were served (kernel: `page_pool_alloc_stats`). */
export interface PagePoolAllocStats {
  /** From the alloc cache; also a fragment page that started over in place. */
  fast: number;
  /** Calls that went to the page allocator for single pages, one per bulk of 64. */
  slow: number;
  /** Compound pages taken from the page allocator. */
  slowHighOrder: number;
  /** Attempts that found cache and ring empty. */
  empty: number;
  /** Refills of the cache from the ring. */
  refill: number;
  /** Ring entries rejected for their NUMA node. */
  waive: number;
}

/** What became of returned buffers (kernel: `page_pool_recycle_stats`). */
export interface PagePoolRecycleStats {
  /** Into the alloc cache. */
  cached: number;
  /** Direct puts that found the cache full. */
  cacheFull: number;
  /** Into the ring. */
  ring: number;
  /** Puts that found the ring full; a bulk put counts once per round. */
  ringFull: number;
  /** Pages that others still held, or from emergency reserves. */
  releasedRefcnt: number;
}

/** The eleven counters of a page pool. Numbers are exact up to 2^53. */
export interface PagePoolStats {
  alloc: PagePoolAllocStats;
  recycle: PagePoolRecycleStats;
}

/** A record of zeros to sum several pools into. */
export function createPagePoolStats(): PagePoolStats {
  return {
    alloc: { fast: 0, slow: 0, slowHighOrder: 0, empty: 0, refill: 0, waive: 0 },
    recycle: { cached: 0, cacheFull: 0, ring: 0, ringFull: 0, releasedRefcnt: 0 },
  };
}

/** Adds a pool's counters to `into`, as the kernel's getter does. */
export function addStats(pool: PoolState, into: PagePoolStats): void {
  const from = pool.life.finalStats ?? readStats(pool);
  for (const name of Object.keys(from.alloc) as (keyof PagePoolAllocStats)[]) into.alloc[name] += from.alloc[name];
  for (const name of Object.keys(from.recycle) as (keyof PagePoolRecycleStats)[])
    into.recycle[name] += from.recycle[name];
}

/** The counters as they are now. */
export function readStats(pool: PoolState): PagePoolStats {
  const { i32, countersAt } = pool;
  foldRing(i32, countersAt, pool.ring.produced);
  const counter = (which: number): number => read(i32, countersAt + which);
  const fast = counter(C_FAST) + (allocsAreFast(pool) ? FOLD - i32[pool.at + OWN_LEFT]! : 0);
  return {
    alloc: {
      fast,
      slow: counter(C_SLOW),
      slowHighOrder: counter(C_SLOW_HIGH_ORDER),
      empty: counter(C_EMPTY),
      refill: counter(C_REFILL),
      waive: counter(C_WAIVE),
    },
    recycle: {
      cached: fast + counter(C_POPPED) + i32[pool.at]! - counter(C_PUSHED),
      cacheFull: counter(C_CACHE_FULL),
      ring: counter(C_RING),
      ringFull: counter(C_RING_FULL),
      releasedRefcnt: counter(C_RELEASED_REFCNT),
    },
  };
}
