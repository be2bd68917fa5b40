import type { Mappings } from "./mappings.ts";

interface Region {
  readonly from: number;
  readonly to: number;
  /** Where the next search starts. */
  cursor: number;
  /** Pages that are not handed out. */
  freePages: number;
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
    this.lower = { from: 1, to: split, cursor: 1, freePages: split - 1 };
    this.upper = { from: split, to: ioPages, cursor: split, freePages: ioPages - split };
  }

  /** Takes 2^order free pages and returns the first, or 0 when no such run is left. Enter them into the mappings at once. */
  take(order: number): number {
    const { lower, upper } = this;
    const pfn = order < this.blockOrder ? this.pick(order, lower, upper) : this.pick(order, upper, lower);
    if (pfn > 0) this.regionOf(pfn).freePages -= 2 ** order;
    return pfn;
  }

  /** The run that {@link take} returned is not in the mappings any more. */
  give(pfn: number, order: number): void {
    this.regionOf(pfn).freePages += 2 ** order;
  }

  private regionOf(pfn: number): Region {
    return pfn < this.upper.from ? this.lower : this.upper;
  }

  private pick(order: number, first: Region, second: Region): number {
    const pfn = this.findIn(first, order);
    return pfn > 0 ? pfn : Math.max(this.findIn(second, order), 0);
  }

  private findIn(region: Region, order: number): number {
    const { mappings } = this;
    const { from, to, cursor } = region;
    // A half that is full, e.g. of a UMEM, would be searched from end to end at every map.
    if (region.freePages < 2 ** order) return -1;
    const ahead = mappings.findFree(order, cursor, to);
    const pfn = ahead >= 0 ? ahead : mappings.findFree(order, from, to);
    if (pfn >= 0) region.cursor = pfn + 2 ** order;
    return pfn;
  }
}
