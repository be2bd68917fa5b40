import { IDX_MASK, META_OUT, META_OWNER_SHIFT, META_STATE_MASK, type Napi, type NetmemRef } from "@netmem/core";
import { checkPoolInvariants, type PagePool } from "../../src/index.ts";
import { FRAG_REF } from "../../src/pool-state.ts";
import { books } from "../fixture.ts";

/** A buffer that users hold, as the model sees it. */
export interface Buffer {
  readonly home: PoolLedger;
  ref: NetmemRef;
  /** Pool-level references that users hold; 0 only for a fragment page without users. */
  pieces: number;
  /** Page references beyond the pool's own. */
  pageRefs: number;
  pfmemalloc: boolean;
  /** Where the pieces lie; kept at the debug level only, where they are returned by `putFrag`. */
  readonly offsets: number[];
}

/** A page that left its pool while others held it. */
export interface Plain {
  readonly ref: NetmemRef;
  refs: number;
}

/** What the model expects of one pool. */
export class PoolLedger {
  readonly pool: PagePool;
  readonly debug: boolean;
  readonly niov: boolean;
  readonly mapped: boolean;
  readonly byThread: boolean;
  frag: Buffer | null = null;
  /** Successful allocations; a fragment page that started over is one. */
  allocs = 0;
  /** Allocations that the provider served itself. */
  provided = 0;
  /** Puts of a last reference. */
  puts = 0;
  inPlace = 0;
  /** Buffers that bulk puts dropped beyond the one per round that `ring_full` counts. */
  bulkDrops = 0;
  destroyed = false;
  promote = true;
  napi: Napi | null;
  cpuid: number;
  memId = 0;
  disconnects = 0;
  dels = 0;
  providerDestroys = 0;

  constructor(pool: PagePool, napi: Napi | null) {
    this.pool = pool;
    this.napi = napi;
    this.cpuid = pool.params.cpuid;
    this.debug = pool.debug !== null;
    this.niov = pool.provider !== null;
    this.mapped = pool.dmaMap && !this.niov;
    this.byThread = pool.byThread;
  }
}

export function fail(what: string): never {
  throw new Error(`model: ${what}`);
}

export function check(ok: boolean, what: () => string): void {
  if (!ok) fail(what());
}

export function idxOfRef(ref: number): number {
  return (ref >>> 1) & IDX_MASK;
}

/** Whether nobody beyond the pool-level holders has the buffer. */
export function isRecyclable(buffer: Buffer): boolean {
  return buffer.home.niov || (buffer.pageRefs === 0 && !buffer.pfmemalloc);
}

/** I1 to I6 of one pool that is not gone, from the model's side. */
export function checkPool(ledger: PoolLedger, outside: number): void {
  const { pool } = ledger;
  checkPoolInvariants(pool);
  const name = pool.name;
  const fragRef = ledger.frag?.ref ?? 0;
  check(
    pool.i32[pool.at + FRAG_REF] === fragRef,
    () => `${name}: fragment page ${fragRef}, not ${pool.i32[pool.at + FRAG_REF]}`,
  );
  const book = books(pool) as Record<BookName, number>;
  const quarantined = pool.debug?.quarantinedCount ?? 0;
  const inside = book.inCache + book.inRing + (fragRef === 0 ? 0 : 1) + quarantined;
  check(
    pool.inflight() === inside + outside,
    () => `I1 of ${name}: ${pool.inflight()} in flight, ${inside} inside, ${outside} outside`,
  );
  const served = book.fast + book.refill + book.slow + book.slowHighOrder + ledger.provided;
  check(served === ledger.allocs, () => `I4 of ${name}: ${ledger.allocs} allocations, ${served} counted`);
  check(
    book.cacheFull <= book.ring + book.ringFull + ledger.bulkDrops,
    () => `I5 of ${name}: cache_full ${book.cacheFull}`,
  );
  const sorted = book.cached + book.ring + book.ringFull + book.releasedRefcnt + quarantined + ledger.bulkDrops;
  const flushed = ledger.debug && ledger.destroyed;
  check(
    flushed || sorted === ledger.puts + ledger.inPlace,
    () => `I5 of ${name}: ${ledger.puts} puts + ${ledger.inPlace}, ${sorted} counted`,
  );
  check(
    (pool.life.drainWaiters?.size ?? 0) === 0 || outside > 0 || (ledger.frag?.pieces ?? 0) > 0,
    () => `${name} drained and nobody was told`,
  );
  check(ledger.dels + ledger.disconnects + ledger.providerDestroys === 0, () => `I8 of ${name}: ended while in flight`);
}

export type BookName =
  | "fast"
  | "slow"
  | "slowHighOrder"
  | "empty"
  | "refill"
  | "waive"
  | "cached"
  | "cacheFull"
  | "ring"
  | "ringFull"
  | "releasedRefcnt"
  | "hold"
  | "rel"
  | "inCache"
  | "inRing";

/** Every buffer in state "out" of a pool's is one of the model's, and the other way round: identity, I3. */
export function checkTable(pools: readonly PoolLedger[], expected: Int32Array, live: number): void {
  const host = pools[0]?.pool.host;
  if (host === undefined) return;
  const owners = new Set(pools.map(({ pool }) => pool.ownerId));
  const { firstPageIdx, maxNetmems } = host.layout;
  let found = 0;
  for (let idx = firstPageIdx; idx < maxNetmems; idx++) {
    const meta = host.i32[idx]!;
    if ((meta & META_STATE_MASK) !== META_OUT || !owners.has(meta >>> META_OWNER_SHIFT)) continue;
    found++;
    const ref = expected[idx]!;
    check(ref !== 0 && ref >>> 21 === (meta & 0x1ff), () => `index ${idx} is out and the model has ref ${ref} for it`);
  }
  check(found === live, () => `${found} buffers are out, the model has ${live}`);
}
