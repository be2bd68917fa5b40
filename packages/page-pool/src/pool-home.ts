/*
 * What a pool holds of the arena besides buffers: an owner record, a ring, and a block of words that its record names. With
 * the counters in that block stands everything that another thread needs to take the pool over:
 *
 *  countersAt + 25  S_RING      word offset of the ring
 *             + 26  S_RING_SIZE
 *             + 27  S_POOL_ID
 *             + 28  S_SHAPE     node + 1, flags, DMA direction, order: a byte each
 *             + 29  S_IFINDEX
 *             + 30  S_PROVIDER  id + 1, 0 for the page allocator
 */
import { type DmaDir, type Host, type MemoryProviderOps, type MemOwner, OWN_STATE_AT } from "@netmem/core";
import { PtrRing } from "@netmem/ring";
import { COUNTER_WORDS } from "./counters.ts";
import type { ResolvedParams } from "./params.ts";
import type { PoolState } from "./pool-state.ts";

export const S_RING: number = COUNTER_WORDS;
export const S_RING_SIZE: number = S_RING + 1;
export const S_POOL_ID: number = S_RING + 2;
export const S_SHAPE: number = S_RING + 3;
export const S_IFINDEX: number = S_RING + 4;
export const S_PROVIDER: number = S_RING + 5;
const STATE_WORDS: number = S_RING + 6;

/** What a pool is, as far as whoever takes it over must know. */
export type PoolShape = Pick<ResolvedParams, "nid" | "flags" | "dmaDir" | "order">;

function packShape({ nid, flags, dmaDir, order }: PoolShape): number {
  return ((nid + 1) << 24) | (flags << 16) | (dmaDir << 8) | order;
}

export function unpackShape(word: number): PoolShape {
  const dmaDir = ((word >>> 8) & 0xff) as DmaDir;
  return { nid: (word >>> 24) - 1, flags: (word >>> 16) & 0xff, dmaDir, order: word & 0xff };
}

/** What a pool holds of the host besides buffers. */
export interface PoolHome {
  readonly ring: PtrRing;
  readonly countersAt: number;
  readonly ownerId: number;
}

/** Takes an owner record, counters and the ring; nothing stays taken when one of them cannot be had. */
export function claimHome(
  host: Host,
  owner: MemOwner,
  params: ResolvedParams,
  provider: MemoryProviderOps | null,
): PoolHome {
  const ownerId = host.owners.claim(owner);
  let countersAt = 0;
  try {
    countersAt = host.heap.allocWords(STATE_WORDS);
    const ring = new PtrRing(host, params.ringSize);
    describeHome(host, { ownerId, countersAt, ring }, params, provider);
    return { ownerId, countersAt, ring };
  } catch (error) {
    if (countersAt !== 0) host.heap.freeWords(countersAt, STATE_WORDS);
    host.owners.release(ownerId);
    throw error;
  }
}

/** Gives them back. */
export function releaseHome(pool: PoolState): void {
  const { host } = pool;
  pool.ring.dispose();
  host.heap.freeWords(pool.countersAt, STATE_WORDS);
  host.owners.release(pool.ownerId);
}

function describeHome(host: Host, home: PoolHome, params: ResolvedParams, provider: MemoryProviderOps | null): void {
  const { i32 } = host;
  const at = home.countersAt;
  i32[at + S_RING] = home.ring.at;
  i32[at + S_RING_SIZE] = params.ringSize;
  i32[at + S_SHAPE] = packShape(params);
  i32[at + S_IFINDEX] = params.ifindex;
  i32[at + S_PROVIDER] = provider === null ? 0 : host.providers.idOf(provider) + 1;
  i32[host.owners.recordAt(home.ownerId) + OWN_STATE_AT] = at;
}
