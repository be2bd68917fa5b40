import {
  GEN_SHIFT,
  type Host,
  IDX_MASK,
  type InfoSink,
  INFO_ORDER_MASK,
  type MemoryProviderOps,
  META_GEN_MASK,
  META_STATE_MASK,
  type NetmemRef,
  NetmemState,
  OWNER_ORDER0,
  ownerTag,
  pageRefCount,
  type PoolHandle,
  type RxQueueInfo,
} from "@netmem/core";
import { CheckError } from "@netmem/testing";

/** Entries behind `out[max]` that nobody may write. */
const GUARD_ENTRIES = 8;
const GUARD = 0x5a5a5a5a;
const PLAIN_OUT = ownerTag(OWNER_ORDER0, NetmemState.Out);

interface WatchedPool {
  /** Buffers of the pool that the provider has not got back. */
  out: number;
  destroyed: boolean;
}

/**
 * Stands between the pools and the provider under test, and holds the provider to its contract at every call. The first
 * breach is kept for {@link check}: what a hook throws does not reach the case by itself.
 */
export class WatchedProvider implements MemoryProviderOps {
  readonly name: string;
  readonly opsVersion = 1;
  readonly isReadable: boolean;
  /** Indices of the buffers that are with pools. */
  readonly out: Set<number> = new Set<number>();
  private readonly pools = new Map<PoolHandle, WatchedPool>();
  private readonly upstream: MemoryProviderOps;
  private readonly host: Host;
  private readonly mapsBuffers: boolean;
  private breach: CheckError | null = null;

  constructor(upstream: MemoryProviderOps, host: Host, mapsBuffers: boolean) {
    this.upstream = upstream;
    this.isReadable = upstream.isReadable ?? false;
    this.host = host;
    this.mapsBuffers = mapsBuffers;
    this.name = `watched(${upstream.name})`;
  }

  /** Throws the first breach of the contract so far. */
  check(): void {
    if (this.breach !== null) throw this.breach;
  }

  /** Whether the provider was told that the pool is gone. */
  isDismissed(pool: PoolHandle): boolean {
    return this.pools.get(pool)?.destroyed === true;
  }

  /** Pools that the provider accepted and was not dismissed from. */
  get liveCount(): number {
    return [...this.pools.values()].filter(({ destroyed }) => !destroyed).length;
  }

  init(pool: PoolHandle): void {
    this.upstream.init(pool);
    this.pools.set(pool, { out: 0, destroyed: false });
  }

  destroy(pool: PoolHandle): void {
    const known = this.pools.get(pool);
    if (known === undefined || known.destroyed) return this.fail("a pool is destroyed that was not accepted, or twice");
    if (known.out !== 0) this.fail(`a pool is destroyed with ${known.out} buffers out`);
    known.destroyed = true;
    this.upstream.destroy(pool);
  }

  allocNetmems(pool: PoolHandle, out: Int32Array, max: number): number {
    const guarded = new Int32Array(max + GUARD_ENTRIES).fill(GUARD, max);
    const count = this.upstream.allocNetmems(pool, guarded, max);
    if (!Number.isInteger(count) || count < 0 || count > max) {
      this.fail(`allocNetmems returned ${count} for at most ${max}`);
      return 0;
    }
    if (guarded.subarray(max).some((word) => word !== GUARD)) this.fail(`allocNetmems wrote behind out[${max}]`);
    for (let k = 0; k < count; k++) this.takeIn(pool, guarded[k]! as NetmemRef);
    out.set(guarded.subarray(0, count));
    return count;
  }

  releaseNetmem(pool: PoolHandle, ref: NetmemRef): boolean {
    const known = this.pools.get(pool);
    if (known === undefined || known.destroyed) this.fail("a buffer comes home from a pool that is gone");
    else known.out--;
    if (!this.out.delete((ref >>> 1) & IDX_MASK)) this.fail(`${hex(ref)} comes home and was not out`);
    const put = this.upstream.releaseNetmem(pool, ref);
    if (typeof put !== "boolean") this.fail(`releaseNetmem returned ${String(put)}`);
    if (put && (ref & 1) !== 0) this.fail(`releaseNetmem wants the net_iov ${hex(ref)} freed as a page`);
    return put;
  }

  owns(ref: NetmemRef): boolean {
    return this.upstream.owns(ref);
  }

  fillInfo(info: InfoSink, rxq: RxQueueInfo | null): void {
    this.upstream.fillInfo?.(info, rxq);
  }

  uninstall(rxq: RxQueueInfo): void {
    this.upstream.uninstall?.(rxq);
  }

  /** One buffer that the provider hands to a pool. */
  private takeIn(pool: PoolHandle, ref: NetmemRef): void {
    const { i32, infoAt, dmaAt, layout } = this.host;
    const idx = (ref >>> 1) & IDX_MASK;
    if (ref <= 0 || idx < layout.firstPageIdx || idx >= layout.maxNetmems)
      return this.fail(`${hex(ref)} names no buffer`);
    if (this.out.has(idx)) this.fail(`${hex(ref)} is out already`);
    this.out.add(idx);
    const known = this.pools.get(pool);
    if (known === undefined || known.destroyed) return this.fail("allocNetmems for a pool that it did not accept");
    known.out++;
    const meta = i32[idx]!;
    const gen = ref >>> GEN_SHIFT;
    const isFree = (meta & (META_STATE_MASK | META_GEN_MASK)) === gen || meta === (PLAIN_OUT | gen);
    if (!isFree) this.fail(`${hex(ref)} is not free: its meta word is 0x${meta.toString(16)}`);
    if (!this.upstream.owns(ref)) this.fail(`${hex(ref)} is given out and not owned`);
    if (this.isReadable && !this.host.isReadable(ref))
      this.fail(`${hex(ref)} is memory that no CPU reads; isReadable is true`);
    if (this.mapsBuffers && i32[dmaAt + idx] === 0) this.fail(`${hex(ref)} has no DMA address`);
    if ((ref & 1) !== 0) return;
    if (pageRefCount(this.host, ref) !== 1) this.fail(`${hex(ref)} has other holders`);
    const order = i32[infoAt + idx]! & INFO_ORDER_MASK;
    if (order !== pool.order) this.fail(`${hex(ref)} is of order ${order}, the pool of ${pool.order}`);
  }

  private fail(what: string): void {
    this.breach ??= new CheckError(`provider ${this.upstream.name}: ${what}`);
  }
}

function hex(ref: number): string {
  return `ref 0x${(ref >>> 0).toString(16)}`;
}
