import {
  checkInt,
  type InfoSink,
  type MemoryProviderOps,
  type NetmemRef,
  type PoolHandle,
  type RxQueueInfo,
} from "@netmem/core";
import { checkedAlloc } from "./checked-alloc.ts";

/** A provider in front of another one that hands out at most so many buffers. Made by {@link withLimit}. */
export class LimitedProvider implements MemoryProviderOps {
  readonly name: string;
  readonly opsVersion = 1;
  readonly isReadable: boolean;
  /** Buffers that are with pools, in their caches and rings too. */
  out = 0;
  /** Calls that got fewer buffers than they asked for because of the limit. */
  limited = 0;
  private readonly upstream: MemoryProviderOps;
  /** Pools that it accepted. Those of a thread that died give back what was never counted here. */
  private readonly pools = new Set<PoolHandle>();
  private max: number;

  /** @internal Use {@link withLimit}. */
  constructor(upstream: MemoryProviderOps, maxBuffers: number) {
    this.upstream = upstream;
    this.isReadable = upstream.isReadable ?? false;
    this.max = checkInt("maxBuffers", maxBuffers, 0, 2 ** 20);
    this.name = `limit(${upstream.name})`;
  }

  get maxBuffers(): number {
    return this.max;
  }

  /** Moves the limit. Buffers beyond a lower one stay out until they come home. */
  setLimit(maxBuffers: number): void {
    this.max = checkInt("maxBuffers", maxBuffers, 0, 2 ** 20);
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
    const room = Math.max(this.max - this.out, 0);
    if (room < max) this.limited++;
    if (room === 0) return 0;
    const count = checkedAlloc(this.upstream, pool, out, Math.min(max, room));
    this.out += count;
    return count;
  }

  releaseNetmem(pool: PoolHandle, ref: NetmemRef): boolean {
    if (this.pools.has(pool)) this.out--;
    return this.upstream.releaseNetmem(pool, ref);
  }

  owns(ref: NetmemRef): boolean {
    return this.upstream.owns(ref);
  }

  fillInfo(info: InfoSink, rxq: RxQueueInfo | null): void {
    this.upstream.fillInfo?.(info, rxq);
    info.set("limit", this.max);
    info.set("limit-out", this.out);
  }

  uninstall(rxq: RxQueueInfo): void {
    this.upstream.uninstall?.(rxq);
  }
}

/**
 * At most `maxBuffers` of `upstream` are out at a time, all pools together. Pools see a shorter refill, or none.
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL)
 */
export function withLimit(upstream: MemoryProviderOps, maxBuffers: number): LimitedProvider {
  return new LimitedProvider(upstream, maxBuffers);
}
