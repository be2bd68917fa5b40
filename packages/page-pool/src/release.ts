import {
  GEN_ONE as GEN_ONE_,
  GEN_SHIFT as GEN_SHIFT_,
  IDX_MASK as IDX_MASK_,
  makePlain,
  META_FREE,
  type NetmemRef,
  OWN_HOLD as OWN_HOLD_,
  OWN_RELEASE as OWN_RELEASE_,
  OWN_STACK as OWN_STACK_,
  putNetmem,
  REF_MASK as REF_MASK_,
} from "@netmem/core";
import { add, C_POPPED } from "./counters.ts";
import type { PoolState } from "./pool-state.ts";

const GEN_ONE = GEN_ONE_;
const GEN_SHIFT = GEN_SHIFT_;
const IDX_MASK = IDX_MASK_;
const REF_MASK = REF_MASK_;
const HOLD = OWN_HOLD_;
const RELEASE = OWN_RELEASE_;
const STACK = OWN_STACK_;

/** A power of two below the size of any page. */
const CLEARED_BY_FILL = 256;

/** Zeroes a buffer that is about to enter a pool with `clearOnEntry`, before the device sees it. */
export function clearForEntry(pool: PoolState, ref: NetmemRef): void {
  const { host, bufferBytes } = pool;
  if (!pool.params.clearOnEntry || !host.isReadable(ref)) return;
  const { u8 } = host;
  const from = host.offsetOf(ref);
  // V8 fills shared memory byte by byte (520 ns for a page) but copies it in blocks (130).
  u8.fill(0, from, from + CLEARED_BY_FILL);
  for (let done = CLEARED_BY_FILL; done < bufferBytes; done *= 2) u8.copyWithin(from + done, from, from + done);
}

/** Puts a buffer on the pool's books: marks and counters. Its meta word becomes "pooled". Returns the hold count. */
export function enterBooks(pool: PoolState, ref: NetmemRef): number {
  const i32 = pool.i32;
  const idx = (ref >>> 1) & IDX_MASK;
  i32[idx] = pool.pooledTag | (ref >>> GEN_SHIFT);
  i32[pool.host.ppRefAt + idx] = 0;
  return (i32[pool.at + HOLD] = (i32[pool.at + HOLD]! + 1) | 0);
}

/** Puts a buffer on the pool's books and shows it to the hooks. When one throws the buffer is on the books already. */
export function enterPool(pool: PoolState, ref: NetmemRef): void {
  const hold = enterBooks(pool, ref);
  pool.params.initCallback?.(ref);
  pool.tracer?.hold?.(ref, hold >>> 0);
}

/**
 * Gives a buffer back to where the pool got it (`page_pool_return_netmem`). `ref` is its current reference: armed when
 * it comes from the cache or the ring, the caller's when it is still out.
 */
export function releaseFromPool(pool: PoolState, ref: NetmemRef): void {
  const i32 = pool.i32;
  pool.debug?.forget((ref >>> 1) & IDX_MASK);
  if (pool.provider !== null) return releaseToProvider(pool, ref);
  unmapPage(pool, ref);
  const release = (i32[pool.at + RELEASE]! + 1) | 0;
  i32[pool.at + RELEASE] = release;
  makePlain(pool.host, ref);
  putNetmem(pool.host, ref);
  pool.tracer?.release?.(ref, release >>> 0);
}

/** Takes a page's mapping away, if it has one of the pool's. A device that throws is warned about: the page goes its way. */
export function unmapPage(pool: PoolState, ref: NetmemRef): void {
  if (pool.dma === null) return;
  try {
    pool.dma.unmap((ref >>> 1) & IDX_MASK);
  } catch (error) {
    warnUnmap(pool, error);
  }
}

export function warnUnmap(pool: PoolState, error: unknown): void {
  pool.host.warn("WARN_NETMEM_DMA_UNMAP", `${pool.params.name} ${pool.id}: ${String(error)}`);
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
  if (put) {
    i32[host.dmaAt + idx] = 0;
    makePlain(host, next);
    putNetmem(host, next);
  }
  pool.tracer?.release?.(ref, release >>> 0);
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

/** Gives up to `max` buffers of the alloc cache back, newest first. Counted as neither `fast` nor anything else. */
export function popCache(pool: PoolState, max: number): number {
  const i32 = pool.i32;
  const popped = pool.countersAt + C_POPPED;
  let n = 0;
  for (; n < max && i32[pool.at]! > 0; n++) {
    const count = i32[pool.at]! - 1;
    i32[pool.at] = count;
    add(i32, popped, 1);
    releaseFromPool(pool, i32[pool.at + STACK + count]! as NetmemRef);
  }
  return n;
}
