import type { Host, InfoSink, MemoryProviderOps, NetmemRef, PoolHandle, RxQueueInfo } from "@netmem/core";

/**
 * What a trace wants to see. Hooks run after upstream's, on the pool's thread and on its slow path. They must not keep
 * `refs`. One that throws is reported as `WARN_NETMEM_TRACE_FAILED` and changes nothing.
 */
export interface ProviderTrace {
  init?(pool: PoolHandle): void;
  destroy?(pool: PoolHandle): void;
  /** `refs[0..count)` go out; `max` were asked for. */
  alloc?(pool: PoolHandle, refs: Int32Array, count: number, max: number): void;
  /** A buffer came home; `put`: upstream left it to the page allocator. */
  release?(pool: PoolHandle, ref: NetmemRef, put: boolean): void;
}

/** A provider in front of another one that shows every call. Made by {@link withTrace}. */
export class TracedProvider implements MemoryProviderOps {
  readonly name: string;
  readonly opsVersion = 1;
  readonly isReadable: boolean;
  private readonly upstream: MemoryProviderOps;
  private readonly trace: ProviderTrace;

  /** @internal Use {@link withTrace}. */
  constructor(upstream: MemoryProviderOps, trace: ProviderTrace) {
    this.upstream = upstream;
    this.isReadable = upstream.isReadable ?? false;
    this.trace = trace;
    this.name = `trace(${upstream.name})`;
  }

  init(pool: PoolHandle): void {
    this.upstream.init(pool);
    try {
      this.trace.init?.(pool);
    } catch (error) {
      this.warn(pool.host, error);
    }
  }

  destroy(pool: PoolHandle): void {
    this.upstream.destroy(pool);
    try {
      this.trace.destroy?.(pool);
    } catch (error) {
      this.warn(pool.host, error);
    }
  }

  allocNetmems(pool: PoolHandle, out: Int32Array, max: number): number {
    const count = this.upstream.allocNetmems(pool, out, max);
    try {
      this.trace.alloc?.(pool, out, count, max);
    } catch (error) {
      this.warn(pool.host, error);
    }
    return count;
  }

  releaseNetmem(pool: PoolHandle, ref: NetmemRef): boolean {
    const put = this.upstream.releaseNetmem(pool, ref);
    try {
      this.trace.release?.(pool, ref, put);
    } catch (error) {
      this.warn(pool.host, error);
    }
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

  private warn(host: Host, error: unknown): void {
    host.warn("WARN_NETMEM_TRACE_FAILED", `${this.name}: ${String(error)}`);
  }
}

/** Shows `trace` every call that reaches `upstream` and comes back; calls that throw are not shown. */
export function withTrace(upstream: MemoryProviderOps, trace: ProviderTrace): TracedProvider {
  return new TracedProvider(upstream, trace);
}
