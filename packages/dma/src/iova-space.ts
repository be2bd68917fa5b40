import type { Mappings } from "./mappings.ts";

interface Region {
  readonly from: number;
  readonly to: number;
  /** Where the next search starts. */
  cursor: number;
}

/**
 * Hands out runs of I/O page frame numbers, aligned to their size. It walks the space in a circle, so that an address
 * that was unmapped stays unmapped as long as possible and a use of it faults.
 *
 * Large blocks come from the upper half and the rest from the lower one, until a half is full: single pages that come
 * and go would leave no aligned run for a block.
 */
export class IovaSpace {
  private readonly mappings: Mappings;
  private readonly blockOrder: number;
  private readonly lower: Region;
  private readonly upper: Region;

  /** Hands out 1 to `ioPages` - 1; blocks of 2^`blockOrder` pages are large. */
  constructor(mappings: Mappings, ioPages: number, blockOrder: number) {
    this.mappings = mappings;
    this.blockOrder = blockOrder;
    const split = Math.max((ioPages >> 1) & -(2 ** blockOrder), 1);
    this.lower = { from: 1, to: split, cursor: 1 };
    this.upper = { from: split, to: ioPages, cursor: split };
  }

  /** First of 2^order free pages, or 0 when no such run is left. They are taken once they are in the mappings. */
  find(order: number): number {
    const { lower, upper } = this;
    return order < this.blockOrder ? this.pick(order, lower, upper) : this.pick(order, upper, lower);
  }

  private pick(order: number, first: Region, second: Region): number {
    const pfn = this.findIn(first, order);
    return pfn > 0 ? pfn : Math.max(this.findIn(second, order), 0);
  }

  private findIn(region: Region, order: number): number {
    const { mappings } = this;
    const { from, to, cursor } = region;
    const ahead = mappings.findFree(order, cursor, to);
    const pfn = ahead >= 0 ? ahead : mappings.findFree(order, from, to);
    if (pfn >= 0) region.cursor = pfn + 2 ** order;
    return pfn;
  }
}
