/*
 * data path
 *
 * The hardware's descriptor cache: reads up to 64 posted descriptors at a time and translates their page frame numbers,
 * so that the device contract is crossed once per 64 descriptors.
 */
import type { DmaDevice, DmaDir, Host } from "@netmem/core";
import type { DescriptorRing } from "./descriptor-ring.ts";

const BATCH = 64;

export class DescFetch {
  declare private readonly i32: Int32Array;
  declare private readonly ring: DescriptorRing;
  declare private readonly dma: DmaDevice | null;
  /** What the hardware does with the addresses. */
  declare private readonly access: DmaDir;
  declare private readonly pageShift: number;
  /** Arena byte offset of each descriptor's page, by slot. */
  declare private readonly pages: Int32Array;
  private readonly batch: Int32Array = new Int32Array(BATCH);
  /** Indices below are in the cache. */
  declare private end: number;

  constructor(host: Host, ring: DescriptorRing, dma: DmaDevice | null, access: DmaDir) {
    this.i32 = host.i32;
    this.ring = ring;
    this.dma = dma;
    this.access = access;
    this.pageShift = host.pageShift;
    this.pages = new Int32Array(ring.size);
    this.end = ring.completed;
  }

  /** Arena byte offset of the page of descriptor `index`, which must be posted; negative when translation faulted. */
  pageOf(index: number): number {
    if (((this.end - index) | 0) <= 0) this.fill(index);
    return this.pages[index & this.ring.mask]!;
  }

  /** Forgets what was read: the ring has been reset. */
  reset(): void {
    this.end = this.ring.completed;
  }

  private fill(from: number): void {
    const { ring, batch } = this;
    const n = Math.min((ring.producer - from) | 0, BATCH);
    for (let k = 0; k < n; k++) batch[k] = this.i32[ring.descAt(from + k)]!;
    if (this.dma === null) for (let k = 0; k < n; k++) batch[k] = batch[k]! << this.pageShift;
    else this.dma.translateMany(batch, n, this.access);
    for (let k = 0; k < n; k++) this.pages[(from + k) & ring.mask] = batch[k]!;
    this.end = (from + n) | 0;
  }
}
