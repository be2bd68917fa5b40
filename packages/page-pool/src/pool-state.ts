import type { Context, Host, MemoryProviderOps, Napi, NetmemRef, PoolHandle } from "@netmem/core";
import type { PtrRing } from "@netmem/ring";
import type { AllocQueue } from "./alloc-wait.ts";
import type { PoolDebug } from "./pool-debug.ts";
import type { PoolDma } from "./pool-dma.ts";
import type { PoolTies } from "./pool-ties.ts";
import type { ResolvedParams } from "./params.ts";
import type { PagePoolStats } from "./stats.ts";

/** Why a pool leaves its fast path; any bit sends every put to the slow path, {@link ALLOC_SLOW} allocations as well. */
export const SlowBit = {
  /** Recycled buffers are synced for the device. */
  DmaSync: 1,
  Debug: 2,
  /** Destroyed: no allocation, nothing into the cache. */
  Detached: 4,
  /** Somebody awaits `drained()`. */
  Watched: 8,
  /** The calling context is a hard interrupt. */
  Hardirq: 16,
  /** Somebody awaits a buffer. */
  Waiting: 32,
} as const;

/** Slow modes that allocations have to know of; in all others they stay fast. */
export const ALLOC_SLOW: number = SlowBit.Debug | SlowBit.Detached;

/**
 * Hooks on the pool's books (kernel: the page_pool tracepoints). They run on slow paths only, in the middle of a refill or a
 * release: they must not use the pool.
 */
export interface PoolTracer {
  /** A buffer entered the pool; `holdCount` includes it. */
  hold?(ref: NetmemRef, holdCount: number): void;
  /** A buffer left the pool; `releaseCount` includes it. */
  release?(ref: NetmemRef, releaseCount: number): void;
}

/** What only creation, destruction and `drained()` need. */
export interface PoolLife {
  /** Attempts to free it since it was destroyed. */
  destroyTicks: number;
  /** When it was destroyed with buffers outside, -1 before. */
  detachedAtMs: number;
  warnedAtMs: number;
  /** Counters of a pool that is gone. */
  finalStats: PagePoolStats | null;
  /** Pending `drained()` calls; null while there are none. */
  drainWaiters: Set<() => void> | null;
  /** Pending `allocWait()` calls; null while there were none. */
  allocQueue: AllocQueue | null;
  /** Ends the watch of the inbox that a pending `drained()` needs; null for none. */
  stopWatch: (() => void) | null;
  /** Timer that looks whether the pool drained without telling; 0 for none. */
  drainTimer: number;
  /** What the pool registered with its host, null before and after. */
  ties: PoolTies | null;
  /** Buffers that the page allocator asked back and got. */
  reclaimed: number;
}

export function createPoolLife(): PoolLife {
  return {
    destroyTicks: 0,
    detachedAtMs: -1,
    warnedAtMs: 0,
    finalStats: null,
    drainWaiters: null,
    allocQueue: null,
    stopWatch: null,
    drainTimer: 0,
    ties: null,
    reclaimed: 0,
  };
}

/**
 * What the parts of a pool share. Counters, cache and fragment state are arena words (see `OWN_*` of core and
 * counters.ts); these are this thread's handles on them.
 */
export interface PoolState extends PoolHandle {
  readonly host: Host;
  readonly i32: Int32Array;
  readonly params: ResolvedParams;
  readonly context: Context;
  readonly ring: PtrRing;
  id: number;
  /** Memory node that pages should be on, -1 for that of the running CPU. */
  nid: number;
  /** Word offset of the owner record: count, limits, stack = alloc cache. */
  at: number;
  readonly countersAt: number;
  outTag: number;
  readonly pooledTag: number;
  /** Buffers that the alloc cache holds, 128 / 32 / 8. */
  readonly cacheSize: number;
  /** Buffers per refill, 64 / 16 / 4. */
  readonly refillCount: number;
  readonly provider: MemoryProviderOps | null;
  readonly debug: PoolDebug | null;
  /** Null without DMA flags, or without a device. */
  dma: PoolDma | null;
  /** Scratch for bulk calls. */
  readonly scratch: Int32Array;
  /** Bits of {@link SlowBit}. */
  slow: number;
  /** Push limit of puts that promise direct context; the limit of other puts is `OWN_LIMIT` in the arena. */
  directLimit: number;
  napi: Napi | null;
  cpuid: number;
  /** `directRecycle` is "ownerThread". */
  readonly byThread: boolean;
  /** False after `disableDirectRecycling`. */
  promote: boolean;
  /** Bytes per buffer. */
  readonly bufferBytes: number;
  lastOffset: number;
  lastSize: number;
  userCount: number;
  freed: boolean;
  readonly life: PoolLife;
  memId: number;
  disconnect: (() => void) | null;
  tracer: PoolTracer | null;
  /** Called at the put after which nothing is outside; null while nobody waits. */
  onDrained: (() => void) | null;
  /** Called after every put while somebody waits for a buffer; null while nobody does. */
  onFreed: (() => void) | null;
}

/** Words of the owner record's private part. */
export const FRAG_REF = 8;
export const FRAG_OFFSET = 9;
export const FRAG_USERS = 10;
