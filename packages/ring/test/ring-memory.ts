import { ArenaHeap, asPageRef, type HeapHost, makeRef, type PageAllocator, type PageRef } from "@netmem/core";
import type { RingMemory } from "../src/index.ts";

const FIRST_PAGE_WORDS = 8192;

/** Pages from the start of a plain array, never given out twice. Counts what is out. */
class BumpPages implements PageAllocator {
  readonly name = "bump";
  readonly totalPageCount: number;
  outCount = 0;
  /** Behind the words of the heap, one of which there is for each page. */
  private next = FIRST_PAGE_WORDS / 1024;

  constructor(totalPageCount: number) {
    this.totalPageCount = totalPageCount;
  }

  allocPages(order: number): PageRef | 0 {
    if (this.next + 2 ** order > this.totalPageCount) return 0;
    const page = asPageRef(makeRef(this.next, 0, 0));
    this.next += 2 ** order;
    this.outCount++;
    return page;
  }

  allocBulk(): number {
    return 0;
  }

  freePage(): void {
    this.outCount--;
  }

  freeBulk(): void {}

  freePageCount(): number {
    return this.totalPageCount - this.next;
  }
}

export interface TestMemory extends RingMemory {
  readonly pages: BumpPages;
}

/** Memory for rings: `pageCount` pages of 4 KiB, all bits set, so that nobody can rely on fresh memory being zero. */
export function createRingMemory(
  pageCount = 64,
  buffer: ArrayBufferLike = new ArrayBuffer(pageCount * 4096),
): TestMemory {
  const i32 = new Int32Array(buffer).fill(-1);
  const pages = new BumpPages(pageCount);
  return { i32, pages, heap: new ArenaHeap(heapHost(i32, pages, pageCount)) };
}

/** The heap's own words lie on the first pages, which nobody is given. */
function heapHost(i32: Int32Array, pages: BumpPages, pageCount: number): HeapHost {
  i32.fill(0, 0, FIRST_PAGE_WORDS);
  const dmaAt = FIRST_PAGE_WORDS - pageCount;
  const layout = { pageShift: 12, pageCount, firstPageIdx: FIRST_PAGE_WORDS / 1024, dmaAt, commonAt: 0 };
  return { i32, pages, layout, threaded: 0, workerId: 0 };
}
