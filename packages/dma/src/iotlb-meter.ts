import type { DmaDevice, DmaDir, NetmemRef } from "@netmem/core";
import type { IommuDevice } from "./iommu-device.ts";

/** One of several users of an IOMMU: a queue of a NIC, say. Address space and IOTLB are those of all. */
export class IotlbMeter implements DmaDevice {
  readonly name: string;
  readonly needsSync: boolean;
  /** Addresses translated here that the IOTLB had. */
  hits = 0;
  /** Addresses translated here that it had to look up. */
  misses = 0;
  private readonly upstream: IommuDevice;

  /** @internal Use {@link withIotlbMeter}. */
  constructor(upstream: IommuDevice) {
    this.upstream = upstream;
    this.name = `iotlbMeter(${upstream.name})`;
    this.needsSync = upstream.needsSync;
  }

  map(ref: NetmemRef, order: number, dir: DmaDir): number {
    return this.upstream.map(ref, order, dir);
  }

  unmap(pfn: number, order: number, dir: DmaDir): void {
    this.upstream.unmap(pfn, order, dir);
  }

  syncForDevice(pfn: number, offset: number, len: number, dir: DmaDir): void {
    this.upstream.syncForDevice(pfn, offset, len, dir);
  }

  syncForCpu(pfn: number, offset: number, len: number, dir: DmaDir): void {
    this.upstream.syncForCpu(pfn, offset, len, dir);
  }

  translateMany(pfns: Int32Array, n: number, access?: DmaDir): void {
    const { upstream } = this;
    const { hits, misses } = upstream;
    upstream.translateMany(pfns, n, access);
    this.hits += upstream.hits - hits;
    this.misses += upstream.misses - misses;
  }
}

/**
 * Counts the IOTLB hits and misses of one user of an IOMMU that several share, exactly: a translation runs to its end, so
 * what the IOMMU counted meanwhile is that user's. Costs four reads per burst.
 */
export function withIotlbMeter(iommu: IommuDevice): IotlbMeter {
  return new IotlbMeter(iommu);
}
