import type { Host, PageAllocator, PageRef } from "@netmem/core";
import { createPageAllocator } from "@netmem/mm";
import type { FaultInjector } from "@netmem/testing";

/** A page allocator that refuses when told: "pages.alloc" for blocks, "pages.bulk" (with caps) for single pages. */
export function faultyPages(faults: FaultInjector): (host: Host) => PageAllocator {
  return (host) => {
    const inner = createPageAllocator(host);
    return {
      name: "faulty pages",
      totalPageCount: inner.totalPageCount,
      freePageCount: (nid) => inner.freePageCount(nid),
      allocPages: (order: number, nid?: number): PageRef | 0 =>
        faults.shouldFail("pages.alloc") ? 0 : inner.allocPages(order, nid),
      allocBulk: (out, max, nid) => inner.allocBulk(out, faults.capBulk("pages.bulk", max), nid),
      freePage: (ref) => inner.freePage(ref),
      freeBulk: (refs, count) => inner.freeBulk(refs, count),
    };
  };
}
