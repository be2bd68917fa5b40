import {
  type InfoSink,
  type MemoryProviderOps,
  NetmemError,
  type NetmemRef,
  type PoolHandle,
  type RxQueueInfo,
} from "@netmem/core";
import { checkedAlloc } from "./checked-alloc.ts";

/** Why and how much the second provider had to step in. */
export interface FallbackStats {
  /** Calls that the first provider had nothing for. */
  readonly exhausted: number;
  /** Calls at which it threw. */
  readonly failed: number;
  /** Calls that both had nothing for, or threw at. */
  readonly empty: number;
  /** Buffers of the second provider that are out. */
  readonly fallbackOut: number;
  /** Buffers of the second provider given so far. */
  readonly fallbackTotal: number;
  /** What the first provider threw last. */
  readonly lastError: unknown;
}

/** Two providers as one, the second for when the first has nothing. Made by {@link withFallback}. */
export class FallbackProvider implements MemoryProviderOps {
  readonly name: string;
  readonly opsVersion = 1;
  /** Both are. */
  readonly isReadable: boolean;
  private readonly first: MemoryProviderOps;
  private readonly second: MemoryProviderOps;
  /** Pools that it accepted. Those of a thread that died give back what was never counted here. */
  private readonly pools = new Set<PoolHandle>();
  private exhausted = 0;
  private failed = 0;
  private empty = 0;
  private fallbackOut = 0;
  private fallbackTotal = 0;
  private lastError: unknown = null;

  /** @internal Use {@link withFallback}. */
  constructor(first: MemoryProviderOps, second: MemoryProviderOps) {
    this.first = first;
    this.second = second;
    this.isReadable = first.isReadable === true && second.isReadable === true;
    this.name = `fallback(${first.name}, ${second.name})`;
  }

  /** @throws what one of them throws; `ERR_NETMEM_FALLBACK_MISMATCH` (EINVAL). Neither has the pool then. */
  init(pool: PoolHandle): void {
    const { dmaSync, dmaSyncCpu } = pool;
    this.first.init(pool);
    const wanted = [pool.dmaSync, pool.dmaSyncCpu];
    pool.dmaSync = dmaSync;
    pool.dmaSyncCpu = dmaSyncCpu;
    try {
      this.second.init(pool);
    } catch (error) {
      this.first.destroy(pool);
      throw error;
    }
    this.pools.add(pool);
    if (pool.dmaSync === wanted[0] && pool.dmaSyncCpu === wanted[1]) return;
    this.destroy(pool);
    failMismatch(this.name);
  }

  destroy(pool: PoolHandle): void {
    this.pools.delete(pool);
    try {
      this.first.destroy(pool);
    } finally {
      this.second.destroy(pool);
    }
  }

  allocNetmems(pool: PoolHandle, out: Int32Array, max: number): number {
    const count = this.askFirst(pool, out, max);
    if (count > 0) return count;
    this.empty++;
    const others = checkedAlloc(this.second, pool, out, max);
    if (others > 0) this.empty--;
    this.fallbackOut += others;
    this.fallbackTotal += others;
    return others;
  }

  releaseNetmem(pool: PoolHandle, ref: NetmemRef): boolean {
    if (this.first.owns(ref)) return this.first.releaseNetmem(pool, ref);
    if (this.pools.has(pool)) this.fallbackOut--;
    return this.second.releaseNetmem(pool, ref);
  }

  owns(ref: NetmemRef): boolean {
    return this.first.owns(ref) || this.second.owns(ref);
  }

  /** Attributes of the second provider are prefixed: both may have the same. */
  fillInfo(info: InfoSink, rxq: RxQueueInfo | null): void {
    this.first.fillInfo?.(info, rxq);
    this.second.fillInfo?.({ set: (name, value) => info.set(`fallback.${name}`, value) }, rxq);
    info.set("fallback-exhausted", this.exhausted);
    info.set("fallback-failed", this.failed);
    info.set("fallback-out", this.fallbackOut);
  }

  uninstall(rxq: RxQueueInfo): void {
    try {
      this.first.uninstall?.(rxq);
    } finally {
      this.second.uninstall?.(rxq);
    }
  }

  stats(): FallbackStats {
    const { exhausted, failed, empty, fallbackOut, fallbackTotal, lastError } = this;
    return { exhausted, failed, empty, fallbackOut, fallbackTotal, lastError };
  }

  private askFirst(pool: PoolHandle, out: Int32Array, max: number): number {
    try {
      const count = checkedAlloc(this.first, pool, out, max);
      if (count === 0) this.exhausted++;
      return count;
    } catch (error) {
      this.failed++;
      this.lastError = error;
      return 0;
    }
  }
}

function failMismatch(name: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_FALLBACK_MISMATCH",
    errno: "EINVAL",
    reason: `the providers of ${name} differ in what the device has to be told about their buffers`,
    remedy: "Combine providers that both want DMA syncs, or both do not.",
    param: "provider",
    value: name,
  });
}

/**
 * Asks `second` for what `first` does not have, or fails at, and counts why. Buffers go home to the one that owns them:
 * `first.owns` decides. A refill comes from one of them, so a short one of `first` is not topped up.
 */
export function withFallback(first: MemoryProviderOps, second: MemoryProviderOps): FallbackProvider {
  return new FallbackProvider(first, second);
}
