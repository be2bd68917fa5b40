import {
  compoundHead,
  failBulkEntry,
  failReturn,
  flushReturns,
  GEN_SHIFT,
  holdReturns,
  type Host,
  IDX_MASK,
  MemType,
  META_GEN_MASK,
  META_OUT,
  META_OWNER_SHIFT,
  META_SHARED,
  META_STATE_MASK,
  type NetmemRef,
  returnNetmem,
  unrefNetmem,
} from "@netmem/core";
import { bump, C_RELEASED_REFCNT, C_RING_FULL } from "./counters.ts";
import { BULK_QUEUE_SIZE } from "./limits.ts";
import { type PoolState, SlowBit } from "./pool-state.ts";
import { afterPut, arm, failHardirq, isDirect, isRecyclable, pushCache } from "./put-slow.ts";
import { releaseFromPool } from "./release.ts";

const LIVE_MASK = META_STATE_MASK | META_GEN_MASK;

/** One chunk of a bulk put: survivors of the reference drop, in order. A negative entry is not recyclable. */
interface Chunk {
  readonly refs: Int32Array;
  readonly ownerIds: Int32Array;
  readonly ringed: Int32Array;
  count: number;
  /** Index of the caller's entry that is being looked at. */
  entryIdx: number;
}

/** Scratch of {@link putBulkSlow}; one per pool, so that a call allocates nothing. */
export function createBulkChunk(): Chunk {
  const words = (): Int32Array => new Int32Array(BULK_QUEUE_SIZE);
  return { refs: words(), ownerIds: words(), ringed: words(), count: 0, entryIdx: 0 };
}

export type BulkChunk = Chunk;

/**
 * Puts `refs[from..count)` home, pool by pool, in chunks of 16 (`page_pool_put_netmem_bulk`). Entries may belong to any
 * page pools of the host.
 */
export function putBulkSlow(host: Host, chunk: Chunk, refs: Int32Array, from: number, count: number): void {
  if (host.context.hardirq) failHardirq();
  holdReturns(host);
  try {
    putChunks(host, chunk, refs, from, count);
  } finally {
    flushReturns(host);
  }
}

function putChunks(host: Host, chunk: Chunk, refs: Int32Array, from: number, count: number): void {
  for (let start = from; start < count; start += BULK_QUEUE_SIZE) {
    const end = Math.min(start + BULK_QUEUE_SIZE, count);
    const error = collectUntilError(host, chunk, refs, start, end);
    for (let first = 0; first < chunk.count; first++) {
      if (chunk.ownerIds[first] !== 0) putRound(host, chunk, first);
    }
    if (error !== null) failBulkEntry(error, chunk.entryIdx);
  }
}

/** What {@link collect} threw, null for nothing: entries before the bad one must still go home. */
function collectUntilError(host: Host, chunk: Chunk, refs: Int32Array, start: number, end: number): unknown {
  try {
    collect(host, chunk, refs, start, end);
    return null;
  } catch (error) {
    return error;
  }
}

/** Drops one reference of each entry and keeps the survivors, armed. Throws at the first bad entry. */
function collect(host: Host, chunk: Chunk, refs: Int32Array, start: number, end: number): void {
  chunk.count = 0;
  for (let i = start; i < end; i++) {
    chunk.entryIdx = i;
    const ref = headOf(host, refs[i]! as NetmemRef);
    const pool = poolOf(host, ref);
    if (pool === null) {
      putAway(host, ref);
      continue;
    }
    const shared = (host.i32[(ref >>> 1) & IDX_MASK]! & META_SHARED) !== 0;
    const left = shared ? unrefNetmem(host, ref, 1) : 0;
    if (left < 0) failReturn(host, ref, pool.ownerId);
    if (left === 0) keep(pool, chunk, ref);
    else afterPut(pool);
  }
}

/** A buffer of another thread's pool goes there; anything else is a mistake. */
function putAway(host: Host, ref: NetmemRef): void {
  const meta = host.i32[(ref >>> 1) & IDX_MASK]!;
  const ownerId = meta >>> META_OWNER_SHIFT;
  const isLive = ref > 0 && (meta & LIVE_MASK) === (META_OUT | (ref >>> GEN_SHIFT));
  const isAway = host.owners.get(ownerId) === null && host.owners.threadOf(ownerId) >= 0;
  if (!isLive || !isAway || host.owners.typeOf(ownerId) !== MemType.PagePool) failReturn(host, ref, 0);
  returnNetmem(host, ref);
}

function keep(pool: PoolState, chunk: Chunk, ref: NetmemRef): void {
  chunk.ownerIds[chunk.count] = pool.ownerId;
  if (!isRecyclable(pool, ref)) {
    chunk.refs[chunk.count++] = -ref;
    return;
  }
  const kept = pool.debug === null ? ref : pool.debug.onPut(ref);
  if (kept === 0) return afterPut(pool);
  if ((pool.slow & SlowBit.DmaSync) !== 0) pool.dma?.syncForDevice(kept, -1);
  chunk.refs[chunk.count++] = arm(pool, kept);
}

/** A tail page stands for its block. */
function headOf(host: Host, ref: NetmemRef): NetmemRef {
  const meta = host.i32[(ref >>> 1) & IDX_MASK]!;
  if (ref <= 0 || (meta & META_STATE_MASK) !== 0) return ref;
  const head = compoundHead(host, ref);
  return head === 0 ? ref : head;
}

function poolOf(host: Host, ref: NetmemRef): PoolState | null {
  const meta = host.i32[(ref >>> 1) & IDX_MASK]!;
  if (ref <= 0 || (meta & LIVE_MASK) !== (META_OUT | (ref >>> GEN_SHIFT))) return null;
  const owner = host.owners.get(meta >>> META_OWNER_SHIFT);
  return owner !== null && owner.memType === MemType.PagePool ? (owner as unknown as PoolState) : null;
}

/** Everything of the chunk that belongs to the pool of entry `first`. The context is judged once per round. */
function putRound(host: Host, chunk: Chunk, first: number): void {
  const ownerId = chunk.ownerIds[first]!;
  const pool = host.owners.get(ownerId) as unknown as PoolState;
  const direct = isDirect(pool, false);
  let ringed = 0;
  for (let i = first; i < chunk.count; i++) {
    if (chunk.ownerIds[i] !== ownerId) continue;
    chunk.ownerIds[i] = 0;
    const next = chunk.refs[i]! as NetmemRef;
    if (next < 0) {
      bump(pool.i32, pool.countersAt + C_RELEASED_REFCNT);
      releaseFromPool(pool, -next as NetmemRef);
    } else if (!direct || !pushCache(pool, next)) {
      chunk.ringed[ringed++] = next;
    }
  }
  putRingBulk(pool, chunk.ringed, ringed);
  afterPut(pool);
}

/** `ring_full` counts once per round, however many did not fit. */
function putRingBulk(pool: PoolState, refs: Int32Array, count: number): void {
  let n = 0;
  while (n < count && pool.ring.produce(refs[n]!)) n++;
  if (n === count) return;
  bump(pool.i32, pool.countersAt + C_RING_FULL);
  for (; n < count; n++) releaseFromPool(pool, refs[n]! as NetmemRef);
}
