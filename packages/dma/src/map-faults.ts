import type { DmaDevice, DmaDir, NetmemRef } from "@netmem/core";

/** A device in front of another one that refuses maps on demand. */
export class MapFaultsDevice implements DmaDevice {
  readonly name: string;
  readonly needsSync: boolean;
  /** Maps refused here; upstream was not asked. */
  refused = 0;
  private readonly upstream: DmaDevice;
  private readonly shouldFail: () => boolean;

  /** @internal Use {@link withMapFaults}. */
  constructor(upstream: DmaDevice, shouldFail: () => boolean) {
    this.upstream = upstream;
    this.shouldFail = shouldFail;
    this.name = `mapFaults(${upstream.name})`;
    this.needsSync = upstream.needsSync;
  }

  map(ref: NetmemRef, order: number, dir: DmaDir): number {
    if (!this.shouldFail()) return this.upstream.map(ref, order, dir);
    this.refused++;
    return 0;
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
    this.upstream.translateMany(pfns, n, access);
  }
}

/**
 * Asks `shouldFail` before each map and refuses it when the answer is true. The kit's injector plugs in:
 * `withMapFaults(device, () => faults.shouldFail("dma.map"))`.
 */
export function withMapFaults(upstream: DmaDevice, shouldFail: () => boolean): MapFaultsDevice {
  return new MapFaultsDevice(upstream, shouldFail);
}
