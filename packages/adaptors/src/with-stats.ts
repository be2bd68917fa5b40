import {
  type InfoSink,
  type MemoryProviderOps,
  NetmemError,
  type NetmemRef,
  type PoolHandle,
  type RxQueueInfo,
} from "@netmem/core";
import { checkedAlloc } from "./checked-alloc.ts";

/** Buffers seen since a scope began. */
export interface BufferCounts {
  /** Given less taken back; below 0 in an inner scope that sees old buffers come home. */
  readonly current: number;
  /** Highest `current`; 0 or more. */
  readonly peak: number;
  /** Given. */
  readonly total: number;
}

/** What a counted provider did since it was made. */
export interface ProviderStats {
  readonly buffers: BufferCounts;
  readonly allocCalls: number;
  /** Calls that got fewer than they asked for, but some. */
  readonly shortCalls: number;
  /** Calls that got nothing. */
  readonly emptyCalls: number;
  /** Calls that threw. */
  readonly failedCalls: number;
  /** Buffers that upstream took back. */
  readonly released: number;
  /** Pages that upstream left to the page allocator. */
  readonly freed: number;
  /** Pools now. */
  readonly pools: number;
}

interface Scope {
  current: number;
  peak: number;
  total: number;
}

/** A provider in front of another one that counts. Made by {@link withStats}. */
export class CountedProvider implements MemoryProviderOps {
  readonly name: string;
  readonly opsVersion = 1;
  readonly isReadable: boolean;
  private readonly upstream: MemoryProviderOps;
  /** The last one is open. */
  private readonly scopes: Scope[] = [{ current: 0, peak: 0, total: 0 }];
  private allocCalls = 0;
  private shortCalls = 0;
  private emptyCalls = 0;
  private failedCalls = 0;
  private released = 0;
  private freed = 0;
  /** Pools that it accepted. Those of a thread that died give back what was never counted here. */
  private readonly pools = new Set<PoolHandle>();

  /** @internal Use {@link withStats}. */
  constructor(upstream: MemoryProviderOps) {
    this.upstream = upstream;
    this.isReadable = upstream.isReadable ?? false;
    this.name = `stats(${upstream.name})`;
  }

  init(pool: PoolHandle): void {
    this.upstream.init(pool);
    this.pools.add(pool);
  }

  destroy(pool: PoolHandle): void {
    this.pools.delete(pool);
    this.upstream.destroy(pool);
  }

  allocNetmems(pool: PoolHandle, out: Int32Array, max: number): number {
    this.allocCalls++;
    this.failedCalls++;
    const count = checkedAlloc(this.upstream, pool, out, max);
    this.failedCalls--;
    if (count === 0) this.emptyCalls++;
    else if (count < max) this.shortCalls++;
    const scope = this.scopes.at(-1)!;
    scope.current += count;
    scope.total += count;
    if (scope.current > scope.peak) scope.peak = scope.current;
    return count;
  }

  releaseNetmem(pool: PoolHandle, ref: NetmemRef): boolean {
    if (this.pools.has(pool)) this.scopes.at(-1)!.current--;
    const put = this.upstream.releaseNetmem(pool, ref);
    if (put) this.freed++;
    else this.released++;
    return put;
  }

  owns(ref: NetmemRef): boolean {
    return this.upstream.owns(ref);
  }

  fillInfo(info: InfoSink, rxq: RxQueueInfo | null): void {
    this.upstream.fillInfo?.(info, rxq);
    const { current, peak, total } = this.stats().buffers;
    info.set("buffers-out", current);
    info.set("buffers-peak", peak);
    info.set("buffers-total", total);
  }

  uninstall(rxq: RxQueueInfo): void {
    this.upstream.uninstall?.(rxq);
  }

  /** Opens a scope: {@link pop} returns what happened in it alone. Scopes nest. */
  push(): void {
    this.scopes.push({ current: 0, peak: 0, total: 0 });
  }

  /**
   * Closes the scope opened last, adds it to the one around it and returns its counts.
   * @throws `ERR_NETMEM_NO_SCOPE` (EINVAL) when none was opened.
   */
  pop(): BufferCounts {
    const inner = this.scopes.pop()!;
    const outer = this.scopes.at(-1);
    if (outer === undefined) {
      this.scopes.push(inner);
      return failNoScope(this.name);
    }
    merge(outer, inner);
    return { ...inner };
  }

  /** A copy; open scopes are part of it. */
  stats(): ProviderStats {
    const buffers: Scope = { ...this.scopes[0]! };
    const inner = this.scopes.slice(1).reduceRight<Scope | null>((sum, scope) => {
      const copy = { ...scope };
      if (sum !== null) merge(copy, sum);
      return copy;
    }, null);
    if (inner !== null) merge(buffers, inner);
    const { allocCalls, shortCalls, emptyCalls, failedCalls, released, freed } = this;
    return { buffers, allocCalls, shortCalls, emptyCalls, failedCalls, released, freed, pools: this.pools.size };
  }
}

function merge(outer: Scope, inner: Scope): void {
  outer.peak = Math.max(outer.peak, outer.current + inner.peak);
  outer.current += inner.current;
  outer.total += inner.total;
}

function failNoScope(name: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_NO_SCOPE",
    errno: "EINVAL",
    reason: `${name} has no open scope`,
    remedy: "Call push() once for every pop().",
    param: "scope",
    value: 0,
  });
}

/** Counts calls and buffers: now, at most and altogether, also for nested stretches of the program. */
export function withStats(upstream: MemoryProviderOps): CountedProvider {
  return new CountedProvider(upstream);
}
