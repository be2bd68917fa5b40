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
      freePageCount: () => inner.freePageCount(),
      allocPages: (order: number): PageRef | 0 => (faults.shouldFail("pages.alloc") ? 0 : inner.allocPages(order)),
      allocBulk: (out, max) => inner.allocBulk(out, faults.capBulk("pages.bulk", max)),
      freePage: (ref) => inner.freePage(ref),
      freeBulk: (refs, count) => inner.freeBulk(refs, count),
    };
  };
}
