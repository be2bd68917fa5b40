import { asPageRef, type Host, idxOf, makeRef, MAX_ORDER, type PageAllocator, type PageRef } from "@netmem/core";

/** Blocks of the arena aligned to their size, reused last in, first out. Throws on a second free. */
export class BlockPages implements PageAllocator {
  readonly name = "blocks";
  readonly totalPageCount: number;
  /** Order of each block that is out, by page index. */
  readonly out = new Map<number, number>();
  private readonly free: number[][] = Array.from({ length: MAX_ORDER + 1 }, () => []);
  private next: number;
  private readonly end: number;

  constructor(host: Host) {
    this.next = host.layout.firstPageIdx;
    this.end = host.layout.pageCount;
    this.totalPageCount = this.end - this.next;
  }

  allocPages(order: number): PageRef | 0 {
    const idx = this.free[order]!.pop() ?? this.cut(order);
    if (idx === 0) return 0;
    this.out.set(idx, order);
    return asPageRef(makeRef(idx, 0, 0));
  }

  allocBulk(out: Int32Array, max: number): number {
    for (let n = 0; n < max; n++) {
      const page = this.allocPages(0);
      if (page === 0) return n;
      out[n] = page;
    }
    return max;
  }

  freePage(ref: PageRef): void {
    const order = this.out.get(idxOf(ref));
    if (order === undefined) throw new Error(`page ${idxOf(ref)} is not out`);
    this.out.delete(idxOf(ref));
    this.free[order]!.push(idxOf(ref));
  }

  freeBulk(refs: Int32Array, count: number): void {
    for (let n = 0; n < count; n++) this.freePage(asPageRef(refs[n]!));
  }

  freePageCount(): number {
    const outPages = [...this.out.values()].reduce((sum, order) => sum + 2 ** order, 0);
    return this.totalPageCount - outPages;
  }

  private cut(order: number): number {
    const idx = Math.ceil(this.next / 2 ** order) * 2 ** order;
    if (idx + 2 ** order > this.end) return 0;
    this.next = idx + 2 ** order;
    return idx;
  }
}
