/*
 * data path
 *
 * A page table with a translation cache (IOTLB) before it, as arena words. The table has one word for each I/O page:
 *
 *   30           pageShift   3       2     1      0
 *  +------------------------+-------+-----+------+---+
 *  | arena page             | write | read| huge | 1 |    0 as a whole: not mapped
 *  +------------------------+-------+-----+------+---+
 *
 * The cache replaces the page that was used least recently, exactly. Its slots form a ring, most recently used first, so
 * that the slot before the head is the next to be replaced; a dense table says which slot holds a page. A page of 2 MiB
 * ("huge") is cached under its first page frame number.
 *
 *  slot + 0       page frame number, 0 while empty (no page has that number)
 *       + 1       word offset of the next slot in the ring, used less recently
 *       + 2       word offset of the one before it
 *  slotOfAt + pfn word offset of the slot that holds the page, 0 for none
 *
 * Clearing a table word takes the page out of the cache as well, so the cache is never older than the table: the table
 * alone decides where a translation leads, the cache what it would cost.
 */
import type { ArenaWords } from "./arena-words.ts";

/* Bits of a table word. Address and bits are told apart by a constant: pages are 4 KiB at least. */
const PRESENT = 1;
const HUGE = 2;
const ADDRESS = -16;

const SLOT_WORDS = 4;
const NEXT = 1;
const PREV = 2;

/** Bits of a table word that a device may need. */
export const PageBit = { Read: 4, Write: 8 } as const;
const READ = PageBit.Read;
const WRITE = PageBit.Write;

/** How a range of pages is mapped. */
export interface PageAccess {
  readonly canRead: boolean;
  readonly canWrite: boolean;
  /** The range is whole 2 MiB pages, aligned on both sides. */
  readonly isHuge: boolean;
}

export class TranslationUnit {
  // "declare": see docs/decisions/0007. Hot fields first.
  declare private readonly i32: Int32Array;
  declare private readonly tableAt: number;
  /** Page frame numbers are below it; 0 once {@link close} was called, so that all fault. */
  declare private ioPages: number;
  declare private readonly slotOfAt: number;
  /** Slot that was used last. */
  declare private head: number;
  /** Clears the bits of a page frame number below its 2 MiB page. */
  declare private readonly hugeMask: number;
  declare private readonly pageShift: number;
  declare private readonly slotsAt: number;
  declare private readonly entries: number;
  /* Exact to 2^53. Written once per burst, so that it does not matter when they outgrow small integers. */
  declare hits: number;
  declare misses: number;
  declare invalidations: number;
  declare faults: number;

  /**
   * Takes two words for each of `ioPages` and four for each of `entries`. A 2 MiB page is 2^`hugeOrder` pages.
   * @throws `ERR_NETMEM_NO_MEMORY` (ENOMEM)
   */
  constructor(
    i32: Int32Array,
    memory: ArenaWords,
    ioPages: number,
    entries: number,
    pageShift: number,
    hugeOrder: number,
  ) {
    this.i32 = i32;
    this.tableAt = memory.take(ioPages);
    this.ioPages = ioPages;
    this.slotOfAt = memory.take(ioPages);
    this.head = memory.take(entries * SLOT_WORDS);
    this.hugeMask = -1 << hugeOrder;
    this.pageShift = pageShift;
    this.slotsAt = this.head;
    this.entries = entries;
    this.hits = 0;
    this.misses = 0;
    this.invalidations = 0;
    this.faults = 0;
    this.linkSlots();
  }

  /**
   * See `DmaDevice.translateMany`. `need`: bits of {@link PageBit} that the mapping must have, else it faults. Unrolled
   * into one function: as calls, lookup and replacement cost half as much again.
   */
  translateMany(pfns: Int32Array, n: number, need: number): void {
    const { i32, tableAt, ioPages, slotOfAt } = this;
    const want = PRESENT | need;
    let head = this.head;
    let tail = i32[head + PREV]!;
    let misses = 0;
    let faults = 0;
    for (let k = 0; k < n; k++) {
      let page = pfns[k]!;
      const entry = page >>> 0 < ioPages ? i32[tableAt + page]! : 0;
      // Alone among the bits, HUGE may be set: a page that lacks nothing else passes both tests.
      if ((entry & (want | HUGE)) !== want) {
        if ((entry & want) !== want) {
          pfns[k] = -1;
          faults++;
          continue;
        }
        page &= this.hugeMask;
      }
      pfns[k] = entry & ADDRESS;
      const slot = i32[slotOfAt + page]!;
      if (slot === head) continue;
      if (slot === 0) {
        misses++;
        i32[slotOfAt + i32[tail]!] = 0;
        i32[slotOfAt + page] = tail;
        i32[tail] = page;
        head = tail;
        tail = i32[head + PREV]!;
        continue;
      }
      if (slot === tail) tail = i32[tail + PREV]!;
      else this.moveBetween(tail, slot, head);
      head = slot;
    }
    this.head = head;
    this.countBurst(n, misses, faults);
  }

  /** Maps `count` pages from `pfn` on to the arena from byte `offset` on. The pages are not mapped. */
  setRange(pfn: number, count: number, offset: number, access: PageAccess): void {
    const { i32, tableAt } = this;
    const step = 1 << this.pageShift;
    const bits = PRESENT | (access.isHuge ? HUGE : 0) | (access.canRead ? READ : 0) | (access.canWrite ? WRITE : 0);
    let entry = offset | bits;
    for (let page = pfn; page < pfn + count; page++) {
      i32[tableAt + page] = entry;
      entry += step;
    }
  }

  /** Unmaps `count` pages from `pfn` on: the whole of what a {@link setRange} mapped. */
  clearRange(pfn: number, count: number): void {
    const { i32, tableAt } = this;
    const step = (i32[tableAt + pfn]! & HUGE) === 0 ? 1 : -this.hugeMask;
    for (let page = pfn; page < pfn + count; page += step) this.invalidate(page);
    i32.fill(0, tableAt + pfn, tableAt + pfn + count);
  }

  /** Whether the device may write to the page. A "no" is counted as a fault; the cache is not asked. */
  checkWrite(pfn: number): boolean {
    return this.checkAccess(pfn, WRITE);
  }

  /** Whether the device may read the page. A "no" is counted as a fault; the cache is not asked. */
  checkRead(pfn: number): boolean {
    return this.checkAccess(pfn, READ);
  }

  /** Pages in the cache, the one used last first. Control path. */
  cachedPages(): number[] {
    const found: number[] = [];
    if (this.ioPages === 0) return found;
    let slot = this.head;
    for (let n = 0; n < this.entries; n++) {
      if (this.i32[slot] !== 0) found.push(this.i32[slot]!);
      slot = this.i32[slot + NEXT]!;
    }
    return found;
  }

  /** Misses that pushed another page out: those whose page did not leave otherwise and is not there any more. Control path. */
  evictions(): number {
    return this.misses - this.invalidations - this.cachedPages().length;
  }

  /** From here on everything faults and no word is touched, so that the memory can be given back. Control path. */
  close(): void {
    for (const page of this.cachedPages()) this.invalidate(page);
    this.ioPages = 0;
  }

  /** Drops a page if it is cached; its slot becomes the next to be filled. */
  private invalidate(page: number): void {
    const { i32, head, slotOfAt } = this;
    const slot = i32[slotOfAt + page]!;
    if (slot === 0) return;
    this.invalidations++;
    i32[slotOfAt + page] = 0;
    i32[slot] = 0;
    const tail = i32[head + PREV]!;
    if (slot === head) this.head = i32[slot + NEXT]!;
    else if (slot !== tail) this.moveBetween(tail, slot, head);
  }

  /** Takes a slot that is neither the last nor the first of the ring out of its place and puts it between both. */
  private moveBetween(tail: number, slot: number, head: number): void {
    const i32 = this.i32;
    const next = i32[slot + NEXT]!;
    const prev = i32[slot + PREV]!;
    i32[prev + NEXT] = next;
    i32[next + PREV] = prev;
    i32[tail + NEXT] = slot;
    i32[slot + PREV] = tail;
    i32[slot + NEXT] = head;
    i32[head + PREV] = slot;
  }

  private checkAccess(pfn: number, access: number): boolean {
    const entry = pfn >>> 0 < this.ioPages ? this.i32[this.tableAt + pfn]! : 0;
    if ((entry & access) !== 0) return true;
    this.faults++;
    return false;
  }

  private countBurst(n: number, misses: number, faults: number): void {
    this.hits += n - misses - faults;
    if (misses !== 0) this.misses += misses;
    if (faults !== 0) this.faults += faults;
  }

  /** Control path. */
  private linkSlots(): void {
    const { i32, slotsAt, entries } = this;
    for (let n = 0; n < entries; n++) {
      const slot = slotsAt + n * SLOT_WORDS;
      i32[slot + NEXT] = slotsAt + ((n + 1) % entries) * SLOT_WORDS;
      i32[slot + PREV] = slotsAt + ((n + entries - 1) % entries) * SLOT_WORDS;
    }
  }
}
