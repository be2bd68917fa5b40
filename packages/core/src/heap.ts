import { checkInt, NetmemError } from "./errors.ts";
import { MAX_ORDER, type PageAllocator } from "./page-allocator.ts";
import { idxOf, type PageRef } from "./netmem-ref.ts";

const MIN_SHIFT = 6;
const MAX_WORDS = 2 ** 29;

/** log2 of the size in bytes of the block that holds `words`. */
function shiftOf(words: number): number {
  return Math.max(MIN_SHIFT, 32 - Math.clz32(words * 4 - 1));
}

interface HeapBlock {
  readonly shift: number;
  /** The pages behind a block of a page or more, 0 for a smaller one. */
  readonly page: PageRef | 0;
}

/**
 * Arena memory for control structures: rings, skb slabs, records. Zeroed, cache-line aligned, sizes rounded up to a
 * power of two; blocks below a page are cut from pages. Control path, one thread.
 */
export class ArenaHeap {
  private readonly i32: Int32Array;
  private readonly pages: PageAllocator;
  private readonly pageShift: number;
  /** Free blocks by log2 of their size in bytes; byte offsets. */
  private readonly free: number[][] = [];
  /** Blocks that are out, by byte offset. */
  private readonly live = new Map<number, HeapBlock>();

  constructor(i32: Int32Array, pages: PageAllocator, pageShift: number) {
    this.i32 = i32;
    this.pages = pages;
    this.pageShift = pageShift;
  }

  /**
   * Word offset of `words` zeroed words, aligned to 64 bytes.
   * @throws `ERR_NETMEM_NO_MEMORY` (ENOMEM) when the page allocator is exhausted; `ERR_NETMEM_INVALID_PARAM` (EINVAL).
   */
  allocWords(words: number): number {
    const shift = shiftOf(checkInt("words", words, 1, MAX_WORDS));
    const page = shift < this.pageShift ? 0 : this.takePages(shift - this.pageShift);
    const offset = page === 0 ? this.allocSmall(shift) : idxOf(page) * 2 ** this.pageShift;
    this.live.set(offset, { shift, page });
    // "| 0": what a division returns is a heap number, and the caller will keep it in a field of its data path.
    const at = (offset / 4) | 0;
    this.i32.fill(0, at, at + words);
    return at;
  }

  /**
   * Gives back what {@link allocWords} returned for the same `words`.
   * @throws `ERR_NETMEM_BAD_HEAP_FREE` (EINVAL) for anything else, a second free included; nothing has changed then.
   */
  freeWords(at: number, words: number): void {
    const offset = at * 4;
    const block = this.live.get(offset);
    if (block === undefined || block.shift !== shiftOf(words)) failFree(at, words);
    this.live.delete(offset);
    if (block.page === 0) this.listOf(block.shift).push(offset);
    else this.pages.freePage(block.page);
  }

  private allocSmall(shift: number): number {
    const list = this.listOf(shift);
    const offset = list.pop();
    if (offset !== undefined) return offset;
    const base = idxOf(this.takePages(0)) << this.pageShift;
    const step = 1 << shift;
    for (let o = (1 << this.pageShift) - step; o > 0; o -= step) list.push(base + o);
    return base;
  }

  private takePages(order: number): PageRef {
    const page = order <= MAX_ORDER ? this.pages.allocPages(order) : 0;
    if (page !== 0) return page;
    throw new NetmemError({
      code: "ERR_NETMEM_NO_MEMORY",
      errno: "ENOMEM",
      reason: `no free block of ${2 ** order} pages for a control structure`,
      remedy: "Enlarge arenaBytes, or ask for smaller rings.",
      param: "order",
      value: order,
    });
  }

  private listOf(shift: number): number[] {
    return (this.free[shift] ??= []);
  }
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
