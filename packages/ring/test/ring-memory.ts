import { ArenaHeap, asPageRef, makeRef, type PageAllocator, type PageRef } from "@netmem/core";
import type { RingMemory } from "../src/index.ts";

/** Pages from the start of a plain array, never given out twice. Counts what is out. */
class BumpPages implements PageAllocator {
  readonly name = "bump";
  readonly totalPageCount: number;
  outCount = 0;
  private next = 1;

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
  return { i32, pages, heap: new ArenaHeap(i32, pages, 12) };
}
