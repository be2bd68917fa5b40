import type { PageRef } from "./netmem-ref.ts";

/** Largest block that {@link PageAllocator.allocPages} hands out: 2^10 pages. */
export const MAX_ORDER = 10;

/**
 * Where pages come from and go back to. Injected into the host; `@netmem/mm` has the buddy allocator.
 *
 * A page that it hands out is *plain*: owned by `page_order0`, page refcount 1, no pool marks. Order > 0 gives one
 * compound page whose reference names the head.
 */
export interface PageAllocator {
  readonly name: string;
  /** One block of 2^order pages (order 0 to {@link MAX_ORDER}), or 0 when exhausted. */
  allocPages(order: number): PageRef | 0;
  /** Order-0 pages into `out[0..n)`; returns n, which is short only when memory is. */
  allocBulk(out: Int32Array, max: number): number;
  /**
   * Takes back a plain page or block of which the caller is the only holder.
   * @throws a misuse error (see `failReturn`) when the reference is not a live plain page.
   */
  freePage(ref: PageRef): void;
  /** Order-0 pages of `refs[0..count)`, all plain and exclusively held. */
  freeBulk(refs: Int32Array, count: number): void;
  /** Pages not handed out, per-thread lists included. */
  freePageCount(): number;
  /** Pages that the allocator manages. */
  readonly totalPageCount: number;
}
