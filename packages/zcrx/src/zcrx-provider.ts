import {
  type DmaDir,
  DmaDir as Dir,
  type InfoSink,
  type MemoryProviderOps,
  NetmemError,
  type NetmemRef,
  type PoolHandle,
  type RxQueueInfo,
} from "@netmem/core";
import type { Zcrx } from "./zcrx.ts";

/**
 * The six hooks of a registered area (kernel: `io_uring_pp_zc_ops`). Serves one registration after the other, because a
 * host has 128 provider ids.
 */
export class ZcrxProvider implements MemoryProviderOps {
  readonly name = "zcrx";
  readonly opsVersion = 1;
  /** The CPU may read user areas: no header split is needed for its sake. */
  readonly isReadable = true;
  /** Null between two registrations. */
  zcrx: Zcrx | null = null;

  /**
   * Takes a reference on the area.
   * @throws `ERR_NETMEM_ZCRX_POOL` (EINVAL) without an area, or for buffers of another size; `ERR_NETMEM_ZCRX_DMA`
   * (EOPNOTSUPP) for pools without DmaMap, or that map otherwise than from the device.
   */
  init(pool: PoolHandle): void {
    const zcrx = this.zcrx ?? failPool("zcrx", null, "the queue has no area");
    const order = zcrx.area.shift - pool.host.pageShift;
    if (pool.order !== order) failPool("order", pool.order, `the area's buffers are of order ${order}`);
    if (!pool.dmaMap) failDma(pool.dmaDir, "without DmaMap");
    if (pool.dmaDir !== Dir.FromDevice) failDma(pool.dmaDir, "that is not FromDevice");
    zcrx.get();
  }

  destroy(_pool: PoolHandle): void {
    this.zcrx?.put();
  }

  allocNetmems(pool: PoolHandle, out: Int32Array, max: number): number {
    return this.zcrx?.supply(pool.ownerId, out, max) ?? 0;
  }

  /** Always false: the buffers are the user's memory. */
  releaseNetmem(pool: PoolHandle, ref: NetmemRef): boolean {
    if (this.zcrx?.area.put(ref) === true) return false;
    pool.host.warn("WARN_NETMEM_ZCRX_RELEASE", `buffer 0x${ref.toString(16)} is no free buffer of the area`);
    return false;
  }

  owns(ref: NetmemRef): boolean {
    return (this.zcrx?.area.numberOf(ref) ?? -1) >= 0;
  }

  fillInfo(info: InfoSink, _rxq: RxQueueInfo | null): void {
    if (this.zcrx !== null) info.set("io-uring", this.zcrx.id);
  }

  uninstall(_rxq: RxQueueInfo): void {
    this.zcrx?.forgetDevice();
  }
}

function failPool(param: string, value: unknown, reason: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_ZCRX_POOL",
    errno: "EINVAL",
    reason,
    remedy: "Create the queue's pool with the order of the area's buffers, while the area is registered.",
    param,
    value,
  });
}

function failDma(dir: DmaDir, what: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_ZCRX_DMA",
    errno: "EOPNOTSUPP",
    reason: `a pool ${what} cannot receive into a user area`,
    remedy: "Create the pool with DmaMap and FromDevice.",
    param: "dmaDir",
    value: dir,
  });
}
