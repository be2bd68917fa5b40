/*
 * data path
 *
 * What a pool does with its DMA device: pages stay mapped from the moment they enter the pool until they leave it, and
 * between two users they are synced for the device, when it needs that. Addresses are in the dma column of the table.
 */
import { type DmaDevice, type DmaDir, IDX_MASK as IDX_MASK_, type NetmemRef, type PoolHandle } from "@netmem/core";
import { MappedPages } from "./mapped-pages.ts";
import type { ResolvedParams } from "./params.ts";

const IDX_MASK = IDX_MASK_;

/** A pool's dealings with a device. */
export class PoolDma {
  // "declare": see docs/decisions/0007. Hot fields first.
  declare private readonly i32: Int32Array;
  declare private readonly dmaAt: number;
  declare private readonly device: DmaDevice;
  declare private readonly dir: DmaDir;
  declare private readonly offsetBytes: number;
  declare private readonly maxLenBytes: number;
  /** Recycled buffers are synced for the device; false from destroy on. */
  declare syncsDevice: boolean;
  declare private readonly syncsCpu: boolean;
  declare private readonly order: number;
  /** Pages with a mapping of the pool's; null when the provider maps. */
  declare readonly mapped: MappedPages | null;

  constructor(pool: PoolHandle, params: ResolvedParams, device: DmaDevice, providerMaps: boolean) {
    const { host } = pool;
    this.i32 = host.i32;
    this.dmaAt = host.dmaAt;
    this.device = device;
    this.dir = params.dmaDir;
    this.offsetBytes = params.offsetBytes;
    this.maxLenBytes = params.maxLenBytes;
    this.syncsDevice = pool.dmaSync && device.needsSync;
    this.syncsCpu = pool.dmaSyncCpu && device.needsSync;
    this.order = params.order;
    this.mapped = providerMaps ? null : new MappedPages(host.layout.pageCount);
  }

  /** Maps a new page and shows it to the device; false when refused. */
  map(ref: NetmemRef): boolean {
    const pfn = this.device.map(ref, this.order, this.dir);
    if (pfn === 0) return false;
    const idx = (ref >>> 1) & IDX_MASK;
    this.i32[this.dmaAt + idx] = pfn;
    this.mapped?.add(idx);
    if (this.syncsDevice) this.device.syncForDevice(pfn, this.offsetBytes, this.maxLenBytes, this.dir);
    return true;
  }

  /** Knows of a mapping that another thread made for the pool. */
  adoptMapping(idx: number): void {
    if (this.i32[this.dmaAt + idx] !== 0) this.mapped?.add(idx);
  }

  /** Takes the mapping of page `idx` away, if it still has one of the pool's. */
  unmap(idx: number): void {
    if (this.mapped?.delete(idx) === true) this.dropMapping(idx);
  }

  /**
   * Control path: takes every mapping away, and calls `onError` with what the device threw. The books are right even
   * then: no page is unmapped twice.
   */
  unmapAll(onError: (error: unknown) => void): void {
    this.syncsDevice = false;
    if (this.mapped === null) return;
    for (let idx = this.mapped.takeFrom(0); idx >= 0; idx = this.mapped.takeFrom(idx >>> 10)) {
      try {
        this.dropMapping(idx);
      } catch (error) {
        onError(error);
      }
    }
  }

  /** Syncs the first `sizeBytes` that the device may write, -1 for all of them. */
  syncForDevice(ref: NetmemRef, sizeBytes: number): void {
    const pfn = this.i32[this.dmaAt + ((ref >>> 1) & IDX_MASK)]!;
    const max = this.maxLenBytes;
    const len = sizeBytes < 0 || sizeBytes > max ? max : sizeBytes;
    if (pfn !== 0) this.device.syncForDevice(pfn, this.offsetBytes, len, this.dir);
  }

  /** Shows the CPU what the device wrote at `[offsetBytes, offsetBytes + lenBytes)` of the part that is its own. */
  syncForCpu(pfn: number, offsetBytes: number, lenBytes: number): void {
    if (pfn !== 0 && this.syncsCpu) {
      this.device.syncForCpu(pfn, this.offsetBytes + offsetBytes, lenBytes, this.dir);
    }
  }

  private dropMapping(idx: number): void {
    const at = this.dmaAt + idx;
    const pfn = this.i32[at]!;
    this.i32[at] = 0;
    this.device.unmap(pfn, this.order, this.dir);
  }
}
