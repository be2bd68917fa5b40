import { DmaDir, type DmaDevice, type Host, makeRef, NetmemError } from "@netmem/core";
import type { ChunkGeometry } from "./chunk-geometry.ts";

const BIDIRECTIONAL = DmaDir.Bidirectional;

/**
 * The pages of a UMEM as one device sees them (kernel: `xsk_dma_map`): mapped once, whoever uses it, and unmapped with
 * the last user. Control path, but for {@link pfnAt} and the syncs.
 */
export class UmemDma {
  readonly device: DmaDevice;
  /** Pools that use the mapping. */
  users = 1;
  private readonly pfns: Int32Array;
  private readonly pageShift: number;
  /** Some page does not continue the one before it, to the device. */
  private readonly hasBreaks: boolean;

  /** @throws `ERR_NETMEM_DMA_REFUSED` (ENOMEM) when a page cannot be mapped; none is then. */
  constructor(host: Host, geometry: ChunkGeometry, device: DmaDevice) {
    this.device = device;
    this.pageShift = host.pageShift;
    const first = geometry.offset >>> host.pageShift;
    const count = Math.ceil(geometry.bytes / host.pageSizeBytes);
    this.pfns = new Int32Array(count);
    for (let n = 0; n < count; n++) {
      const pfn = device.map(makeRef(first + n, 0, 0), 0, BIDIRECTIONAL);
      if (pfn === 0) this.failMap(n);
      this.pfns[n] = pfn;
    }
    this.hasBreaks = this.pfns.some((pfn, n) => n > 0 && pfn !== this.pfns[n - 1]! + 1);
  }

  /** Page frame number of the page that holds the byte at `offset` of the UMEM. */
  pfnAt(offset: number): number {
    return this.pfns[offset >>> this.pageShift]!;
  }

  /** Whether `lenBytes` bytes at `offset` lie on pages that do not follow each other for the device. */
  crossesBreak(offset: number, lenBytes: number): boolean {
    if (!this.hasBreaks) return false;
    const last = (offset + lenBytes - 1) >>> this.pageShift;
    for (let n = offset >>> this.pageShift; n < last; n++) if (this.pfns[n + 1]! !== this.pfns[n]! + 1) return true;
    return false;
  }

  /** Lets the device see `lenBytes` bytes at `offset` of the UMEM. */
  syncForDevice(offset: number, lenBytes: number): void {
    this.sync(offset, lenBytes, true);
  }

  /** Lets the CPU see what the device wrote. */
  syncForCpu(offset: number, lenBytes: number): void {
    this.sync(offset, lenBytes, false);
  }

  private sync(offset: number, lenBytes: number, isForDevice: boolean): void {
    const pageBytes = 1 << this.pageShift;
    for (let done = 0; done < lenBytes;) {
      const within = (offset + done) & (pageBytes - 1);
      const piece = Math.min(pageBytes - within, lenBytes - done);
      const pfn = this.pfns[(offset + done) >>> this.pageShift]!;
      if (isForDevice) this.device.syncForDevice(pfn, within, piece, BIDIRECTIONAL);
      else this.device.syncForCpu(pfn, within, piece, BIDIRECTIONAL);
      done += piece;
    }
  }

  /** Ends every mapping. */
  unmap(): void {
    for (const pfn of this.pfns) this.device.unmap(pfn, 0, BIDIRECTIONAL);
  }

  private failMap(n: number): never {
    for (const pfn of this.pfns.subarray(0, n)) this.device.unmap(pfn, 0, BIDIRECTIONAL);
    throw new NetmemError({
      code: "ERR_NETMEM_DMA_REFUSED",
      errno: "ENOMEM",
      reason: `device ${this.device.name} refused page ${n} of the UMEM`,
      remedy: "Make the UMEM smaller, or give the device more room.",
      param: "dma",
      value: n,
    });
  }
}
