import { type Host, idxOf, type NetmemError, type PageAllocator, type PageRef, returnNetmem } from "@netmem/core";
import { FaultInjector, forEveryNthFailure } from "@netmem/testing";
import { expect, test } from "vitest";
import { createPageAllocator, createPageShared, type PageOrder0 } from "../src/index.ts";
import { audit, createTestHost } from "./test-host.ts";

/** A page allocator whose allocations fail when the injector says so. */
class FailingPages implements PageAllocator {
  readonly name = "failing";
  readonly inner: PageOrder0;
  private readonly faults: FaultInjector;

  constructor(inner: PageOrder0, faults: FaultInjector) {
    this.inner = inner;
    this.faults = faults;
  }

  get totalPageCount(): number {
    return this.inner.totalPageCount;
  }

  allocPages(order: number): PageRef | 0 {
    return this.faults.shouldFail("allocPages") ? 0 : this.inner.allocPages(order);
  }

  allocBulk(out: Int32Array, max: number): number {
    return this.inner.allocBulk(out, this.faults.capBulk("allocBulk", max));
  }

  freePage(ref: PageRef): void {
    this.inner.freePage(ref);
  }

  freeBulk(refs: Int32Array, count: number): void {
    this.inner.freeBulk(refs, count);
  }

  freePageCount(): number {
    return this.inner.freePageCount();
  }
}

function createFailingHost(faults: FaultInjector): { readonly host: Host; readonly pages: PageOrder0 } {
  const { host } = createTestHost({ pageAllocator: (made) => new FailingPages(createPageAllocator(made), faults) });
  return { host, pages: (host.pages as FailingPages).inner };
}

/** Takes control memory, split pages and bulk pages; undoes what it could do when one of them is refused. */
function workload(host: Host): void {
  const shared = createPageShared(host);
  const undo: (() => void)[] = [];
  try {
    for (const words of [100, 4000, 20_000]) {
      const at = host.heap.allocWords(words);
      undo.push(() => host.heap.freeWords(at, words));
    }
    for (let k = 0; k < 3; k++) {
      const page = shared.alloc();
      if (page !== 0) undo.push(() => returnNetmem(host, page));
    }
    const refs = new Int32Array(100);
    const got = host.pages.allocBulk(refs, 100);
    undo.push(() => host.pages.freeBulk(refs, got));
  } catch (error) {
    expect((error as NetmemError).code).toBe("ERR_NETMEM_NO_MEMORY");
  }
  for (const step of undo.reverse()) step();
}

/** Pages that the heap keeps for its small blocks. */
function heapPages(host: Host, pages: PageOrder0): Map<number, number> {
  const out = new Map<number, number>();
  if (pages.totalPageCount === pages.freePageCount()) return out;
  const at = host.heap.allocWords(100);
  out.set(host.pageIdxAt(at * 4), 0);
  host.heap.freeWords(at, 100);
  return out;
}

test("with any allocation failing, nothing leaks and the books balance", () => {
  const runs = forEveryNthFailure((faults) => {
    const { host, pages } = createFailingHost(faults);
    workload(host);
    audit({ host, pages }, heapPages(host, pages));
  });
  expect(runs).toBe(8);
});

test("a bulk call that is granted less gives less, and no page is lost", () => {
  const faults = new FaultInjector();
  faults.limitBulk("allocBulk", 7);
  const { host, pages } = createFailingHost(faults);
  const refs = new Int32Array(64);
  expect(host.pages.allocBulk(refs, 64)).toBe(7);
  audit({ host, pages }, new Map(Array.from(refs.subarray(0, 7), (ref) => [idxOf(ref as PageRef), 0])));
});

test("exhaustion and recovery: what was refused once is granted after as much came home", () => {
  const { pages } = createTestHost();
  const blocks: PageRef[] = [];
  for (let ref = pages.allocPages(4); ref !== 0; ref = pages.allocPages(4)) blocks.push(ref);
  const rest = new Int32Array(pages.freePageCount());
  expect(pages.allocBulk(rest, rest.length)).toBe(rest.length);
  for (let order = 0; order <= 10; order++) expect(pages.allocPages(order)).toBe(0);
  pages.freePage(blocks.pop()!);
  expect(pages.freePageCount()).toBe(16);
  expect(pages.allocPages(5)).toBe(0);
  blocks.push(pages.allocPages(4) as PageRef);
  expect(blocks.at(-1)).not.toBe(0);
  expect(pages.allocPages(0)).toBe(0);
});
