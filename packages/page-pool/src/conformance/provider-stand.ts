import {
  type Host,
  IDX_MASK,
  isPage,
  makePlain,
  META_STATE_MASK,
  type NetmemRef,
  putNetmem,
  type ReadableRef,
  type RxQueueInfo,
} from "@netmem/core";
import { check, checkEqual, fillPattern, findPatternMismatch } from "@netmem/testing";
import { createPagePool } from "../create-page-pool.ts";
import { checkPoolInvariants } from "../invariants.ts";
import { DEFER_TIME_MS } from "../limits.ts";
import type { PagePool } from "../page-pool.ts";
import { PagePoolFlag, type PagePoolParams } from "../params.ts";
import type { ProviderSubject } from "./provider-subject.ts";
import { WatchedProvider } from "./watched-provider.ts";

/** Bytes of a buffer that carry a pattern: its ends, where neighbours would overlap. */
const PATTERN_BYTES = 64;

/** What every case does with a subject: make pools on it, take and give buffers, see everything come home. */
export class ProviderStand {
  readonly host: Host;
  readonly subject: ProviderSubject;
  readonly watched: WatchedProvider;
  readonly rxq: RxQueueInfo;
  private readonly pools: PagePool[] = [];
  private readonly atStart: Readonly<Record<string, number>>;

  constructor(subject: ProviderSubject) {
    this.host = subject.host;
    this.subject = subject;
    this.watched = new WatchedProvider(subject.provider, subject.host, subject.mapsBuffers);
    this.host.providers.register(this.watched);
    this.rxq = { ifindex: 2, queueIdx: 0, provider: this.watched };
    this.warmUp();
    this.atStart = this.holdings();
  }

  /** A pool on the provider. Puts without direct context go to the ring, whose size is `poolSize`. */
  open(params: PagePoolParams = {}): PagePool {
    const { order = 0 } = { ...this.subject.params, ...params };
    const pool = createPagePool(this.host, {
      flags: PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev | PagePoolFlag.AllowUnreadableNetmem,
      maxLenBytes: 2 ** (this.host.pageShift + order),
      rxq: this.rxq,
      directRecycle: "napi",
      ...this.subject.params,
      ...params,
    });
    this.pools.push(pool);
    return pool;
  }

  /** Up to `count` buffers; fewer only when the provider has no more. */
  take(pool: PagePool, count: number): NetmemRef[] {
    const refs: NetmemRef[] = [];
    while (refs.length < count) {
      const ref = this.alloc(pool);
      if (ref === 0) break;
      refs.push(ref);
    }
    this.verify();
    return refs;
  }

  /** One buffer or 0. What the provider did wrong says more than what the pool makes of it. */
  private alloc(pool: PagePool): NetmemRef | 0 {
    try {
      return pool.allocNetmem();
    } catch (error) {
      this.watched.check();
      throw error;
    }
  }

  takeAll(pool: PagePool): NetmemRef[] {
    return this.take(pool, Infinity);
  }

  giveMany(pool: PagePool, refs: readonly NetmemRef[], allowDirect = false): void {
    for (const ref of refs) pool.put(ref, -1, allowDirect);
    this.verify();
  }

  /** Hands a buffer that no pool took in straight back to the provider, as the pool would. */
  giveBack(pool: PagePool, ref: NetmemRef): void {
    const { host, watched } = this;
    const idx = (ref >>> 1) & IDX_MASK;
    if (!watched.releaseNetmem(pool, ref)) return;
    host.i32[host.dmaAt + idx] = 0;
    if ((host.i32[idx]! & META_STATE_MASK) === 0) makePlain(host, ref);
    putNetmem(host, ref);
  }

  /** The provider kept its contract so far, and so did the pools their books. */
  verify(): void {
    this.watched.check();
    for (const pool of this.pools) checkPoolInvariants(pool);
  }

  /** Destroys every pool; buffers that are outside keep theirs until the clock has been turned. */
  close(): void {
    for (const pool of this.pools) pool.destroy();
    this.subject.passTime(2 * DEFER_TIME_MS);
    this.verify();
    for (const pool of this.pools) {
      check(pool.freed, `${pool.outside().length} buffers of a destroyed pool are outside`);
      check(this.watched.isDismissed(pool), "the provider was not told that its pool is gone");
    }
    this.pools.length = 0;
  }

  /** Closes everything and checks that nothing is missing: pages, buffers, what the subject counts. */
  closeAndCheckHome(): void {
    this.close();
    checkEqual(this.watched.out.size, 0, "buffers with pools that are gone");
    checkEqual(this.holdings(), this.atStart, "what provider and host hold after the last pool");
  }

  /** Writes both ends of a readable buffer. */
  mark(ref: NetmemRef, seed: number): void {
    const { host } = this;
    if (!host.isReadable(ref)) return;
    for (const from of this.endsOf(ref)) fillPattern(host.u8, from, PATTERN_BYTES, seed);
  }

  /** Checks what {@link mark} wrote. */
  checkMark(ref: NetmemRef, seed: number): void {
    const { host } = this;
    if (!host.isReadable(ref)) return;
    for (const from of this.endsOf(ref)) {
      checkEqual(findPatternMismatch(host.u8, from, PATTERN_BYTES, seed), -1, "first byte that somebody else wrote");
    }
  }

  /** Pages whose holders a case may count; net_iovs have none. */
  isCounted(ref: NetmemRef): boolean {
    return isPage(ref);
  }

  /** Control structures that stay allocated after their first use are no leak. */
  private warmUp(): void {
    const { heap, pageShift } = this.host;
    for (let words = 16; words * 4 < 2 ** pageShift; words *= 2) heap.freeWords(heap.allocWords(words), words);
    const pool = this.open();
    this.giveMany(pool, this.take(pool, 1));
    this.close();
  }

  private endsOf(ref: ReadableRef): number[] {
    const from = this.host.offsetOf(ref);
    return [from, from + this.host.bufferBytes(ref) - PATTERN_BYTES];
  }

  private holdings(): Readonly<Record<string, number>> {
    return { "free pages": this.host.pages.freePageCount(), ...this.subject.holdings?.() };
  }
}
