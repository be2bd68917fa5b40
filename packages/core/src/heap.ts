/*
 * The heap's words, behind its lock:
 *
 *   commonAt + COMMON_HEAP      lock
 *                          + s  first free block of 2^s bytes, a word offset; 0 for none
 *
 * A free block holds the next one's word offset and a mark. The descriptor of a page with blocks in it, which nobody else
 * needs while the page is out, says of which size they are, so that any thread can free what any other took. Blocks of a
 * page or more are pages of the page allocator. At every step the lists are whole: a thread that dies loses one block.
 */
import { type LockingHost, lockArena, unlockArena } from "./arena-lock.ts";
import { checkInt, NetmemError } from "./errors.ts";
import { type ArenaLayout, COMMON_HEAP } from "./layout.ts";
import { META_GEN_MASK } from "./meta.ts";
import { idxOf, makeRef, type PageRef } from "./netmem-ref.ts";
import { MAX_ORDER, type PageAllocator } from "./page-allocator.ts";

const MIN_SHIFT = 6;
const MAX_WORDS = 2 ** 29;
const NEXT = 0;
const MARK = 1;
/** XOR the block's word offset. A block that is out holds this by chance once in 2^32. */
const FREE_MARK = 0x6e6d6672;
/** In the dma column of the first page of a block, or of the page with blocks in it: + log2 of their size. */
const PAGE_MARK = 0x6e6d0000;

/** log2 of the size in bytes of the block that holds `words`. */
function shiftOf(words: number): number {
  return Math.max(MIN_SHIFT, 32 - Math.clz32(words * 4 - 1));
}

/** What {@link ArenaHeap} needs of its host. */
export interface HeapHost extends LockingHost {
  readonly layout: Pick<ArenaLayout, "pageShift" | "pageCount" | "firstPageIdx" | "dmaAt" | "commonAt">;
  readonly pages: Pick<PageAllocator, "allocPages" | "freePage">;
}

/**
 * Arena memory for control structures: rings, skb slabs, records. Zeroed, cache-line aligned, sizes rounded up to a
 * power of two; blocks below a page are cut from pages. Control path, any thread that has a page allocator.
 */
export class ArenaHeap {
  private readonly host: HeapHost;
  private readonly i32: Int32Array;
  private readonly pageShift: number;
  private readonly dmaAt: number;
  private readonly listsAt: number;

  constructor(host: HeapHost) {
    this.host = host;
    this.i32 = host.i32;
    this.pageShift = host.layout.pageShift;
    this.dmaAt = host.layout.dmaAt;
    this.listsAt = host.layout.commonAt + COMMON_HEAP;
  }

  /**
   * Word offset of `words` zeroed words, aligned to 64 bytes.
   * @throws `ERR_NETMEM_NO_MEMORY` (ENOMEM) when the page allocator is exhausted; `ERR_NETMEM_INVALID_PARAM` (EINVAL).
   */
  allocWords(words: number): number {
    const shift = shiftOf(checkInt("words", words, 1, MAX_WORDS));
    const at = shift < this.pageShift ? this.allocSmall(shift) : this.takePages(shift);
    this.i32.fill(0, at, at + words);
    return at;
  }

  /**
   * Gives back what {@link allocWords} returned for the same `words`, on whichever thread.
   * @throws `ERR_NETMEM_BAD_HEAP_FREE` (EINVAL) for anything else, a second free included; nothing has changed then.
   */
  freeWords(at: number, words: number): void {
    const shift = shiftOf(words);
    const idx = (at * 4) >>> this.pageShift;
    const step = 1 << ((shift < this.pageShift ? shift : this.pageShift) - 2);
    const isBlock = Number.isInteger(at) && (at & (step - 1)) === 0 && this.markOf(idx) === shift;
    if (!isBlock) failFree(at, words);
    if (shift < this.pageShift) this.freeSmall(at, words, shift);
    else this.freePages(idx);
  }

  private allocSmall(shift: number): number {
    return this.pop(shift) || this.cutPage(shift);
  }

  private pop(shift: number): number {
    const { host, i32, listsAt } = this;
    lockArena(host, listsAt);
    const at = i32[listsAt + shift]!;
    if (at !== 0) {
      i32[listsAt + shift] = i32[at + NEXT]!;
      i32[at + MARK] = 0;
    }
    unlockArena(host, listsAt);
    return at;
  }

  /** The first block of a fresh page is the caller's; the others go on the list, so that the second is the next one. */
  private cutPage(shift: number): number {
    // Not under the lock: an allocator that is short of pages asks others to give some back.
    const page = this.takePages(this.pageShift);
    this.i32[this.dmaAt + ((page * 4) >>> this.pageShift)] = PAGE_MARK | shift;
    const step = 1 << (shift - 2);
    lockArena(this.host, this.listsAt);
    for (let at = page + (1 << (this.pageShift - 2)) - step; at > page; at -= step) this.push(at, shift);
    unlockArena(this.host, this.listsAt);
    return page;
  }

  private freeSmall(at: number, words: number, shift: number): void {
    const { host, i32, listsAt } = this;
    lockArena(host, listsAt);
    const isFree = i32[at + MARK] === (FREE_MARK ^ at);
    if (!isFree) this.push(at, shift);
    unlockArena(host, listsAt);
    if (isFree) failFree(at, words);
  }

  private push(at: number, shift: number): void {
    const { i32, listsAt } = this;
    i32[at + NEXT] = i32[listsAt + shift]!;
    i32[at + MARK] = FREE_MARK ^ at;
    i32[listsAt + shift] = at;
  }

  private takePages(shift: number): number {
    const order = shift - this.pageShift;
    const page = order <= MAX_ORDER ? this.host.pages.allocPages(order) : 0;
    if (page === 0) failMemory(order);
    const idx = idxOf(page);
    this.i32[this.dmaAt + idx] = PAGE_MARK | shift;
    // "| 0": what a power returns is a heap number, and the caller will keep the offset in a field of its data path.
    return (idx * 2 ** (this.pageShift - 2)) | 0;
  }

  private freePages(idx: number): void {
    const { i32, dmaAt } = this;
    const mark = i32[dmaAt + idx]!;
    i32[dmaAt + idx] = 0;
    try {
      this.host.pages.freePage(makeRef(idx, i32[idx]! & META_GEN_MASK, 0) as PageRef);
    } catch (error) {
      // A thread without a page allocator, for one: the block is still out.
      i32[dmaAt + idx] = mark;
      throw error;
    }
  }

  /** log2 of the size of the blocks in a page, 0 for a page that is not the heap's. */
  private markOf(idx: number): number {
    const { layout } = this.host;
    if (!(idx >= layout.firstPageIdx && idx < layout.pageCount)) return 0;
    const mark = this.i32[this.dmaAt + idx]! - PAGE_MARK;
    return mark >= MIN_SHIFT && mark < 32 ? mark : 0;
  }
}

function failMemory(order: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_NO_MEMORY",
    errno: "ENOMEM",
    reason: `no free block of ${2 ** order} pages for a control structure`,
    remedy: "Enlarge arenaBytes, or ask for smaller rings.",
    param: "order",
    value: order,
  });
}

function failFree(at: number, words: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_BAD_HEAP_FREE",
    errno: "EINVAL",
    reason: `no block of ${words} words at word ${at} is out`,
    remedy: "Free a block once, with the size that it was allocated with.",
    param: "at",
    value: at,
  });
}
