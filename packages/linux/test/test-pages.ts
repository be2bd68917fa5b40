import {
  asPageRef,
  createHost,
  type Host,
  idxOf,
  makeRef,
  MAX_ORDER,
  META_FREE,
  NetmemState,
  OWNER_ORDER0,
  ownerTag,
  type PageAllocator,
  type PageRef,
} from "@netmem/core";
import { VirtualClock } from "@netmem/testing";

/** Blocks aligned to their size, first fit; marks what is out as plain pages, as a real allocator does. */
export class TestPages implements PageAllocator {
  readonly name = "test pages";
  readonly totalPageCount: number;
  /** Order by page index of the head. */
  readonly out = new Map<number, number>();
  private readonly host: Host;

  constructor(host: Host) {
    this.host = host;
    this.totalPageCount = host.layout.pageCount - host.layout.firstPageIdx;
  }

  allocPages(order: number): PageRef | 0 {
    const size = 2 ** order;
    const first = Math.ceil(this.host.layout.firstPageIdx / size) * size;
    if (order > MAX_ORDER) return 0;
    for (let idx = first; idx + size <= this.host.layout.pageCount; idx += size) {
      if (this.isFree(idx, size)) return this.take(idx, order);
    }
    return 0;
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
    if (!this.out.delete(idxOf(ref))) throw new Error(`page ${idxOf(ref)} is not out`);
    this.host.i32[idxOf(ref)] = META_FREE;
  }

  freeBulk(refs: Int32Array, count: number): void {
    for (let n = 0; n < count; n++) this.freePage(asPageRef(refs[n]!));
  }

  freePageCount(): number {
    return [...this.out.values()].reduce((left, order) => left - 2 ** order, this.totalPageCount);
  }

  private isFree(idx: number, size: number): boolean {
    return [...this.out].every(([at, order]) => at + 2 ** order <= idx || idx + size <= at);
  }

  private take(idx: number, order: number): PageRef {
    this.out.set(idx, order);
    this.host.i32[idx] = ownerTag(OWNER_ORDER0, NetmemState.Out);
    return asPageRef(makeRef(idx, 0, 0));
  }
}

export interface TestHost {
  readonly host: Host;
  readonly pages: TestPages;
}

export function createTestHost(arenaMiB = 16): TestHost {
  const host = createHost({
    arenaBytes: arenaMiB * 2 ** 20,
    clock: new VirtualClock(),
    pageAllocator: (host) => new TestPages(host),
  });
  return { host, pages: host.pages as TestPages };
}
