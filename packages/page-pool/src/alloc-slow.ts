import {
  asNetmemRef,
  failParam,
  GEN_SHIFT as GEN_SHIFT_,
  IDX_MASK as IDX_MASK_,
  isPfmemalloc,
  markShared,
  type NetmemRef,
  OWN_HOLD as OWN_HOLD_,
  OWN_LEFT as OWN_LEFT_,
  OWN_STACK as OWN_STACK_,
  type PageRef,
} from "@netmem/core";
import { fillFromProvider } from "./alloc-provider.ts";
import { add, bump, C_EMPTY, C_FAST, C_PUSHED, C_REFILL, C_SLOW, C_SLOW_HIGH_ORDER, foldRing } from "./counters.ts";
import { refillLocal, wantedNid } from "./numa.ts";
import type { PoolDebug } from "./pool-debug.ts";
import { failDestroyed } from "./pool-errors.ts";
import { type PoolState, SlowBit } from "./pool-state.ts";
import { clearForEntry, enterPool, releaseFromPool, unmapPage } from "./release.ts";
import { allocsAreFast, foldFast } from "./slow-mode.ts";

const GEN_SHIFT = GEN_SHIFT_;
const IDX_MASK = IDX_MASK_;
const STACK = OWN_STACK_;
const LEFT = OWN_LEFT_;
const HOLD = OWN_HOLD_;

/** Everything but "pop the cache": refill from the ring, then the provider or the page allocator. 0 = exhausted. */
export function allocSlow(pool: PoolState): NetmemRef | 0 {
  if ((pool.slow & SlowBit.Detached) !== 0) failDestroyed(pool, "an allocation");
  const i32 = pool.i32;
  if (i32[pool.at]! > 0) return allocCached(pool);
  pool.host.drainInbox();
  // What came home may have served a waiter, for whom the cache was refilled.
  if (i32[pool.at]! > 0) return allocCached(pool);
  foldRing(i32, pool.countersAt, pool.ring.produced);
  if (pool.ring.isEmpty()) {
    bump(i32, pool.countersAt + C_EMPTY);
    return allocNew(pool);
  }
  const oneNode = pool.host.nodeCount === 1;
  const n = oneNode ? pool.ring.consumeBatch(i32, pool.at + STACK, pool.refillCount) : refillLocal(pool);
  // The oldest entry was of another node.
  if (n === 0) return allocNew(pool);
  i32[pool.at] = n - 1;
  bump(i32, pool.countersAt + C_REFILL);
  add(i32, pool.countersAt + C_PUSHED, n - 1);
  return handOut(pool, i32[pool.at + STACK + n - 1]!);
}

/** A pool that a bulk allocation is under way from. */
interface BulkPool extends PoolState {
  allocUnusual(): NetmemRef | 0;
  recycleDirect(ref: NetmemRef): void;
}

/**
 * The next buffer of a bulk; when that throws, those before it go back. Not by `allocNetmem`, which V8 would learn to expect
 * the slow path in: behind a call that may come back every loop that allocates checks pool and arena again.
 */
export function allocAfter(pool: BulkPool, out: Int32Array, count: number): NetmemRef | 0 {
  try {
    return pool.allocUnusual();
  } catch (error) {
    for (let n = count - 1; n >= 0; n--) pool.recycleDirect(asNetmemRef(out[n]!));
    throw error;
  }
}

/** Throws for an array that cannot hold `max` references. */
export function failShort(out: Int32Array, max: number): never {
  return failParam("max", max, `at most out.length = ${out.length}`, "Pass a longer array.");
}

/** The cache has buffers, but the countdown ran out or the pool is in a slow mode. */
function allocCached(pool: PoolState): NetmemRef {
  const i32 = pool.i32;
  const count = i32[pool.at]!;
  if (allocsAreFast(pool)) {
    foldFast(pool);
    i32[pool.at + LEFT] = i32[pool.at + LEFT]! - 1;
  } else {
    bump(i32, pool.countersAt + C_FAST);
  }
  i32[pool.at] = count - 1;
  return handOut(pool, i32[pool.at + STACK + count - 1]!);
}

function handOut(pool: PoolState, ref: number): NetmemRef {
  if (pool.debug !== null) inspect(pool, pool.debug, asNetmemRef(ref));
  pool.i32[(ref >>> 1) & IDX_MASK] = pool.outTag | (ref >>> GEN_SHIFT);
  return asNetmemRef(ref);
}

/** A buffer that was written while it was free goes back to where the pool got it; the next allocation gets another. */
function inspect(pool: PoolState, debug: PoolDebug, ref: NetmemRef): void {
  try {
    debug.onAlloc(ref);
  } catch (error) {
    releaseFromPool(pool, ref);
    throw error;
  }
}

function allocNew(pool: PoolState): NetmemRef | 0 {
  if (pool.provider !== null) return allocFromProvider(pool);
  return pool.order > 0 ? allocOne(pool, C_SLOW_HIGH_ORDER) : allocBulkOrder0(pool);
}

/** One block or page. One from the allocator's reserve is marked, so that its put does not recycle it. */
function allocOne(pool: PoolState, counter: number): NetmemRef | 0 {
  const page = pool.host.pages.allocPages(pool.order, wantedNid(pool));
  if (page === 0) return 0;
  try {
    if (!prepare(pool, page)) return 0;
    enterPool(pool, page);
  } catch (cause) {
    takeBack(pool, page);
    throw cause;
  }
  bump(pool.i32, pool.countersAt + counter);
  const ref = handOut(pool, page);
  if (isPfmemalloc(pool.host, ref)) markShared(pool.host, ref);
  return ref;
}

function allocBulkOrder0(pool: PoolState): NetmemRef | 0 {
  const { i32, scratch } = pool;
  const got = pool.host.pages.allocBulk(scratch, pool.refillCount, wantedNid(pool));
  // The reserve is given out page by page, and to those only who free memory soon.
  if (got === 0) return pool.context.memalloc ? allocOne(pool, C_SLOW) : 0;
  const { initCallback, clearOnEntry } = pool.params;
  const simple = pool.dma === null && initCallback === null && !clearOnEntry && pool.tracer === null;
  const n = simple ? adoptAll(pool, got) : adoptEach(pool, got);
  if (n === 0) return 0;
  i32[pool.at] = n - 1;
  bump(i32, pool.countersAt + C_SLOW);
  add(i32, pool.countersAt + C_PUSHED, n - 1);
  return handOut(pool, i32[pool.at + STACK + n - 1]!);
}

/** Moves fresh plain pages into the cache. Their counts are 1 already: a plain exclusive page has no other. */
function adoptAll(pool: PoolState, got: number): number {
  const { i32, scratch, pooledTag } = pool;
  const stackAt = pool.at + STACK;
  for (let n = 0; n < got; n++) {
    const ref = scratch[n]!;
    i32[(ref >>> 1) & IDX_MASK] = pooledTag | (ref >>> GEN_SHIFT);
    i32[stackAt + n] = ref;
  }
  i32[pool.at + HOLD] = (i32[pool.at + HOLD]! + got) | 0;
  return got;
}

/** When a device or a hook throws, the pages before stay in the cache, and this one and the rest go back. */
function adoptEach(pool: PoolState, got: number): number {
  const { i32, scratch } = pool;
  let n = 0;
  let k = 0;
  try {
    for (; k < got; k++) {
      const page = scratch[k]! as PageRef;
      if (!prepare(pool, page)) continue;
      enterPool(pool, page);
      i32[pool.at + STACK + n++] = page;
    }
  } catch (cause) {
    for (; k < got; k++) takeBack(pool, scratch[k]! as PageRef);
    i32[pool.at] = n;
    add(i32, pool.countersAt + C_PUSHED, n);
    throw cause;
  }
  return n;
}

/** Undoes as much of a page's entry as was done. */
function takeBack(pool: PoolState, page: PageRef): void {
  const isEntered = pool.i32[(page >>> 1) & IDX_MASK] === (pool.pooledTag | (page >>> GEN_SHIFT));
  if (isEntered) return releaseFromPool(pool, page);
  unmapPage(pool, page);
  pool.host.pages.freePage(page);
}

/** Clears and maps a page from the allocator; one that the device refuses goes back, and false. */
function prepare(pool: PoolState, page: PageRef): boolean {
  clearForEntry(pool, page);
  if (pool.dma === null || pool.dma.map(page)) return true;
  pool.host.pages.freePage(page);
  return false;
}

function allocFromProvider(pool: PoolState): NetmemRef | 0 {
  const n = fillFromProvider(pool);
  if (n === 0) return 0;
  const { i32 } = pool;
  i32[pool.at] = n - 1;
  add(i32, pool.countersAt + C_PUSHED, n - 1);
  return handOut(pool, i32[pool.at + STACK + n - 1]!);
}
