import {
  type InfoSink,
  type MemoryProviderOps,
  NetmemError,
  type NetmemRef,
  type PoolHandle,
  type RxQueueInfo,
} from "@netmem/core";

/** Decides which calls fail. The `FaultInjector` of `@netmem/testing` is one. */
export interface ProviderFaults {
  /** Asked before `init`, at the point "provider.init". */
  shouldFail(point: string): boolean;
  /** Asked before `allocNetmems`, at the point "provider.alloc": how many of `count` to grant, 0 for a failure. */
  capBulk(point: string, count: number): number;
}

/** A provider in front of another one that fails on demand. Made by {@link withFault}. */
export class FaultyProvider implements MemoryProviderOps {
  readonly name: string;
  readonly opsVersion = 1;
  readonly isReadable: boolean;
  /** Calls that were refused or cut short here. */
  injected = 0;
  private readonly upstream: MemoryProviderOps;
  private readonly faults: ProviderFaults;

  /** @internal Use {@link withFault}. */
  constructor(upstream: MemoryProviderOps, faults: ProviderFaults) {
    this.upstream = upstream;
    this.isReadable = upstream.isReadable ?? false;
    this.faults = faults;
    this.name = `fault(${upstream.name})`;
  }

  /** @throws `ERR_NETMEM_FAULT_INJECTED` (EIO), and what upstream throws. */
  init(pool: PoolHandle): void {
    if (this.faults.shouldFail("provider.init")) {
      this.injected++;
      failInjected(this.name);
    }
    this.upstream.init(pool);
  }

  destroy(pool: PoolHandle): void {
    this.upstream.destroy(pool);
  }

  allocNetmems(pool: PoolHandle, out: Int32Array, max: number): number {
    const granted = this.faults.capBulk("provider.alloc", max);
    if (granted < max) this.injected++;
    return granted > 0 ? this.upstream.allocNetmems(pool, out, Math.min(granted, max)) : 0;
  }

  releaseNetmem(pool: PoolHandle, ref: NetmemRef): boolean {
    return this.upstream.releaseNetmem(pool, ref);
  }

  owns(ref: NetmemRef): boolean {
    return this.upstream.owns(ref);
  }

  fillInfo(info: InfoSink, rxq: RxQueueInfo | null): void {
    this.upstream.fillInfo?.(info, rxq);
    info.set("faults-injected", this.injected);
  }

  uninstall(rxq: RxQueueInfo): void {
    this.upstream.uninstall?.(rxq);
  }
}

function failInjected(name: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_FAULT_INJECTED",
    errno: "EIO",
    reason: `${name} was told to fail`,
    remedy: "This is a test of how the caller takes it.",
    param: "provider",
    value: name,
  });
}

/** Fails what can fail: creation throws, allocations come short or empty. A buffer on its way home never fails. */
export function withFault(upstream: MemoryProviderOps, faults: ProviderFaults): FaultyProvider {
  return new FaultyProvider(upstream, faults);
}
