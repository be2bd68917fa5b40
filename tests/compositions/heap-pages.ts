import type { Host } from "@netmem/core";

/** How the arena's heap marks its pages in their dma column: this, and log2 of the bytes of a block. */
const HEAP_MARK = 0x6e6d0000;

/** Pages that the arena's heap has for control structures. */
export interface HeapPages {
  /** In blocks of a page and more, which are out. */
  readonly whole: number;
  /** Cut into smaller blocks; they stay when those are free. */
  readonly cut: number;
}

export function heapPages({ i32, layout }: Host): HeapPages {
  let whole = 0;
  let cut = 0;
  for (let idx = layout.firstPageIdx; idx < layout.pageCount; idx++) {
    const shift = i32[layout.dmaAt + idx]! - HEAP_MARK;
    if (shift < 6 || shift > 31) continue;
    if (shift < layout.pageShift) cut++;
    else whole += 1 << (shift - layout.pageShift);
  }
  return { whole, cut };
}
