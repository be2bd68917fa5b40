import {
  IDX_MASK,
  type InfoSink,
  type MemoryProviderOps,
  META_STATE_MASK,
  NetmemError,
  type NetmemRef,
  type PoolHandle,
  ppRefCount,
  type RxQueueInfo,
} from "@netmem/core";
import type { DevmemBinding } from "./devmem-binding.ts";

/**
 * The six hooks of a binding (kernel: `dmabuf_devmem_ops`). A provider outlives its binding and serves the next one, because
 * a host has 128 provider ids and may see any number of bindings.
 */
export class DevmemProvider implements MemoryProviderOps {
  readonly name = "devmem";
  readonly opsVersion = 1;
  /** Null between two bindings. */
  binding: DevmemBinding | null = null;

  /**
   * Takes a reference on the binding.
   * @throws `ERR_NETMEM_NO_BINDING` (EINVAL), `ERR_NETMEM_DEVMEM_ORDER` (E2BIG) for more than one page per buffer.
   */
  init(pool: PoolHandle): void {
    const binding = this.binding ?? failUnbound();
    if (pool.order !== 0) failOrder(pool.order);
    pool.dmaSync = false;
    pool.dmaSyncCpu = false;
    binding.refs.get();
  }

  destroy(_pool: PoolHandle): void {
    this.binding?.refs.put();
  }

  allocNetmems(_pool: PoolHandle, out: Int32Array, max: number): number {
    return this.binding?.pages.take(out, max) ?? 0;
  }

  /** Always false: device memory never becomes a page of the page allocator. */
  releaseNetmem(pool: PoolHandle, ref: NetmemRef): boolean {
    const { host } = pool;
    const what = (ref & 1) === 0 ? "it is no net_iov" : this.mistake(pool, ref);
    if (what === "" && this.binding?.pages.put(ref) === true) return false;
    const why = what === "" ? "it is free already" : what;
    host.warn("WARN_NETMEM_DEVMEM_RELEASE", `device page 0x${ref.toString(16)} was not taken back: ${why}`);
    return false;
  }

  owns(ref: NetmemRef): boolean {
    return this.binding?.pages.owns(ref) ?? false;
  }

  fillInfo(info: InfoSink, _rxq: RxQueueInfo | null): void {
    const { binding } = this;
    if (binding === null) return;
    info.set("dmabuf", binding.id);
    info.set("device-memory", binding.memory.kind);
  }

  uninstall(rxq: RxQueueInfo): void {
    this.binding?.forgetQueue(rxq.queueIdx);
  }

  private mistake({ host }: PoolHandle, ref: NetmemRef): string {
    if (!this.owns(ref)) return "it belongs to another binding";
    const holders = ppRefCount(host, ref);
    if (holders !== 1) return `${holders} pool-level holders are left`;
    return (host.i32[(ref >>> 1) & IDX_MASK]! & META_STATE_MASK) === 0 ? "" : "it is not free";
  }
}

function failUnbound(): never {
  throw new NetmemError({
    code: "ERR_NETMEM_NO_BINDING",
    errno: "EINVAL",
    reason: "the queue's devmem provider has no binding",
    remedy: "Bind device memory to the queue by bindRx.",
    param: "rxq.provider",
    value: null,
  });
}

function failOrder(order: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_DEVMEM_ORDER",
    errno: "E2BIG",
    reason: `a pool of order ${order} cannot take device memory, whose buffers are single pages`,
    remedy: "Create the pool with order 0.",
    param: "order",
    value: order,
  });
}
