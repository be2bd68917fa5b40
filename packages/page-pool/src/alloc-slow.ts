import {
  asNetmemRef,
  GEN_SHIFT as GEN_SHIFT_,
  IDX_MASK as IDX_MASK_,
  isPfmemalloc,
  markShared,
  META_GEN_MASK,
  META_STATE_MASK,
  NetmemError,
  type NetmemRef,
  NetmemState,
  OWN_HOLD as OWN_HOLD_,
  OWN_LEFT as OWN_LEFT_,
  OWN_STACK as OWN_STACK_,
  OWNER_ORDER0,
  ownerTag,
  type PageRef,
} from "@netmem/core";
import { add, bump, C_EMPTY, C_FAST, C_PUSHED, C_REFILL, C_SLOW, C_SLOW_HIGH_ORDER, foldRing } from "./counters.ts";
import { refillLocal, wantedNid } from "./numa.ts";
import type { PoolDebug } from "./pool-debug.ts";
import { failDestroyed } from "./pool-errors.ts";
import { type PoolState, SlowBit } from "./pool-state.ts";
import { clearForEntry, enterPool, releaseFromPool } from "./release.ts";
import { allocsAreFast, foldFast } from "./slow-mode.ts";

const GEN_SHIFT = GEN_SHIFT_;
const IDX_MASK = IDX_MASK_;
const STACK = OWN_STACK_;
const LEFT = OWN_LEFT_;
const HOLD = OWN_HOLD_;
const PLAIN_OUT = ownerTag(OWNER_ORDER0, NetmemState.Out);

/** Everything but "pop the cache": refill from the ring, then the provider or the page allocator. 0 = exhausted. */
export function allocSlow(pool: PoolState): NetmemRef | 0 {
  if ((pool.slow & SlowBit.Detached) !== 0) failDestroyed(pool, "an allocation");
  const i32 = pool.i32;
  const count = i32[pool.at]!;
  if (count > 0) return allocCached(pool, count);
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

/** The cache has buffers, but the countdown ran out or the pool is in a slow mode. */
function allocCached(pool: PoolState, count: number): NetmemRef {
  const i32 = pool.i32;
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
  if (page === 0 || !prepare(pool, page)) return 0;
  bump(pool.i32, pool.countersAt + counter);
  enterPool(pool, page);
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

function adoptEach(pool: PoolState, got: number): number {
  const { i32, scratch } = pool;
  let n = 0;
  for (let k = 0; k < got; k++) {
    const page = scratch[k]! as PageRef;
    if (!prepare(pool, page)) continue;
    enterPool(pool, page);
    i32[pool.at + STACK + n++] = page;
  }
  return n;
}

/** Clears and maps a page from the allocator; one that the device refuses goes back, and false. */
function prepare(pool: PoolState, page: PageRef): boolean {
  clearForEntry(pool, page);
  if (pool.dma === null || pool.dma.map(page)) return true;
  pool.host.pages.freePage(page);
  return false;
}

function allocFromProvider(pool: PoolState): NetmemRef | 0 {
  const { i32, scratch } = pool;
  scratch.fill(0);
  const claim = pool.provider!.allocNetmems(pool, scratch, pool.refillCount);
  if (claim === 0) return 0;
  const got = Number.isInteger(claim) ? Math.min(claim, pool.refillCount) : 0;
  let bad = -1;
  let n = 0;
  for (let k = 0; k < got; k++) {
    const ref = asNetmemRef(scratch[k]!);
    if (!isFreeForPool(pool, ref)) {
      bad = k;
      continue;
    }
    clearForEntry(pool, ref);
    enterPool(pool, ref);
    i32[pool.at + STACK + n++] = ref;
  }
  const isHonest = bad < 0 && got === claim && n > 0;
  const kept = isHonest ? n - 1 : n;
  i32[pool.at] = kept;
  add(i32, pool.countersAt + C_PUSHED, kept);
  if (bad >= 0)
    failProvider(
      pool,
      `returned ref 0x${scratch[bad]!.toString(16)}, which is no free buffer of its own`,
      scratch[bad]!,
    );
  if (!isHonest) failProvider(pool, `returned ${claim} buffers of at most ${pool.refillCount}`, claim);
  return handOut(pool, i32[pool.at + STACK + n - 1]!);
}

/** A provider may hand over what is free and its own, or plain pages that it holds alone. */
function isFreeForPool(pool: PoolState, ref: NetmemRef): boolean {
  const idx = (ref >>> 1) & IDX_MASK;
  if (ref <= 0 || idx < pool.host.layout.firstPageIdx || idx >= pool.host.layout.maxNetmems) return false;
  const meta = pool.i32[idx]!;
  const gen = ref >>> GEN_SHIFT;
  if (meta === (PLAIN_OUT | gen)) return true;
  return (meta & META_STATE_MASK) === 0 && (meta & META_GEN_MASK) === gen && pool.provider!.owns(ref);
}

function failProvider(pool: PoolState, what: string, value: unknown): never {
  throw new NetmemError({
    code: "ERR_NETMEM_PROVIDER_GARBAGE",
    errno: "EFAULT",
    reason: `provider ${pool.provider!.name} ${what}`,
    remedy:
      "Return only buffers that the provider owns and nobody uses; the good ones of the batch are in the pool's cache.",
    param: "provider",
    value,
  });
}
