import {
  asNetmemRef,
  GEN_SHIFT as GEN_SHIFT_,
  IDX_MASK as IDX_MASK_,
  META_GEN_MASK,
  META_STATE_MASK,
  NetmemError,
  type NetmemRef,
  NetmemState,
  OWN_HOLD as OWN_HOLD_,
  OWN_STACK as OWN_STACK_,
  OWNER_ORDER0,
  ownerTag,
} from "@netmem/core";
import { add, C_PUSHED } from "./counters.ts";
import { failProviderHook } from "./pool-errors.ts";
import type { PoolState } from "./pool-state.ts";
import { arm } from "./put-slow.ts";
import { clearForEntry, enterBooks, enterPool, releaseFromPool } from "./release.ts";

const GEN_SHIFT = GEN_SHIFT_;
const IDX_MASK = IDX_MASK_;
const STACK = OWN_STACK_;
const HOLD = OWN_HOLD_;
const FREE_MASK = META_STATE_MASK | META_GEN_MASK;
const PLAIN_OUT = ownerTag(OWNER_ORDER0, NetmemState.Out);

/**
 * Asks the provider for a refill and writes what it gave into the stack of the empty alloc cache; returns how many. The
 * caller sets the count.
 *
 * @throws `ERR_NETMEM_PROVIDER_GARBAGE` (EFAULT) for what is no free buffer of its own, and what a hook threw. The good ones of the batch
 * are in the cache then; none is lost.
 */
export function fillFromProvider(pool: PoolState): number {
  const { scratch, refillCount } = pool;
  scratch.fill(0);
  const claim = ask(pool);
  if (claim === 0) return 0;
  const got = Number.isInteger(claim) ? Math.min(claim, refillCount) : 0;
  const n = adopt(pool, got);
  if (n === claim) return n;
  keep(pool, n);
  return failGarbage(pool, got, claim);
}

function ask(pool: PoolState): number {
  try {
    return pool.provider!.allocNetmems(pool, pool.scratch, pool.refillCount);
  } catch (cause) {
    return failProviderHook(pool.provider!, "allocNetmems", cause);
  }
}

/** Takes the good ones among `scratch[0..got)` into the pool and leaves the others, and only those, in `scratch`. */
function adopt(pool: PoolState, got: number): number {
  const { i32, scratch, pooledTag, params } = pool;
  const { ppRefAt } = pool.host;
  const isWatched = params.clearOnEntry || params.initCallback !== null || pool.tracer !== null;
  const stackAt = pool.at + STACK;
  const holdAt = pool.at + HOLD;
  let n = 0;
  let k = 0;
  try {
    for (; k < got; k++) {
      const ref = scratch[k]! as NetmemRef;
      if (!isFreeForPool(pool, ref)) {
        if (!isComingHome(pool, ref)) continue;
        i32[stackAt + n++] = arm(pool, ref);
        scratch[k] = 0;
        continue;
      }
      if (isWatched) {
        clearForEntry(pool, ref);
        enterPool(pool, ref);
      } else {
        // enterBooks, unrolled: the call costs as much as what it does.
        i32[(ref >>> 1) & IDX_MASK] = pooledTag | (ref >>> GEN_SHIFT);
        i32[ppRefAt + ((ref >>> 1) & IDX_MASK)] = 0;
        i32[holdAt] = (i32[holdAt]! + 1) | 0;
      }
      i32[stackAt + n++] = ref;
      scratch[k] = 0;
    }
  } catch (cause) {
    giveBack(pool, k, got);
    keep(pool, n);
    throw cause;
  }
  return n;
}

/** A hook failed at entry `from`: it and those behind it go back the way they came, through the books. */
function giveBack(pool: PoolState, from: number, got: number): void {
  for (let k = from; k < got; k++) {
    const ref = asNetmemRef(pool.scratch[k]!);
    if (isComingHome(pool, ref)) {
      releaseFromPool(pool, arm(pool, ref));
      continue;
    }
    const isEntered = k === from && pool.i32[(ref >>> 1) & IDX_MASK] === (pool.pooledTag | (ref >>> GEN_SHIFT));
    if (!isEntered && !isFreeQuietly(pool, ref)) continue;
    if (!isEntered) enterBooks(pool, ref);
    releaseFromPool(pool, ref);
  }
}

function keep(pool: PoolState, n: number): void {
  pool.i32[pool.at] = n;
  add(pool.i32, pool.countersAt + C_PUSHED, n);
}

/** A provider may hand over what is free and its own, or plain pages that it holds alone. */
function isFreeForPool(pool: PoolState, ref: NetmemRef): boolean {
  const idx = (ref >>> 1) & IDX_MASK;
  const meta = pool.i32[idx]!;
  const gen = ref >>> GEN_SHIFT;
  const isPlain = meta === (PLAIN_OUT | gen);
  if (!isPlain && (meta & FREE_MASK) !== gen) return false;
  const { firstPageIdx, pageCount, maxNetmems } = pool.host.layout;
  if (ref <= 0 || idx < firstPageIdx || idx >= maxNetmems || (ref & 1) !== (idx < pageCount ? 0 : 1)) return false;
  return isPlain || isOwned(pool, ref);
}

/** One of the pool's own that its user gave to the provider, which says so: it never left the books. */
function isComingHome(pool: PoolState, ref: NetmemRef): boolean {
  const meta = pool.i32[(ref >>> 1) & IDX_MASK]!;
  return ref > 0 && meta === (ownerTag(pool.ownerId, NetmemState.Returning) | (ref >>> GEN_SHIFT));
}

function isOwned(pool: PoolState, ref: NetmemRef): boolean {
  try {
    return pool.provider!.owns(ref);
  } catch (cause) {
    return failProviderHook(pool.provider!, "owns", cause);
  }
}

function isFreeQuietly(pool: PoolState, ref: NetmemRef): boolean {
  try {
    return isFreeForPool(pool, ref);
  } catch {
    return false;
  }
}

function failGarbage(pool: PoolState, got: number, claim: number): never {
  const { provider, refillCount, scratch } = pool;
  const bad = scratch.subarray(0, Math.max(got, 0)).find((ref) => ref !== 0) ?? 0;
  const what =
    got === claim
      ? `ref 0x${(bad >>> 0).toString(16)}, which is no free buffer of its own`
      : `${claim} buffers of at most ${refillCount}`;
  throw new NetmemError({
    code: "ERR_NETMEM_PROVIDER_GARBAGE",
    errno: "EFAULT",
    reason: `provider ${provider!.name} returned ${what}`,
    remedy:
      "Return only buffers that the provider owns and nobody uses; the good ones of the batch are in the pool's cache.",
    param: "provider",
    value: got === claim ? bad : claim,
  });
}
