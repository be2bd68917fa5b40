/*
 * data path
 *
 * The pages of a binding that nobody has (kernel: the binding's `gen_pool` and its chunk owners). A chunk is one region of
 * the device with descriptors in a row; a page of it is a net_iov without an arena offset.
 */
import {
  type AreaHooks,
  GEN_SHIFT as GEN_SHIFT_,
  type Host,
  IDX_MASK as IDX_MASK_,
  INFO_AREA_MASK,
  INFO_AREA_SHIFT,
  META_GEN_MASK,
  type NetIovArea,
  type NetmemRef,
} from "@netmem/core";
import { PageBitmap } from "./page-bitmap.ts";

const GEN_SHIFT = GEN_SHIFT_;
const IDX_MASK = IDX_MASK_;
const GEN_MASK = META_GEN_MASK;
const AREA_SHIFT = INFO_AREA_SHIFT;
const AREA_MASK = INFO_AREA_MASK;

/** Bytes of the device, both a multiple of the page size. */
export interface DeviceRegion {
  readonly offset: number;
  readonly bytes: number;
}

/** One region of a binding. */
export interface Chunk {
  readonly area: NetIovArea;
  /** Descriptor of its first page. */
  readonly firstIdx: number;
  /** Number of its first page on the device: byte offset divided by the page size. */
  readonly firstPage: number;
  /** Number of its first page among those of the binding. */
  readonly firstOrdinal: number;
  readonly pages: PageBitmap;
}

export class GenPool {
  declare private readonly i32: Int32Array;
  declare private readonly infoAt: number;
  /** By area id; null for areas of others. */
  declare private readonly byArea: (Chunk | null)[];
  declare private readonly chunks: Chunk[];
  declare readonly host: Host;
  /** Pages of all chunks. */
  declare readonly pageCount: number;

  /** @throws `ERR_NETMEM_TABLE_FULL` (ENOSPC); nothing is held then. */
  constructor(host: Host, name: string, regions: readonly DeviceRegion[], hooks: AreaHooks) {
    this.i32 = host.i32;
    this.infoAt = host.infoAt;
    this.byArea = Array.from({ length: AREA_MASK + 1 }, () => null);
    this.chunks = [];
    this.host = host;
    this.pageCount = this.addChunks(name, regions, hooks);
  }

  /** Pages that nobody has. */
  get freeCount(): number {
    let count = 0;
    for (let n = 0; n < this.chunks.length; n++) count += this.chunks[n]!.pages.freeCount;
    return count;
  }

  /**
   * Takes up to `max` pages into `out[0..n)`, as references of free descriptors, the last one first: whoever pops them off
   * a stack gets them in the order of the device, which is how they are landed in one copy. Returns n.
   */
  take(out: Int32Array, max: number): number {
    const { chunks, i32 } = this;
    let n = 0;
    for (let c = 0; c < chunks.length && n < max; c++) {
      const { firstIdx, pages } = chunks[c]!;
      const end = n + pages.take(out, n, max - n);
      for (; n < end; n++) {
        const idx = firstIdx + out[n]!;
        out[n] = ((i32[idx]! & GEN_MASK) << GEN_SHIFT) | (idx << 1) | 1;
      }
    }
    for (let low = 0, high = n - 1; low < high; low++, high--) {
      const ref = out[low]!;
      out[low] = out[high]!;
      out[high] = ref;
    }
    return n;
  }

  /** Gives a page back, whose descriptor is free; false when it is no page of this pool, or here already. */
  put(ref: NetmemRef): boolean {
    const chunk = this.chunkOf(ref);
    return chunk !== null && chunk.pages.put(((ref >>> 1) & IDX_MASK) - chunk.firstIdx);
  }

  /** The chunk of a net_iov, null for anything else. */
  chunkOf(ref: NetmemRef): Chunk | null {
    const idx = (ref >>> 1) & IDX_MASK;
    if ((ref & 1) === 0 || ref < 0 || idx < this.host.layout.pageCount || idx >= this.host.layout.maxNetmems)
      return null;
    return this.byArea[(this.i32[this.infoAt + idx]! >>> AREA_SHIFT) & AREA_MASK]!;
  }

  owns(ref: NetmemRef): boolean {
    return this.chunkOf(ref) !== null;
  }

  /** Number of a page of this pool among all of it, -1 for anything else. */
  ordinalOf(ref: NetmemRef): number {
    const chunk = this.chunkOf(ref);
    return chunk === null ? -1 : chunk.firstOrdinal + ((ref >>> 1) & IDX_MASK) - chunk.firstIdx;
  }

  /** Number of a page of this pool on the device, -1 for anything else. */
  pageOf(ref: NetmemRef): number {
    const chunk = this.chunkOf(ref);
    return chunk === null ? -1 : chunk.firstPage + ((ref >>> 1) & IDX_MASK) - chunk.firstIdx;
  }

  /** The pool's page with that number among all of it, as its current reference; 0 when there is none. */
  refAt(ordinal: number): NetmemRef | 0 {
    const { chunks } = this;
    for (let c = 0; c < chunks.length; c++) {
      const { firstIdx, firstOrdinal, pages } = chunks[c]!;
      const n = ordinal - firstOrdinal;
      if (n < 0 || n >= pages.pageCount) continue;
      return (((this.i32[firstIdx + n]! & GEN_MASK) << GEN_SHIFT) | ((firstIdx + n) << 1) | 1) as NetmemRef;
    }
    return 0;
  }

  /** Removes the descriptors; every page is here. Control path. */
  dispose(): void {
    for (const { area } of this.chunks.splice(0)) {
      this.byArea[area.areaId] = null;
      this.host.areas.remove(area);
    }
  }

  /** Control path. */
  list(): readonly Chunk[] {
    return this.chunks;
  }

  /** Control path. */
  private addChunks(name: string, regions: readonly DeviceRegion[], hooks: AreaHooks): number {
    const { areas, pageShift } = this.host;
    let total = 0;
    try {
      for (const { offset, bytes } of regions) {
        const count = bytes / 2 ** pageShift;
        const area = areas.add({ name, count, pageShift, ...hooks });
        const firstPage = offset / 2 ** pageShift;
        const chunk = { area, firstIdx: area.firstIdx, firstPage, firstOrdinal: total, pages: new PageBitmap(count) };
        this.chunks.push(chunk);
        this.byArea[area.areaId] = chunk;
        total += count;
      }
    } catch (error) {
      this.dispose();
      throw error;
    }
    return total;
  }
}
