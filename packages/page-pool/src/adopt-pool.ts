import {
  asNetmemRef,
  type Host,
  makeRef,
  type MemoryProviderOps,
  META_GEN_MASK,
  META_OWNER_SHIFT,
  META_STATE_MASK,
  NetmemError,
  OWN_COUNT,
  OWN_HOLD,
  OWN_LEFT,
  OWN_RELEASE,
  OWN_STATE_AT,
} from "@netmem/core";
import { PtrRing } from "@netmem/ring";
import { add, C_FAST, C_POPPED, C_RING_SEEN, FOLD } from "./counters.ts";
import { isOutside } from "./holders.ts";
import { destroyPool } from "./lifecycle.ts";
import { PagePool } from "./page-pool.ts";
import { PagePoolFlag, type ResolvedParams } from "./params.ts";
import { PoolDma } from "./pool-dma.ts";
import {
  type PoolHome,
  S_IFINDEX,
  S_POOL_ID,
  S_PROVIDER,
  S_RING,
  S_RING_SIZE,
  S_SHAPE,
  unpackShape,
} from "./pool-home.ts";
import { releaseFromPool } from "./release.ts";

/**
 * Takes over a pool whose thread died, wherever in the middle of whatever: what its cache and ring say is not believed, the
 * netmem table is. The pool is destroyed: buffers inside go back, it stays listed until those outside came home to this
 * thread. Its counters go on; hooks and context of the thread that is gone do not.
 *
 * @throws `ERR_NETMEM_PROVIDER_UNKNOWN` (EFAULT) when this thread has not registered the pool's provider.
 */
export function adoptPagePool(host: Host, ownerId: number): PagePool {
  const { i32 } = host;
  const countersAt = i32[host.owners.recordAt(ownerId) + OWN_STATE_AT]!;
  const provider = providerOf(host, i32[countersAt + S_PROVIDER]! - 1);
  const params = readParams(host, ownerId, countersAt);
  const pool = new PagePool(host, params, provider, takeHome(host, ownerId, countersAt));
  host.owners.adopt(ownerId, pool);
  if ((params.flags & PagePoolFlag.DmaMap) !== 0 && host.dma !== null) {
    pool.dma = new PoolDma(pool, params, host.dma, provider !== null);
  }
  pool.id = i32[countersAt + S_POOL_ID]!;
  host.pools.adopt(pool.id, pool);
  settle(pool);
  destroyPool(pool);
  return pool;
}

function takeHome(host: Host, ownerId: number, countersAt: number): PoolHome {
  const { i32 } = host;
  const recordAt = host.owners.recordAt(ownerId);
  // The new object counts from here on. What entered the ring since the last refill is not counted.
  const left = i32[recordAt + OWN_LEFT]!;
  if (left > 0) add(i32, countersAt + C_FAST, FOLD - left);
  add(i32, countersAt + C_POPPED, i32[recordAt + OWN_COUNT]!);
  i32[countersAt + C_RING_SEEN] = 0;
  const at = i32[countersAt + S_RING]!;
  const ring = new PtrRing(host, i32[countersAt + S_RING_SIZE]!, { at });
  return { ownerId, countersAt, ring };
}

/** Believes the table: buffers inside are released, those outside are what is in flight. */
function settle(pool: PagePool): void {
  const { i32, host, ownerId } = pool;
  const { layout } = host;
  const inside: number[] = [];
  let count = 0;
  for (let idx = layout.firstPageIdx; idx < layout.maxNetmems; idx++) {
    const meta = i32[idx]!;
    if (meta >>> META_OWNER_SHIFT !== ownerId || (meta & META_STATE_MASK) === 0) continue;
    count++;
    pool.dma?.adoptMapping(idx);
    if (!isOutside(meta & META_STATE_MASK)) inside.push(idx);
  }
  i32[pool.at + OWN_COUNT] = 0;
  i32[pool.at + OWN_RELEASE] = (i32[pool.at + OWN_HOLD]! - count) | 0;
  for (const idx of inside) {
    const tag = idx < layout.pageCount ? 0 : 1;
    releaseFromPool(pool, asNetmemRef(makeRef(idx, i32[idx]! & META_GEN_MASK, tag)));
  }
}

function providerOf(host: Host, providerId: number): MemoryProviderOps | null {
  if (providerId < 0) return null;
  const provider = host.providers.get(providerId);
  if (provider !== undefined) return provider;
  const name = host.providers.nameOf(providerId);
  throw new NetmemError({
    code: "ERR_NETMEM_PROVIDER_UNKNOWN",
    errno: "EFAULT",
    reason: `provider ${name} is registered on the thread that died and not on this one`,
    remedy: "Call host.providers.register on the thread that reclaims.",
    param: "provider",
    value: name,
  });
}

function readParams(host: Host, ownerId: number, countersAt: number): ResolvedParams {
  const word = (which: number): number => host.i32[countersAt + which]!;
  return {
    name: host.owners.list().find((one) => one.ownerId === ownerId)?.name ?? "page_pool",
    ...unpackShape(word(S_SHAPE)),
    ringSize: word(S_RING_SIZE),
    maxLenBytes: 0,
    offsetBytes: 0,
    napi: null,
    cpuid: -1,
    rxq: null,
    ifindex: word(S_IFINDEX),
    initCallback: null,
    clearOnEntry: false,
    reclaim: false,
    directRecycle: "ownerThread",
    debug: false,
  };
}
