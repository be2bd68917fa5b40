/*
 * data path
 *
 * One class, never extended: a live subclass doubles the cost for everybody. The alloc cache is the owner record's
 * stack, so the table-driven return dispatch of core pushes into it without knowing what a page pool is.
 *
 * The cache holds *armed* references (next generation), so an allocation writes the meta word without reading it. One
 * compare of it on put proves owner, state, generation and "not shared"; everything unusual ends in put-slow.ts.
 */
import {
  type Context,
  type DmaDir,
  GEN_ONE as GEN_ONE_,
  GEN_SHIFT as GEN_SHIFT_,
  type Host,
  IDX_MASK as IDX_MASK_,
  isPage,
  type MemAllocator,
  type MemOwner,
  type MemoryProviderOps,
  MemType,
  META_OWNER_SHIFT,
  META_SHARED,
  type Napi,
  type NetmemRef,
  NetmemState,
  OWN_LEFT as OWN_LEFT_,
  OWN_LIMIT as OWN_LIMIT_,
  OWN_STACK as OWN_STACK_,
  ownerTag,
  type PageRef,
  type PoolHandle,
  type QueueAllocator,
  REF_MASK as REF_MASK_,
  refNetmem,
  type RxQueueInfo,
} from "@netmem/core";
import { type PtrRing, ptrRingProduce as ptrRingProduce_ } from "@netmem/ring";
import { allocAfter, allocSlow, failShort } from "./alloc-slow.ts";
import { allocWait, type AllocWaitOptions } from "./alloc-wait.ts";
import { FOLD } from "./counters.ts";
import { describePool, type PagePoolInfo } from "./introspection.ts";
import { allocFrag as allocFrag_, allocSized, allocVa } from "./frag.ts";
import { outsideRefs } from "./holders.ts";
import { inflightOf } from "./inflight.ts";
import { checkPoolInvariants } from "./invariants.ts";
import { ASYNC_DISPOSE_TIMEOUT_MS, refillCountFor } from "./limits.ts";
import { destroyPool, drained, type DrainOptions } from "./lifecycle.ts";
import { PagePoolFlag, type ResolvedParams } from "./params.ts";
import { PoolDebug } from "./pool-debug.ts";
import type { PoolDma } from "./pool-dma.ts";
import { failNotPage } from "./pool-errors.ts";
import { claimHome, type PoolHome } from "./pool-home.ts";
import { createPoolLife, type PoolLife, type PoolTracer, SlowBit } from "./pool-state.ts";
import { type BulkChunk, createBulkChunk, putBulkSlow } from "./put-bulk.ts";
import { dropRingFull, isDirect as isDirect_, pushCache, putSlow, putUnrefed } from "./put-slow.ts";
import { checkFragment, fragment, liveRefAt, unref } from "./references.ts";
import { updateNid } from "./numa.ts";
import { releaseFromPool } from "./release.ts";
import { returnRemote } from "./remote.ts";
import { applyMode } from "./slow-mode.ts";
import { addRegistration, addUser, disableDirect, enableDirect } from "./users.ts";
import { addStats, createPagePoolStats, type PagePoolStats } from "./stats.ts";

const GEN_ONE = GEN_ONE_;
const GEN_SHIFT = GEN_SHIFT_;
const IDX_MASK = IDX_MASK_;
const REF_MASK = REF_MASK_;
const SHARED = META_SHARED;
const ptrRingProduce = ptrRingProduce_;
const isDirect = isDirect_;
const LEFT = OWN_LEFT_;
const LIMIT = OWN_LIMIT_;
const STACK = OWN_STACK_;
const allocFrag = allocFrag_;

/**
 * A recycling allocator of pages or net_iovs for one receive queue (kernel: `struct page_pool`). Made by
 * `createPagePool`; all methods belong to the thread that made it.
 */
export class PagePool implements PoolHandle, MemOwner, MemAllocator, QueueAllocator {
  // "declare": see docs/decisions/0007. Hot fields first.
  declare readonly i32: Int32Array;
  /** @internal */ declare at: number;
  /** @internal */ declare outTag: number;
  /** @internal */ declare readonly pooledTag: number;
  /** @internal */ declare directLimit: number;
  /** @internal */ declare slow: number;
  /** @internal */ declare readonly ringAt: number;
  /** @internal */ declare readonly ring: PtrRing;
  /** @internal */ declare readonly countersAt: number;
  /** @internal */ declare readonly byThread: boolean;
  /** @internal */ declare promote: boolean;
  /** @internal */ declare readonly cacheSize: number;
  /** @internal */ declare readonly refillCount: number;
  /** Bytes per buffer. */
  declare readonly bufferBytes: number;
  /** Byte offset of the last fragment, until the next call. */
  declare lastOffset: number;
  /** Usable bytes of the last `alloc`, until the next call. */
  declare lastSize: number;
  declare readonly host: Host;
  declare readonly params: ResolvedParams;
  declare readonly order: number;
  declare nid: number;
  declare readonly dmaDir: DmaDir;
  declare readonly dmaMap: boolean;
  declare dmaSync: boolean;
  declare dmaSyncCpu: boolean;
  declare readonly rxq: RxQueueInfo | null;
  declare readonly context: Context;
  declare readonly name: string;
  declare readonly memType: number;
  declare id: number;
  declare readonly ownerId: number;
  /** @internal */ declare readonly provider: MemoryProviderOps | null;
  /** @internal */ declare readonly debug: PoolDebug | null;
  /** @internal */ declare dma: PoolDma | null;
  /** @internal */ declare readonly scratch: Int32Array;
  /** @internal */ declare napi: Napi | null;
  /** @internal */ declare cpuid: number;
  /** @internal */ declare userCount: number;
  /** @internal */ declare freed: boolean;
  /** @internal */ declare readonly life: PoolLife;
  /** @internal */ declare memId: number;
  /** @internal */ declare disconnect: (() => void) | null;
  /** Hooks on the pool's books, null for none. They cost nothing on the fast path. */
  declare tracer: PoolTracer | null;
  /** @internal */ declare onDrained: (() => void) | null;
  /** @internal */ declare onFreed: (() => void) | null;
  declare private chunk: BulkChunk | null;
  declare private readonly proof: boolean;

  /** @internal Use `createPagePool`. */
  constructor(host: Host, params: ResolvedParams, provider: MemoryProviderOps | null, adopted: PoolHome | null) {
    this.memType = MemType.PagePool;
    this.name = params.name;
    const home = adopted ?? claimHome(host, this, params, provider);
    const refillCount = refillCountFor(host.pageSizeBytes);
    this.i32 = host.i32;
    this.at = host.owners.recordAt(home.ownerId);
    this.outTag = ownerTag(home.ownerId, NetmemState.Out);
    this.pooledTag = ownerTag(home.ownerId, NetmemState.Pooled);
    this.directLimit = 0;
    this.slow = 0;
    this.ringAt = home.ring.at;
    this.ring = home.ring;
    this.countersAt = home.countersAt;
    this.byThread = params.directRecycle === "ownerThread";
    this.promote = true;
    this.cacheSize = refillCount * 2;
    this.refillCount = refillCount;
    this.bufferBytes = 1 << (host.pageShift + params.order);
    this.lastOffset = 0;
    this.lastSize = 0;
    this.host = host;
    this.params = params;
    this.order = params.order;
    this.nid = params.nid;
    this.dmaDir = params.dmaDir;
    this.dmaMap = (params.flags & PagePoolFlag.DmaMap) !== 0;
    this.dmaSync = (params.flags & PagePoolFlag.DmaSyncDev) !== 0;
    this.dmaSyncCpu = true;
    this.rxq = params.rxq;
    this.context = host.context;
    this.id = 0;
    this.ownerId = home.ownerId;
    this.provider = provider;
    this.debug = params.debug
      ? new PoolDebug(host, home.ownerId, params.order, (ref) => releaseFromPool(this, ref))
      : null;
    this.dma = null;
    this.scratch = new Int32Array(refillCount);
    this.napi = params.napi;
    this.cpuid = params.cpuid;
    this.userCount = 1;
    this.freed = false;
    this.life = createPoolLife();
    this.memId = 0;
    this.disconnect = null;
    this.tracer = null;
    this.onDrained = null;
    this.onFreed = null;
    this.chunk = null;
    this.proof = host.level === "proof";
    this.i32[this.at + LEFT] = FOLD;
    applyMode(this);
  }

  /**
   * One buffer, 0 when exhausted. The caller returns it once, here or through `returnNetmem`.
   * @throws `ERR_NETMEM_POOL_DESTROYED`, `ERR_NETMEM_PROVIDER_GARBAGE`. Cost: 2 ns from the cache.
   */
  allocNetmem(): NetmemRef | 0 {
    const i32 = this.i32;
    const at = this.at;
    const count = i32[at]!;
    const left = i32[at + LEFT]!;
    if (count === 0 || left === 0) return this.allocUnusual();
    i32[at] = count - 1;
    i32[at + LEFT] = left - 1;
    const ref = i32[at + (STACK - 1) + count]!;
    i32[(ref >>> 1) & IDX_MASK] = this.outTag | (ref >>> GEN_SHIFT);
    return ref as NetmemRef;
  }

  /**
   * As {@link allocNetmem} for pools of pages (`page_pool_alloc_pages`).
   * @throws `ERR_NETMEM_NOT_A_PAGE` when the provider gives net_iovs; the buffer is back in the pool then.
   */
  allocPages(): PageRef | 0 {
    const ref = this.allocNetmem();
    if (ref === 0) return 0;
    if (isPage(ref)) return ref;
    this.put(ref, -1, true);
    return failNotPage(this);
  }

  /**
   * Up to `max` buffers into `out[0..n)`; returns n. Short only when memory is. Cost: 1 ns per buffer from the cache.
   * @throws as {@link allocNetmem}, and `ERR_NETMEM_INVALID_PARAM` when `out` is too short; nothing was allocated then.
   */
  allocBulk(out: Int32Array, max: number): number {
    if (max > out.length) failShort(out, max);
    const i32 = this.i32;
    const at = this.at;
    const tag = this.outTag;
    let n = 0;
    while (n < max) {
      const count = i32[at]!;
      const left = i32[at + LEFT]!;
      if (count === 0 || left < max) {
        const ref = allocAfter(this, out, n);
        if (ref === 0) break;
        out[n++] = ref;
        continue;
      }
      const take = count < max - n ? count : max - n;
      for (let from = at + STACK + count - 1, end = from - take; from > end; from--) {
        const ref = i32[from]!;
        i32[(ref >>> 1) & IDX_MASK] = tag | (ref >>> GEN_SHIFT);
        out[n++] = ref;
      }
      i32[at] = count - take;
      i32[at + LEFT] = left - take;
    }
    return n;
  }

  /**
   * A piece of `sizeBytes` of a shared page, offset in {@link lastOffset} (`page_pool_alloc_frag`). 0 when exhausted, or,
   * with a warning, when `sizeBytes` is larger than a buffer. Every piece is returned by one put of the reference.
   */
  allocFrag(sizeBytes: number): NetmemRef | 0 {
    return allocFrag(this, sizeBytes);
  }

  /**
   * A fragment or, when it would waste more than half, a whole buffer: offset in {@link lastOffset}, usable bytes in
   * {@link lastSize} (`page_pool_alloc`).
   */
  alloc(sizeBytes: number): NetmemRef | 0 {
    return allocSized(this, sizeBytes);
  }

  /**
   * As {@link alloc}, as an arena byte offset (`page_pool_alloc_va`); 0 when exhausted. Return it by {@link freeVa}.
   * @throws `ERR_NETMEM_NOT_A_PAGE` when the provider gives net_iovs; nothing stays allocated.
   */
  allocVa(sizeBytes: number): number {
    return allocVa(this, sizeBytes);
  }

  /** Returns the piece or buffer that holds the arena byte at `offset` (`page_pool_free_va`). */
  freeVa(offset: number, allowDirect: boolean): void {
    const ref = liveRefAt(this, offset);
    checkFragment(this, ref, offset - this.host.offsetOf(ref));
    this.put(ref, -1, allowDirect);
  }

  /** Returns one fragment by its place; at the debug level a second return of the same fragment is certain to throw. */
  putFrag(ref: NetmemRef, offsetBytes: number, allowDirect: boolean): void {
    checkFragment(this, ref, offsetBytes);
    this.put(ref, -1, allowDirect);
  }

  /**
   * Returns one reference (`page_pool_put_netmem`). `dmaSyncSize`: bytes the device may have to see again, -1 for all.
   * `allowDirect` promises the context of the pool's NAPI.
   *
   * @throws a misuse error (`ERR_NETMEM_DOUBLE_PUT`, `..._STALE_REF`, `..._FOREIGN_PUT`, `..._HARDIRQ`); nothing changed.
   */
  put(ref: NetmemRef, dmaSyncSize: number, allowDirect: boolean): void {
    const i32 = this.i32;
    const idx = (ref >>> 1) & IDX_MASK;
    const at = this.at;
    const count = i32[at]!;
    const limit = allowDirect ? this.directLimit : i32[at + LIMIT]!;
    if (i32[idx] !== (this.outTag | (ref >> GEN_SHIFT))) return this.putUnusual(ref, dmaSyncSize, allowDirect);
    if (count >= limit) return this.putUncached(ref, dmaSyncSize, allowDirect);
    const next = (ref + GEN_ONE) & REF_MASK;
    i32[idx] = this.pooledTag | (next >>> GEN_SHIFT);
    i32[at + STACK + count] = next;
    i32[at] = count + 1;
  }

  /** {@link put} with the kernel's page-pool name. */
  putPage(ref: NetmemRef, dmaSyncSize = -1, allowDirect = false): void {
    this.put(ref, dmaSyncSize, allowDirect);
  }

  /** Returns one reference, syncing everything (`page_pool_put_full_netmem`). */
  putFullPage(ref: NetmemRef, allowDirect = false): void {
    this.put(ref, -1, allowDirect);
  }

  /** Returns one reference from the pool's own poll (`page_pool_recycle_direct`). Cost: 2 ns. */
  recycleDirect(ref: NetmemRef): void {
    const i32 = this.i32;
    const idx = (ref >>> 1) & IDX_MASK;
    const at = this.at;
    const count = i32[at]!;
    if (i32[idx] !== (this.outTag | (ref >> GEN_SHIFT))) return this.putUnusual(ref, -1, true);
    if (count >= this.directLimit) return this.putUncached(ref, -1, true);
    const next = (ref + GEN_ONE) & REF_MASK;
    i32[idx] = this.pooledTag | (next >>> GEN_SHIFT);
    i32[at + STACK + count] = next;
    i32[at] = count + 1;
  }

  /**
   * Returns `refs[0..count)`; entries may belong to other page pools of the host (`page_pool_put_netmem_bulk`). Chunks
   * of 16, so `ringFull` counts once per chunk and pool.
   *
   * @throws a misuse error with `param` "refs[i]": entries before `i` are home, it and the rest stay with the caller.
   */
  putNetmemBulk(refs: Int32Array, count: number): void {
    const i32 = this.i32;
    const at = this.at;
    const tag = this.outTag;
    const limit = i32[at + LIMIT]!;
    let held = i32[at]!;
    let i = 0;
    for (; i < count && held < limit; i++) {
      const ref = refs[i]!;
      const idx = (ref >>> 1) & IDX_MASK;
      if (i32[idx] !== (tag | (ref >> GEN_SHIFT))) break;
      const next = (ref + GEN_ONE) & REF_MASK;
      i32[idx] = this.pooledTag | (next >>> GEN_SHIFT);
      i32[at + STACK + held] = next;
      held++;
    }
    i32[at] = held;
    if (i < count) putBulkSlow(this.host, (this.chunk ??= createBulkChunk()), refs, i, count);
    if (this.proof) checkPoolInvariants(this);
  }

  /** For callers that dropped the last pool-level reference themselves (`page_pool_put_unrefed_netmem`). */
  putUnrefed(ref: NetmemRef, dmaSyncSize: number, allowDirect: boolean): void {
    putUnrefed(this, ref, dmaSyncSize, allowDirect);
    if (this.proof) checkPoolInvariants(this);
  }

  /** Splits an exclusively held buffer into `n` references, each to be put once (`page_pool_fragment_netmem`). */
  fragmentNetmem(ref: NetmemRef, n: number): void {
    fragment(this, ref, n);
  }

  /** One more reference (`page_pool_ref_netmem`). */
  refNetmem(ref: NetmemRef): void {
    refNetmem(this.host, ref);
  }

  /**
   * Drops `n` references without recycling and returns how many remain (`page_pool_unref_netmem`). At 0 the caller must
   * call {@link putUnrefed} exactly once.
   */
  unrefNetmem(ref: NetmemRef, n: number): number {
    return unref(this, ref, n);
  }

  getDmaDir(): DmaDir {
    return this.params.dmaDir;
  }

  /** DMA page frame number of a buffer, 0 when it is not mapped or not this pool's. */
  getDmaAddr(ref: NetmemRef): number {
    const idx = (ref >>> 1) & IDX_MASK;
    // The page allocator keeps its links in the same column.
    if (!this.dmaMap || (this.i32[idx]! ^ this.outTag) >>> META_OWNER_SHIFT !== 0) return 0;
    return this.i32[this.host.dmaAt + idx]!;
  }

  /**
   * Shows the CPU `lenBytes` that the device wrote, from `offsetBytes` on, not counting the pool's own `offsetBytes`
   * (`page_pool_dma_sync_netmem_for_cpu`). Nothing to do for a coherent device.
   */
  dmaSyncForCpu(ref: NetmemRef, offsetBytes: number, lenBytes: number): void {
    if (this.dma !== null) this.dma.syncForCpu(this.getDmaAddr(ref), offsetBytes, lenBytes);
  }

  /** Buffers that left the allocator: in cache, ring, fragment page and with users (`page_pool_inflight`). */
  inflight(): number {
    return inflightOf(this);
  }

  /** Adds the eleven counters to `into` (a fresh record by default) and returns it. */
  getStats(into: PagePoolStats = createPagePoolStats()): PagePoolStats {
    addStats(this, into);
    return into;
  }

  /** The record that introspection shows. */
  describe(): PagePoolInfo {
    return describePool(this);
  }

  /** References of up to `max` buffers that users hold, the fragment page included. Slow. */
  outside(max = 64): NetmemRef[] {
    return outsideRefs(this, max);
  }

  /** Notes at the debug level who has a buffer; free otherwise. */
  touch(ref: NetmemRef, tag: string): void {
    this.debug?.touch(ref, tag);
  }

  /**
   * Ties the pool to a NAPI (`page_pool_enable_direct_recycling`). No-op for the same one.
   * @throws `ERR_NETMEM_NAPI_SET` when another is set, `ERR_NETMEM_INVALID_PARAM` for none.
   */
  enableDirectRecycling(napi: Napi): void {
    enableDirect(this, napi);
  }

  /** Unties it: only puts that promise direct context use the cache (`page_pool_disable_direct_recycling`). */
  disableDirectRecycling(): void {
    disableDirect(this);
  }

  /** Moves the pool to a memory node, -1 for the running CPU's (`page_pool_update_nid`): gives the alloc cache back. */
  updateNid(nid: number): void {
    updateNid(this, nid);
    if (this.proof) checkPoolInvariants(this);
  }

  /** The same if it is another node (`page_pool_nid_changed`): for the start of every poll. */
  nidChanged(nid: number): void {
    if (nid !== this.nid) this.updateNid(nid);
  }

  /**
   * One more control-path user; each calls {@link destroy} once (`page_pool_get`).
   * @throws `ERR_NETMEM_POOL_DESTROYED`
   */
  get(): this {
    addUser(this, "get()");
    return this;
  }

  /**
   * Drops a user; the last one takes the pool down. Buffers outside keep it listed as detached until they come home:
   * a tick every second looks. True when the pool is gone already (`page_pool_destroy`).
   */
  destroy(): boolean {
    return destroyPool(this);
  }

  /** Resolves when no user holds a buffer; a destroyed pool is gone by then. See `DrainOptions`. */
  drained(options: DrainOptions = {}): Promise<void> {
    return drained(this, options);
  }

  /** For the memory registry (`page_pool_use_xdp_mem`): a user, to be told at the end. @throws `ERR_NETMEM_POOL_DESTROYED` */
  useMem(memId: number, disconnect: () => void): void {
    addRegistration(this, memId, disconnect);
  }

  /**
   * One buffer, at once or with the put that frees one; see `AllocWaitOptions`. Costs puts nothing while nobody waits.
   * @throws (rejects) `ERR_NETMEM_ALLOC_TIMEOUT`, `..._ALLOC_ABORTED`, `..._POOL_DESTROYED`, or what the provider throws.
   */
  allocWait(options: AllocWaitOptions = {}): Promise<NetmemRef> {
    return allocWait(this, options);
  }

  /** What other threads returned comes home, to every owner of this thread (`Host.drainInbox`): for the end of a poll. */
  drainInbox(): number {
    return this.host.drainInbox();
  }

  /** Takes what another thread returned, as puts from remote context. Called by the host's inbox. */
  returnRemote(refs: Int32Array, from: number, end: number, worker: number): number {
    const count = returnRemote(this, refs, from, end, worker);
    if (this.proof && !this.freed) checkPoolInvariants(this);
    return count;
  }

  /** Slow path of the return dispatch. */
  returnSlow(ref: NetmemRef, allowDirect: boolean): void {
    this.put(ref, -1, allowDirect);
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.destroy();
    await drained(this, { timeoutMs: ASYNC_DISPOSE_TIMEOUT_MS });
  }

  /** @internal */ allocUnusual(): NetmemRef | 0 {
    const ref = allocSlow(this);
    if (this.proof) checkPoolInvariants(this);
    return ref;
  }

  /** Exclusively held, but the push limit says no: full, not direct, a sync to be made, or a slow mode. */
  private putUncached(ref: NetmemRef, dmaSyncSize: number, allowDirect: boolean): void {
    if (this.slow !== 0) {
      if (this.slow !== SlowBit.DmaSync) return this.putSlowly(ref, dmaSyncSize, allowDirect);
      this.dma!.syncForDevice(ref, dmaSyncSize);
    }
    const next = ((ref + GEN_ONE) & REF_MASK) as NetmemRef;
    this.i32[(ref >>> 1) & IDX_MASK] = this.pooledTag | (next >>> GEN_SHIFT);
    if (isDirect(this, allowDirect) && pushCache(this, next)) return;
    if (!ptrRingProduce(this.i32, this.ringAt, next)) dropRingFull(this, next);
  }

  /** The meta word differs: one of several holders lets go, or a mistake. */
  private putUnusual(ref: NetmemRef, dmaSyncSize: number, allowDirect: boolean): void {
    const i32 = this.i32;
    const idx = (ref >>> 1) & IDX_MASK;
    const extraAt = this.host.ppRefAt + idx;
    const shared =
      i32[idx] === (this.outTag | SHARED | (ref >> GEN_SHIFT)) && this.slow === 0 && this.host.threaded === 0;
    if (shared && i32[extraAt]! > 0) i32[extraAt] = i32[extraAt]! - 1;
    else this.putSlowly(ref, dmaSyncSize, allowDirect);
  }

  private putSlowly(ref: NetmemRef, dmaSyncSize: number, allowDirect: boolean): void {
    putSlow(this, ref, dmaSyncSize, allowDirect);
    if (this.proof && !this.freed) checkPoolInvariants(this);
  }
}
