import { checkInt, DmaDir, type DmaDevice, type Host, type NetmemRef } from "@netmem/core";
import { ArenaWords } from "./arena-words.ts";
import { bufferOffset } from "./buffer-offset.ts";
import { IovaSpace } from "./iova-space.ts";
import { Mappings } from "./mappings.ts";
import { PageBit, TranslationUnit } from "./translation-unit.ts";

const HUGE_SHIFT = 21;
const HUGE_BYTES = 2 ** HUGE_SHIFT;
const DEFAULT_IOTLB_ENTRIES = 64;
const MAX_IOTLB_ENTRIES = 65536;
const MAX_IO_PAGES = 2 ** 20;

/** What a mapping must allow for an access, by direction. */
const NEEDS = [PageBit.Read | PageBit.Write, PageBit.Read, PageBit.Write, 0] as const;

export interface IommuParams {
  /** Entries of the IOTLB, 1 to 65536, for both page sizes together. Default 64. */
  readonly iotlbEntries?: number;
  /**
   * I/O pages that can be mapped at a time, plus one: 2 to 2^20. Default: twice the arena's pages, rounded up to a power
   * of two. Each costs 8 bytes of the arena.
   */
  readonly ioPages?: number;
  /** Use one IOTLB entry per 2 MiB where a mapping allows it. Default true. */
  readonly hugeMappings?: boolean;
}

/** What an IOMMU counted since it was made. Every address translated is one of hit, miss or fault. */
export interface IommuStats {
  readonly hits: number;
  readonly misses: number;
  /** Misses that pushed another page out of the IOTLB. */
  readonly evictions: number;
  /** IOTLB entries that an unmap dropped. */
  readonly invalidations: number;
  /** Accesses to what is not mapped, or not in that direction. */
  readonly faults: number;
  /** Maps refused because the address space had no room. */
  readonly refused: number;
  /** Mappings that are live now. */
  readonly mapped: number;
  /** Pages that they cover. */
  readonly mappedPages: number;
}

export class IommuDevice implements DmaDevice {
  readonly name = "iommu";
  readonly needsSync = false;
  private readonly unit: TranslationUnit;
  private readonly mappings: Mappings;
  private readonly iovas: IovaSpace;
  private readonly memory: ArenaWords;
  private readonly host: Host;
  private readonly hugeOrder: number;
  private readonly hugeMappings: boolean;
  private refused = 0;
  private disposed = false;

  /** @internal Use {@link createIommuDevice}. */
  constructor(host: Host, params: IommuParams) {
    const entries = checkInt("iotlbEntries", params.iotlbEntries ?? DEFAULT_IOTLB_ENTRIES, 1, MAX_IOTLB_ENTRIES) | 0;
    const ioPages = checkInt("ioPages", params.ioPages ?? defaultIoPages(host), 2, MAX_IO_PAGES) | 0;
    this.host = host;
    this.hugeOrder = HUGE_SHIFT - host.pageShift;
    this.hugeMappings = params.hugeMappings ?? true;
    this.memory = new ArenaWords(host.heap);
    this.unit = new TranslationUnit(host.i32, this.memory, ioPages, entries, host.pageShift, this.hugeOrder);
    this.mappings = new Mappings(this.name, ioPages, host.pageShift);
    this.iovas = new IovaSpace(this.mappings, ioPages, this.hugeOrder);
  }

  /** 0 when no run of 2^order I/O pages is free, counted as `refused`. @throws what {@link createIommuDevice} says. */
  map(ref: NetmemRef, order: number, dir: DmaDir): number {
    const offset = bufferOffset(this.host, ref, order, dir);
    const pfn = this.disposed ? 0 : this.iovas.take(order);
    if (pfn === 0) {
      this.refused++;
      return 0;
    }
    this.mappings.add(pfn, order, dir);
    this.unit.setRange(pfn, 2 ** order, offset, {
      canRead: dir !== DmaDir.FromDevice,
      canWrite: dir !== DmaDir.ToDevice,
      isHuge: this.hugeMappings && order >= this.hugeOrder && offset % HUGE_BYTES === 0,
    });
    return pfn;
  }

  /** Every later use of the pages faults. @throws `ERR_NETMEM_DMA_NOT_MAPPED`, `ERR_NETMEM_DMA_MISMATCH` (EINVAL) */
  unmap(pfn: number, order: number, dir: DmaDir): void {
    if (this.disposed) return;
    this.mappings.remove(pfn, order, dir);
    this.iovas.give(pfn, order);
    this.unit.clearRange(pfn, 2 ** order);
  }

  /** Nothing to do: device and CPU see the same bytes. */
  syncForDevice(_pfn: number, _offset: number, _len: number, _dir: DmaDir): void {}

  /** Nothing to do: device and CPU see the same bytes. */
  syncForCpu(_pfn: number, _offset: number, _len: number, _dir: DmaDir): void {}

  /** See {@link DmaDevice.translateMany}. Without `access` any mapping translates, whatever its direction. */
  translateMany(pfns: Int32Array, n: number, access: DmaDir = DmaDir.None): void {
    this.unit.translateMany(pfns, n, NEEDS[access]);
  }

  /** Addresses found in the IOTLB so far; as in {@link stats}, for who asks once per burst. */
  get hits(): number {
    return this.unit.hits;
  }

  /** Addresses looked up in the page table so far. */
  get misses(): number {
    return this.unit.misses;
  }

  /** Whether the device may write to the page. A "no" is counted as a fault; the IOTLB is not asked. */
  checkWrite(pfn: number): boolean {
    return this.unit.checkWrite(pfn);
  }

  /** Whether the device may read the page. A "no" is counted as a fault; the IOTLB is not asked. */
  checkRead(pfn: number): boolean {
    return this.unit.checkRead(pfn);
  }

  /** Pages in the IOTLB, the one used last first, 2 MiB ones by their first page. A copy. */
  iotlbPages(): number[] {
    return this.unit.cachedPages();
  }

  /** A copy of the counters. */
  stats(): IommuStats {
    const { unit, mappings, refused } = this;
    return {
      hits: unit.hits,
      misses: unit.misses,
      evictions: unit.evictions(),
      invalidations: unit.invalidations,
      faults: unit.faults,
      refused,
      mapped: mappings.count,
      mappedPages: mappings.mappedPageCount,
    };
  }

  /**
   * Gives the arena memory back. Mappings that are live end: from then on everything faults, maps are refused, and an
   * unmap or a second call does nothing.
   */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    this.unit.close();
    this.mappings.clear();
    this.memory.giveBack();
  }
}

function defaultIoPages(host: Host): number {
  return Math.min(2 ** Math.ceil(Math.log2(host.layout.pageCount * 2)), MAX_IO_PAGES);
}

/**
 * A device behind an IOMMU whose IOTLB replaces the page used least recently, exactly. It is strict: an unmap invalidates
 * at once. Addresses are handed out in a circle, so that a use after unmap faults instead of meeting the next mapping.
 *
 * A mapping of 2 MiB or more that is aligned to 2 MiB in the arena takes one IOTLB entry per 2 MiB, any other one per
 * page. Translating costs 2-6 ns per address; mapping and unmapping a page 100.
 *
 * Belongs to the thread that made it.
 *
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL), `ERR_NETMEM_NO_MEMORY` (ENOMEM). The device's `map` throws
 * `ERR_NETMEM_INVALID_PARAM` for what is not whole pages of the arena, and `ERR_NETMEM_UNREADABLE` (EFAULT) for memory
 * outside it.
 */
export function createIommuDevice(host: Host, params: IommuParams = {}): IommuDevice {
  return new IommuDevice(host, params);
}
