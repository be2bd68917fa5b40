import {
  asNetmemRef,
  GEN_SHIFT,
  IDX_MASK,
  isPfmemalloc,
  META_OWNER_SHIFT,
  META_STATE_MASK,
  NetmemError,
  OWN_STACK,
  pageRefCount,
  ppRefCount,
} from "@netmem/core";
import { isOutside } from "./holders.ts";
import { inflightOf } from "./inflight.ts";
import type { PagePool } from "./page-pool.ts";
import { FRAG_REF, type PoolState } from "./pool-state.ts";

/** Buffers of the pool that are not inside it, counted in the netmem table; the fragment page is one of them. */
function countOut(pool: PoolState): number {
  const { layout } = pool.host;
  let n = 0;
  for (let idx = layout.firstPageIdx; idx < layout.maxNetmems; idx++) {
    const meta = pool.i32[idx]!;
    const state = meta & META_STATE_MASK;
    if (meta >>> META_OWNER_SHIFT === pool.ownerId && isOutside(state)) n++;
  }
  return n;
}

function checkPooled(pool: PoolState, value: number, seen: Set<number>): void {
  const ref = asNetmemRef(value);
  const idx = (ref >>> 1) & IDX_MASK;
  const where = `ref 0x${ref.toString(16)}`;
  if (seen.has(idx)) fail("I3", `${where} is in the pool twice`);
  seen.add(idx);
  if (pool.i32[idx] !== (pool.pooledTag | (ref >>> GEN_SHIFT)))
    fail("I2", `${where} has meta 0x${pool.i32[idx]!.toString(16)}`);
  if (ppRefCount(pool.host, ref) !== 1) fail("I2", `${where} has pp_ref_count ${ppRefCount(pool.host, ref)}`);
  if ((ref & 1) === 0 && pageRefCount(pool.host, ref) !== 1)
    fail("I2", `${where} has page refcount ${pageRefCount(pool.host, ref)}`);
  if (isPfmemalloc(pool.host, ref)) fail("I2", `${where} is pfmemalloc`);
}

/**
 * Checks the pool against the netmem table: the in-flight equation (I1), every buffer in cache and ring (I2, I3), bounds
 * (I6), mappings (I7). Time proportional to the table; the `proof` level runs it after every operation. A pool that is gone passes.
 *
 * @throws `ERR_NETMEM_INVARIANT`
 */
export function checkPoolInvariants(pool: PagePool): void {
  if (pool.freed) return;
  const { i32, at } = pool;
  const cache = i32[at]!;
  const ring = pool.ring.count;
  if (cache < 0 || cache > pool.cacheSize) fail("I6", `the cache holds ${cache} of ${pool.cacheSize}`);
  if (ring < 0 || ring > pool.ring.size) fail("I6", `the ring holds ${ring} of ${pool.ring.size}`);
  const seen = new Set<number>();
  for (let n = 0; n < cache; n++) checkPooled(pool, i32[at + OWN_STACK + n]!, seen);
  const entries = pool.ring.entries();
  if (entries.length !== ring) fail("I6", `the ring counts ${ring} and holds ${entries.length}`);
  for (const ref of entries) checkPooled(pool, ref, seen);
  const out = countOut(pool);
  const fragPage = i32[at + FRAG_REF] === 0 ? 0 : 1;
  const quarantined = pool.debug?.quarantinedCount ?? 0;
  const accounted = cache + ring + out + quarantined;
  const inflight = inflightOf(pool);
  if (inflight !== accounted || inflight < 0) {
    fail(
      "I1",
      `hold - release is ${inflight}, cache ${cache} + ring ${ring} + frag page ${fragPage} + outside ${out - fragPage} + quarantine ${quarantined}`,
    );
  }
  checkMapped(pool, inflight);
}

/** I7: a pool that maps has one mapping per buffer until destroy takes all of them. */
function checkMapped(pool: PoolState, inflight: number): void {
  const mapped = pool.dma?.mapped ?? null;
  if (mapped === null) return;
  const expected = pool.life.destroyTicks === 0 ? inflight : 0;
  if (mapped.count !== expected) fail("I7", `${mapped.count} mappings for ${expected} buffers`);
}

function fail(invariant: string, what: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_INVARIANT",
    reason: `${invariant} is broken: ${what}`,
    remedy: "Report it with the operations that led here: this is a bug in netmem, or memory was overwritten.",
    param: invariant,
    value: what,
  });
}
