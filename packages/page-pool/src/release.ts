import {
  GEN_ONE as GEN_ONE_,
  GEN_SHIFT as GEN_SHIFT_,
  IDX_MASK as IDX_MASK_,
  makePlain,
  META_FREE,
  type NetmemRef,
  OWN_HOLD as OWN_HOLD_,
  OWN_RELEASE as OWN_RELEASE_,
  putNetmem,
  REF_MASK as REF_MASK_,
} from "@netmem/core";
import { C_POPPED, add } from "./counters.ts";
import type { PoolState } from "./pool-state.ts";

const GEN_ONE = GEN_ONE_;
const GEN_SHIFT = GEN_SHIFT_;
const IDX_MASK = IDX_MASK_;
const REF_MASK = REF_MASK_;
const HOLD = OWN_HOLD_;
const RELEASE = OWN_RELEASE_;

/** Puts a buffer on the pool's books: marks, counters, hooks. Its meta word becomes "pooled". */
export function enterPool(pool: PoolState, ref: NetmemRef): void {
  const i32 = pool.i32;
  const idx = (ref >>> 1) & IDX_MASK;
  i32[idx] = pool.pooledTag | (ref >>> GEN_SHIFT);
  i32[pool.host.ppRefAt + idx] = 0;
  const hold = (i32[pool.at + HOLD]! + 1) | 0;
  i32[pool.at + HOLD] = hold;
  pool.params.initCallback?.(ref);
  pool.tracer?.hold?.(ref, hold >>> 0);
}

/** Maps a new page for the device; false when refused. Nothing to do without `DmaMap`. */
export function mapNetmem(pool: PoolState, ref: NetmemRef): boolean {
  const dma = pool.host.dma;
  if (!pool.dmaMap || dma === null) return true;
  const pfn = dma.map(ref, pool.order, pool.dmaDir);
  if (pfn === 0) return false;
  pool.i32[pool.host.dmaAt + ((ref >>> 1) & IDX_MASK)] = pfn;
  if (pool.dmaSync && dma.needsSync)
    dma.syncForDevice(pfn, pool.params.offsetBytes, pool.params.maxLenBytes, pool.dmaDir);
  return true;
}

/** Takes the mapping of page `idx` away, if it still has one. */
export function unmapNetmem(pool: PoolState, idx: number): void {
  const at = pool.host.dmaAt + idx;
  const pfn = pool.i32[at]!;
  if (pfn === 0) return;
  pool.i32[at] = 0;
  pool.host.dma?.unmap(pfn, pool.order, pool.dmaDir);
}

/**
 * Gives a buffer back to where the pool got it (`page_pool_return_netmem`). `ref` is its current reference: armed when
 * it comes from the cache or the ring, the caller's when it is still out.
 */
export function releaseFromPool(pool: PoolState, ref: NetmemRef): void {
  const i32 = pool.i32;
  pool.debug?.forget((ref >>> 1) & IDX_MASK);
  if (pool.provider !== null) return releaseToProvider(pool, ref);
  unmapNetmem(pool, (ref >>> 1) & IDX_MASK);
  const release = (i32[pool.at + RELEASE]! + 1) | 0;
  i32[pool.at + RELEASE] = release;
  pool.tracer?.release?.(ref, release >>> 0);
  makePlain(pool.host, ref);
  putNetmem(pool.host, ref);
}

/** A page that others still hold keeps its reference; any other buffer gets the next generation on its way out. */
function releaseToProvider(pool: PoolState, ref: NetmemRef): void {
  const { host, i32 } = pool;
  const idx = (ref >>> 1) & IDX_MASK;
  const held = (ref & 1) === 0 && i32[host.pageRefAt + idx] !== 0;
  const next = held ? ref : (((ref + GEN_ONE) & REF_MASK) as NetmemRef);
  if (held) makePlain(host, ref);
  else i32[idx] = META_FREE | (next >>> GEN_SHIFT);
  i32[host.ppRefAt + idx] = 0;
  const put = offerToProvider(pool, next);
  const release = (i32[pool.at + RELEASE]! + 1) | 0;
  i32[pool.at + RELEASE] = release;
  pool.tracer?.release?.(ref, release >>> 0);
  if (!put) return;
  unmapNetmem(pool, idx);
  makePlain(host, next);
  putNetmem(host, next);
}

/**
 * Whether the provider wants the core to free the buffer. One that breaks its contract here gets a warning and the
 * buffer: the caller's put was right, and a pool on its way out must not stop half-way.
 */
function offerToProvider(pool: PoolState, ref: NetmemRef): boolean {
  try {
    const put = pool.provider!.releaseNetmem(pool, ref);
    if (!put || (ref & 1) === 0) return put;
    warnRelease(pool, ref, "a net_iov is no page to be freed");
  } catch (error) {
    warnRelease(pool, ref, String(error));
  }
  return false;
}

function warnRelease(pool: PoolState, ref: NetmemRef, what: string): void {
  const name = pool.provider?.name ?? "";
  pool.host.warn("WARN_NETMEM_PROVIDER_RELEASE", `provider ${name}, ref 0x${ref.toString(16)}: ${what}`);
}

/** Empties the alloc cache to the allocator. Counted as neither `fast` nor anything else. */
export function flushCache(pool: PoolState, stackAt: number): void {
  const i32 = pool.i32;
  const count = i32[pool.at]!;
  for (let n = count - 1; n >= 0; n--) {
    i32[pool.at] = n;
    releaseFromPool(pool, i32[stackAt + n]! as NetmemRef);
  }
  add(i32, pool.countersAt + C_POPPED, count);
}
