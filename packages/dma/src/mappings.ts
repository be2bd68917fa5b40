import { describeMapping, failMismatch, failNotMapped, failSyncDir, failSyncRange } from "./mapping-misuse.ts";

/*
 * One byte per page frame:
 *
 *    7    6 5 4   0
 *  +----+-----+-----+
 *  | 1  | dir |order|   first page of a mapping
 *  +----+-----+-----+
 *  | 0  | dir | 1   |   another page of it
 *  +----------------+
 *  |        0       |   not mapped
 */
const HEAD = 0x80;
const DIR_SHIFT = 5;
const DIR_MASK = 3;
const ORDER_MASK = 0x1f;
const TAIL = 1;
const BIDIRECTIONAL = 0;
const NONE = 3;

/** Which page frame numbers of a device are mapped, and how. Control path: maps, unmaps and syncs go through it. */
export class Mappings {
  /** Mappings that are live. */
  count = 0;
  /** Pages that they cover. */
  mappedPageCount = 0;
  private readonly bytes: Uint8Array;
  private readonly device: string;
  private readonly pageShift: number;

  /** `pageCount`: page frame numbers are below it. `device`: its name in errors. */
  constructor(device: string, pageCount: number, pageShift: number) {
    this.bytes = new Uint8Array(pageCount);
    this.device = device;
    this.pageShift = pageShift;
  }

  /** Whether the page is mapped, and for what the device is about to do: a direction, `None` for not asked. */
  allows(pfn: number, access: number): boolean {
    const byte = this.bytes[pfn] ?? 0;
    if (byte === 0 || access === NONE) return byte !== 0;
    const mapped = (byte >>> DIR_SHIFT) & DIR_MASK;
    return mapped === access || mapped === BIDIRECTIONAL;
  }

  /** Records a mapping of pages that are free. */
  add(pfn: number, order: number, dir: number): void {
    const size = 2 ** order;
    this.bytes.fill((dir << DIR_SHIFT) | TAIL, pfn, pfn + size);
    this.bytes[pfn] = HEAD | (dir << DIR_SHIFT) | order;
    this.count++;
    this.mappedPageCount += size;
  }

  /** @throws `ERR_NETMEM_DMA_NOT_MAPPED`, `ERR_NETMEM_DMA_MISMATCH` (EINVAL); nothing has changed then. */
  remove(pfn: number, order: number, dir: number): void {
    const head = this.headAt(pfn);
    if (head !== (HEAD | (dir << DIR_SHIFT) | order))
      failMismatch(this.device, pfn, order, dir, describeHead(pfn, head));
    const size = 2 ** order;
    this.bytes.fill(0, pfn, pfn + size);
    this.count--;
    this.mappedPageCount -= size;
  }

  clear(): void {
    this.bytes.fill(0);
    this.count = 0;
    this.mappedPageCount = 0;
  }

  /**
   * `pfn` may be any page of a mapping; `offset` counts from it.
   * @throws `ERR_NETMEM_DMA_NOT_MAPPED`, `ERR_NETMEM_DMA_SYNC_RANGE`, `ERR_NETMEM_DMA_SYNC_DIR` (EINVAL)
   */
  checkSync(pfn: number, offset: number, len: number, dir: number): void {
    const first = this.firstOf(pfn);
    const head = this.headAt(first);
    const bytes = (2 ** (head & ORDER_MASK) - (pfn - first)) * 2 ** this.pageShift;
    if (!(offset >= 0 && len >= 0 && offset + len <= bytes)) failSyncRange(this.device, offset, len, bytes);
    const mapped = (head >>> DIR_SHIFT) & DIR_MASK;
    if (dir !== mapped && mapped !== BIDIRECTIONAL) failSyncDir(this.device, dir, describeHead(first, head));
  }

  /** First page of the lowest run of 2^order free pages, aligned to its size, in `[from, to)`; -1 when there is none. */
  findFree(order: number, from: number, to: number): number {
    const size = 2 ** order;
    let pfn = from;
    for (;;) {
      const free = this.bytes.indexOf(0, pfn);
      if (free < 0) return -1;
      const start = (free + size - 1) & -size;
      if (start + size > to) return -1;
      const taken = this.lastTaken(start, size);
      if (taken < 0) return start;
      pfn = taken + 1;
    }
  }

  private lastTaken(start: number, size: number): number {
    for (let pfn = start + size - 1; pfn >= start; pfn--) if (this.bytes[pfn] !== 0) return pfn;
    return -1;
  }

  private firstOf(pfn: number): number {
    let first = pfn;
    while (first > 0 && ((this.bytes[first] ?? 0) & (HEAD | TAIL)) === TAIL) first--;
    return first;
  }

  private headAt(pfn: number): number {
    const head = this.bytes[pfn] ?? 0;
    return (head & HEAD) === 0 ? failNotMapped(this.device, pfn) : head;
  }
}

function describeHead(pfn: number, head: number): string {
  return describeMapping(pfn, head & ORDER_MASK, (head >>> DIR_SHIFT) & DIR_MASK);
}
