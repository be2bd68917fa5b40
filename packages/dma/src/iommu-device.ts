/*
 * data path
 *
 * A device behind an IOMMU. Its page table is one arena word for each I/O page:
 *
 *   30           pageShift   3       2     1      0
 *  +------------------------+-------+-----+------+---+
 *  | arena page             | write | read| huge | 1 |    0 as a whole: not mapped
 *  +------------------------+-------+-----+------+---+
 *
 * "huge" pages belong to a 2 MiB entry of the IOTLB, which is cached under its first page. An unmap takes pages out of
 * the IOTLB before it returns, so what is cached is never older than the table, and the table alone decides where a
 * translation leads; the IOTLB decides what it costs.
 */
import { checkInt, DmaDir, type DmaDevice, type Host, type NetmemRef } from "@netmem/core";
import { ArenaWords } from "./arena-words.ts";
import { bufferOffset } from "./buffer-offset.ts";
import { Iotlb } from "./iotlb.ts";
import { IovaSpace } from "./iova-space.ts";
import { Mappings } from "./mappings.ts";

const PRESENT = 1;
const HUGE = 2;
const READ = 4;
const WRITE = 8;
const HUGE_SHIFT = 21;
const TO_DEVICE = DmaDir.ToDevice;
const FROM_DEVICE = DmaDir.FromDevice;

const DEFAULT_IOTLB_ENTRIES = 64;
const MAX_IOTLB_ENTRIES = 65536;
const MAX_IO_PAGES = 2 ** 20;

/* Places of the counters. A Float64Array: exact to 2^53, and written once per burst. */
const HITS = 0;
const MISSES = 1;
const EVICTIONS = 2;
const INVALIDATIONS = 3;
const FAULTS = 4;
const REFUSED = 5;
const COUNTERS = 6;

export interface IommuParams {
  /** Entries of the IOTLB, 1 to 65536, for both page sizes together. Default 64. */
  readonly iotlbEntries?: number;
  /**
   * I/O pages that can be mapped at a time, plus one: 2 to 2^20. Default: twice the arena's pages, rounded up to a power
   * of two. Each costs 8 bytes of the arena.
   */
  readonly ioPages?: number;
  /** Use one entry per 2 MiB where a mapping allows it. Default true. */
  readonly hugeMappings?: boolean;
}

/** What an IOMMU counted since it was made. hits + misses + faults = addresses translated or checked without success. */
export interface IommuStats {
  readonly hits: number;
  readonly misses: number;
  /** Misses that pushed another page out. */
  readonly evictions: number;
  /** IOTLB entries that an unmap dropped. */
  readonly invalidations: number;
  /** Accesses to what is not mapped, or not in that direction. */
  readonly faults: number;
  /** Mappings refused because the address space had no room. */
  readonly refused: number;
  /** Mappings that are live now. */
  readonly mapped: number;
  /** Pages that they cover. */
  readonly mappedPages: number;
}

export class IommuDevice implements DmaDevice {
  // "declare": see docs/decisions/0007. Hot fields first.
  declare private readonly i32: Int32Array;
  /** Word offset of the page table. */
  declare private readonly tableAt: number;
  /** 0 once the device is disposed, so that every address faults. */
  declare private ioPages: number;
  /** Clears the bits of a page frame number below its 2 MiB block. */
  declare private readonly hugeMask: number;
  /** Clears the bits of a table word that are no address. */
  declare private readonly offsetMask: number;
  declare private readonly iotlb: Iotlb;
  declare private readonly counts: Float64Array;
  declare private readonly pageShift: number;
  declare private readonly hugeOrder: number;
  declare private readonly hugeMappings: boolean;
  declare private readonly mappings: Mappings;
  declare private readonly iovas: IovaSpace;
  declare private readonly memory: ArenaWords;
  declare private readonly host: Host;
  declare readonly name: string;
  declare readonly needsSync: boolean;

  /** @internal Use {@link createIommuDevice}. */
  constructor(host: Host, params: IommuParams) {
    const { pageShift } = host;
    const entries = checkInt("iotlbEntries", params.iotlbEntries ?? DEFAULT_IOTLB_ENTRIES, 1, MAX_IOTLB_ENTRIES) | 0;
    const ioPages = checkInt("ioPages", params.ioPages ?? defaultIoPages(host), 2, MAX_IO_PAGES) | 0;
    const hugeOrder = HUGE_SHIFT - pageShift;
    const memory = new ArenaWords(host.heap);
    this.i32 = host.i32;
    this.tableAt = memory.take(ioPages);
    this.ioPages = ioPages;
    this.hugeMask = -1 << hugeOrder;
    this.offsetMask = -1 << pageShift;
    this.iotlb = new Iotlb(host.i32, memory, entries, ioPages);
    this.counts = new Float64Array(COUNTERS);
    this.pageShift = pageShift;
    this.hugeOrder = hugeOrder;
    this.hugeMappings = params.hugeMappings ?? true;
    this.mappings = new Mappings("iommu", ioPages, pageShift);
    this.iovas = new IovaSpace(this.mappings, ioPages, hugeOrder);
    this.memory = memory;
    this.host = host;
    this.name = "iommu";
    this.needsSync = false;
  }

  /** 0 when no run of 2^order I/O pages is free, counted as `refused`. @throws what {@link createIommuDevice} says. */
  map(ref: NetmemRef, order: number, dir: DmaDir): number {
    const offset = bufferOffset(this.host, ref, order, dir);
    const pfn = this.ioPages === 0 ? 0 : this.iovas.find(order);
    if (pfn === 0) {
      this.count(REFUSED, 1);
      return 0;
    }
    this.mappings.add(pfn, order, dir);
    this.setTable(pfn, 1 << order, offset | this.flagsOf(offset, order, dir));
    return pfn;
  }

  /** Every later use of the pages faults. @throws `ERR_NETMEM_DMA_NOT_MAPPED`, `ERR_NETMEM_DMA_MISMATCH` (EINVAL) */
  unmap(pfn: number, order: number, dir: DmaDir): void {
    if (this.ioPages === 0) return;
    this.mappings.remove(pfn, order, dir);
    const { i32, tableAt, iotlb } = this;
    const step = (i32[tableAt + pfn]! & HUGE) === 0 ? 1 : 1 << this.hugeOrder;
    const end = pfn + (1 << order);
    let dropped = 0;
    for (let page = pfn; page < end; page += step) dropped += iotlb.invalidate(page);
    i32.fill(0, tableAt + pfn, tableAt + end);
    this.count(INVALIDATIONS, dropped);
  }

  /** Nothing to do: device and CPU see the same bytes. */
  syncForDevice(_pfn: number, _offset: number, _len: number, _dir: DmaDir): void {}

  syncForCpu(_pfn: number, _offset: number, _len: number, _dir: DmaDir): void {}

  /** See {@link DmaDevice.translateMany}. Any mapping translates, whatever its direction: see {@link checkWrite}. */
  translateMany(pfns: Int32Array, n: number): void {
    const { i32, tableAt, ioPages, hugeMask, offsetMask, iotlb } = this;
    const slotOfAt = iotlb.slotOfAt;
    let misses = 0;
    let evictions = 0;
    let faults = 0;
    for (let k = 0; k < n; k++) {
      const pfn = pfns[k]!;
      const entry = pfn >= 0 && pfn < ioPages ? i32[tableAt + pfn]! : 0;
      if (entry === 0) {
        pfns[k] = -1;
        faults++;
        continue;
      }
      const page = (entry & HUGE) === 0 ? pfn : pfn & hugeMask;
      const slot = i32[slotOfAt + page]!;
      if (slot === 0) {
        misses++;
        evictions += iotlb.fill(page);
      } else if (slot !== iotlb.head) iotlb.touch(slot);
      pfns[k] = entry & offsetMask;
    }
    this.countBurst(n, misses, evictions, faults);
  }

  /** Whether the device may write to the page; false is counted as a fault. Leaves the IOTLB alone. */
  checkWrite(pfn: number): boolean {
    return this.checkAccess(pfn, WRITE);
  }

  /** Whether the device may read the page; false is counted as a fault. Leaves the IOTLB alone. */
  checkRead(pfn: number): boolean {
    return this.checkAccess(pfn, READ);
  }

  /** Pages in the IOTLB, the one used last first, 2 MiB entries by their first page. Control path. */
  iotlbPages(): number[] {
    return this.iotlb.pages();
  }

  /** A copy of the counters. Control path. */
  stats(): IommuStats {
    const { counts, mappings } = this;
    return {
      hits: counts[HITS]!,
      misses: counts[MISSES]!,
      evictions: counts[EVICTIONS]!,
      invalidations: counts[INVALIDATIONS]!,
      faults: counts[FAULTS]!,
      refused: counts[REFUSED]!,
      mapped: mappings.count,
      mappedPages: mappings.mappedPageCount,
    };
  }

  /**
   * Gives the arena memory back. Mappings that are live end: from then on everything faults, nothing can be mapped, and
   * an unmap or a second call does nothing. Control path.
   */
  dispose(): void {
    if (this.ioPages === 0) return;
    this.ioPages = 0;
    this.mappings.clear();
    this.memory.giveBack();
  }

  private checkAccess(pfn: number, access: number): boolean {
    const entry = pfn >= 0 && pfn < this.ioPages ? this.i32[this.tableAt + pfn]! : 0;
    if ((entry & access) !== 0) return true;
    this.count(FAULTS, 1);
    return false;
  }

  private setTable(pfn: number, size: number, first: number): void {
    const { i32, tableAt } = this;
    const step = 1 << this.pageShift;
    let entry = first;
    for (let page = pfn; page < pfn + size; page++) {
      i32[tableAt + page] = entry;
      entry += step;
    }
  }

  private flagsOf(offset: number, order: number, dir: DmaDir): number {
    const isHuge = this.hugeMappings && order >= this.hugeOrder && (offset & ((1 << HUGE_SHIFT) - 1)) === 0;
    return PRESENT | (isHuge ? HUGE : 0) | (dir === FROM_DEVICE ? 0 : READ) | (dir === TO_DEVICE ? 0 : WRITE);
  }

  private countBurst(n: number, misses: number, evictions: number, faults: number): void {
    const counts = this.counts;
    counts[HITS] = counts[HITS]! + (n - misses - faults);
    if (misses !== 0) counts[MISSES] = counts[MISSES]! + misses;
    if (evictions !== 0) counts[EVICTIONS] = counts[EVICTIONS]! + evictions;
    if (faults !== 0) counts[FAULTS] = counts[FAULTS]! + faults;
  }

  private count(counter: number, by: number): void {
    this.counts[counter] = this.counts[counter]! + by;
  }
}

function defaultIoPages(host: Host): number {
  return Math.min(2 ** Math.ceil(Math.log2(host.layout.pageCount * 2)), MAX_IO_PAGES);
}

/**
 * A device behind an IOMMU with an IOTLB of exact least-recently-used replacement (strict mode: an unmap invalidates at
 * once). Addresses go round in a circle, so a use after unmap faults instead of meeting the next mapping.
 *
 * A mapping of 2 MiB or more that is aligned to 2 MiB in the arena takes one IOTLB entry per 2 MiB, any other one per
 * page. Translating costs 2-5 ns per address, mapping a page about 50.
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
