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
  /**
   * One block of 2^order pages (order 0 to {@link MAX_ORDER}), or 0 when exhausted. `nid` is the memory node wanted, -1
   * or absent the context's; other nodes follow in order of distance unless `strict`. Below its min watermark an
   * allocator refuses unless `context.memalloc` is set, and marks what it grants then as pfmemalloc.
   */
  allocPages(order: number, nid?: number, strict?: boolean): PageRef | 0;
  /**
   * Order-0 pages into `out[0..n)`; returns n, which is short only when memory is. Nodes as in {@link allocPages}. Never
   * uses the reserve: in a memalloc context, ask for single pages when it returns 0.
   */
  allocBulk(out: Int32Array, max: number, nid?: number, strict?: boolean): number;
  /**
   * Takes back a plain page or block of which the caller is the only holder.
   * @throws a misuse error (see `failReturn`) when the reference is not a live plain page.
   */
  freePage(ref: PageRef): void;
  /** Order-0 pages of `refs[0..count)`, all plain and exclusively held. */
  freeBulk(refs: Int32Array, count: number): void;
  /** Pages not handed out, per-thread lists included: of one node, or of all. */
  freePageCount(nid?: number): number;
  /** Pages that the allocator manages. */
  readonly totalPageCount: number;
  /** The calling thread leaves: its pages go to where others find them. */
  detach?(): void;
  /**
   * Puts right what a dead worker left: its lock, its list. Only called for threads that run no more, by one thread.
   */
  reclaimWorker?(workerId: number): PageReclaim;
}

/** What a page allocator found of a dead worker. */
export interface PageReclaim {
  readonly workerId: number;
  /** It died holding the allocator's lock. */
  readonly heldLock: boolean;
  /** Pages that it was moving to or from its list. */
  readonly movingPages: number;
  /** Pages of its list. */
  readonly listedPages: number;
}
