import type { NetmemRef } from "./netmem-ref.ts";

/** Direction of a DMA mapping, the kernel's numbers. */
export const DmaDir = { Bidirectional: 0, ToDevice: 1, FromDevice: 2, None: 3 } as const;
export type DmaDir = (typeof DmaDir)[keyof typeof DmaDir];

/**
 * A device that reads and writes packet memory by its own addresses. Addresses are page frame numbers, so that they
 * stay small integers; 0 is "failed" and never a valid one.
 */
export interface DmaDevice {
  readonly name: string;
  /** True when CPU and device may see different bytes until synced. */
  readonly needsSync: boolean;
  /** Maps 2^order pages; returns the page frame number, 0 when refused. */
  map(ref: NetmemRef, order: number, dir: DmaDir): number;
  unmap(pfn: number, order: number, dir: DmaDir): void;
  /** Makes `[offset, offset + len)` visible to the device, counted from `pfn`: any page of a mapping. Bytes. */
  syncForDevice(pfn: number, offset: number, len: number, dir: DmaDir): void;
  /** Makes `[offset, offset + len)` visible to the CPU, counted from `pfn`: any page of a mapping. Bytes. */
  syncForCpu(pfn: number, offset: number, len: number, dir: DmaDir): void;
  /**
   * Replaces `n` page frame numbers by arena byte offsets of their pages; -1 for a fault. Once per burst. `access` is what
   * the device is about to do, as a direction (`FromDevice`: write): a device that checks it faults where the mapping
   * does not allow it. Default `None`: not asked.
   */
  translateMany(pfns: Int32Array, n: number, access?: DmaDir): void;
}
