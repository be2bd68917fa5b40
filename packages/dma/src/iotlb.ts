/*
 * data path
 *
 * A translation cache with exact least-recently-used replacement. Its slots form a ring of arena words, most recently used
 * first; the slot before the head is the next to be replaced. A dense table says which slot holds a page.
 *
 *  slotsAt + 4 * n      page frame number, -1 while the slot is empty
 *            4 * n + 1  word offset of the next slot in the ring, used less recently
 *            4 * n + 2  word offset of the one before it
 *  slotOfAt + pfn       word offset of the slot that holds the page, 0 for none
 */
import type { ArenaWords } from "./arena-words.ts";

const SLOT_WORDS = 4;
const NEXT = 1;
const PREV = 2;
const EMPTY = -1;

export class Iotlb {
  // "declare": see docs/decisions/0007. Hot fields first.
  declare private readonly i32: Int32Array;
  /** Word offset of the slot that was used last. */
  declare head: number;
  /** Word offset of the table of slots by page frame number. */
  declare readonly slotOfAt: number;
  declare private readonly slotsAt: number;
  declare private readonly entries: number;

  /** Takes 4 words for each entry and one for each page. @throws `ERR_NETMEM_NO_MEMORY` (ENOMEM) */
  constructor(i32: Int32Array, memory: ArenaWords, entries: number, ioPages: number) {
    this.i32 = i32;
    this.head = memory.take(entries * SLOT_WORDS);
    this.slotOfAt = memory.take(ioPages);
    this.slotsAt = this.head;
    this.entries = entries;
    this.linkAll();
  }

  /** Makes the slot at word `slot`, which is not the head, the one used last. */
  touch(slot: number): void {
    const i32 = this.i32;
    const tail = i32[this.head + PREV]!;
    if (slot !== tail) this.moveBefore(slot, tail);
    this.head = slot;
  }

  /** Caches a page that is not cached, in the slot used least recently. Returns 1 if another page had to leave it. */
  fill(pfn: number): number {
    const i32 = this.i32;
    const slot = i32[this.head + PREV]!;
    const old = i32[slot]!;
    i32[slot] = pfn;
    i32[this.slotOfAt + pfn] = slot;
    this.head = slot;
    if (old === EMPTY) return 0;
    i32[this.slotOfAt + old] = 0;
    return 1;
  }

  /** Drops a page if it is cached; its slot is the next to be filled. Returns 1 if it was. */
  invalidate(pfn: number): number {
    const i32 = this.i32;
    const slot = i32[this.slotOfAt + pfn]!;
    if (slot === 0) return 0;
    i32[this.slotOfAt + pfn] = 0;
    i32[slot] = EMPTY;
    const tail = i32[this.head + PREV]!;
    if (slot === this.head) this.head = i32[slot + NEXT]!;
    else if (slot !== tail) this.moveBefore(slot, tail);
    return 1;
  }

  /** Pages in the cache, the one used last first. Control path. */
  pages(): number[] {
    const found: number[] = [];
    let slot = this.head;
    for (let n = 0; n < this.entries; n++) {
      if (this.i32[slot] !== EMPTY) found.push(this.i32[slot]!);
      slot = this.i32[slot + NEXT]!;
    }
    return found;
  }

  /** Takes a slot that is neither head nor tail out of its place and puts it between both. */
  private moveBefore(slot: number, tail: number): void {
    const i32 = this.i32;
    const head = this.head;
    const next = i32[slot + NEXT]!;
    const prev = i32[slot + PREV]!;
    i32[prev + NEXT] = next;
    i32[next + PREV] = prev;
    i32[tail + NEXT] = slot;
    i32[slot + PREV] = tail;
    i32[slot + NEXT] = head;
    i32[head + PREV] = slot;
  }

  /** Control path. */
  private linkAll(): void {
    const { i32, slotsAt, entries } = this;
    for (let n = 0; n < entries; n++) {
      const slot = slotsAt + n * SLOT_WORDS;
      i32[slot] = EMPTY;
      i32[slot + NEXT] = slotsAt + ((n + 1) % entries) * SLOT_WORDS;
      i32[slot + PREV] = slotsAt + ((n + entries - 1) % entries) * SLOT_WORDS;
    }
  }
}
