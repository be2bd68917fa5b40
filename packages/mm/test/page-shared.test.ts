import {
  idxOf,
  isPfmemalloc,
  MemType,
  metaOwner,
  OWNER_SHARED,
  type PageRef,
  pageRefCount,
  putNetmem,
  refNetmem,
  returnNetmem,
  returnNetmemBulk,
} from "@netmem/core";
import { expect, test } from "vitest";
import { createPageAllocatorWith, createPageShared, type PageShared, truesizeOf } from "../src/index.ts";
import { audit, createTestHost, expectRefused, snapshot, type TestHost } from "./test-host.ts";

interface Subject extends TestHost {
  readonly shared: PageShared;
}

function createSubject(): Subject {
  const subject = createTestHost();
  return { ...subject, shared: createPageShared(subject.host) };
}

function page({ shared }: Subject): PageRef {
  const ref = shared.alloc();
  if (ref === 0) throw new Error("out of pages");
  return ref;
}

test("the type is installed and owns its pages", () => {
  const { host, shared, ...rest } = createSubject();
  expect(host.memTypes.isSupported(MemType.PageShared)).toBe(true);
  expect(shared.memType).toBe(MemType.PageShared);
  const ref = page({ host, shared, ...rest });
  expect(metaOwner(host.i32[idxOf(ref)]!)).toBe(OWNER_SHARED);
  expect(host.owners.typeOf(OWNER_SHARED)).toBe(MemType.PageShared);
});

test("#221 two halves: each return drops one holder, the driver's own reference is the last", () => {
  const subject = createSubject();
  const { host, shared } = subject;
  const ref = page(subject);
  expect(shared.holders(ref)).toBe(1);
  shared.share(ref);
  shared.share(ref);
  expect(shared.holders(ref)).toBe(3);
  returnNetmem(host, ref);
  expect(shared.holders(ref)).toBe(2);
  returnNetmem(host, ref);
  expect(shared.holders(ref)).toBe(1);
  audit(subject, new Map([[idxOf(ref), 0]]));
  returnNetmem(host, ref);
  audit(subject, new Map());
  expectRefused(host, "ERR_NETMEM_DOUBLE_PUT", () => returnNetmem(host, ref));
});

test("the driver's trick: one page serves many packets as long as the stack lets go in time", () => {
  const subject = createSubject();
  const { host, shared } = subject;
  const ref = page(subject);
  for (let packet = 0; packet < 1000; packet++) {
    expect(shared.holders(ref)).toBe(1);
    shared.share(ref);
    returnNetmem(host, ref);
  }
  shared.share(ref);
  shared.share(ref);
  putNetmem(host, ref);
  returnNetmemBulk(host, Int32Array.of(ref, ref), 2);
  audit(subject, new Map());
});

test("pool-level references are dropped before page references", () => {
  const subject = createSubject();
  const { host } = subject;
  const ref = page(subject);
  refNetmem(host, ref);
  returnNetmem(host, ref);
  expect(pageRefCount(host, ref)).toBe(1);
  audit(subject, new Map([[idxOf(ref), 0]]));
  returnNetmem(host, ref);
  audit(subject, new Map());
});

test("the page allocator takes a split page with one holder, no other", () => {
  const subject = createSubject();
  const { host, pages, shared } = subject;
  const ref = page(subject);
  shared.share(ref);
  expectRefused(host, "ERR_NETMEM_PAGE_SHARED", () => pages.freePage(ref));
  returnNetmem(host, ref);
  pages.freePage(ref);
  audit(subject, new Map());
});

test("its page is plain again afterwards", () => {
  const subject = createSubject();
  const ref = page(subject);
  returnNetmem(subject.host, ref);
  const again = subject.pages.allocPages(0) as PageRef;
  expect(idxOf(again)).toBe(idxOf(ref));
  subject.pages.freePage(again);
  audit(subject, new Map());
});

test("exhausted: 0", () => {
  const { pages, shared } = createSubject();
  pages.allocBulk(new Int32Array(pages.totalPageCount), pages.totalPageCount);
  expect(shared.alloc()).toBe(0);
});

test("a dead reference cannot be shared", () => {
  const subject = createSubject();
  const ref = page(subject);
  returnNetmem(subject.host, ref);
  expectRefused(subject.host, "ERR_NETMEM_DOUBLE_PUT", () => subject.shared.share(ref));
});

test("a host has one page_shared", () => {
  const { host } = createSubject();
  const before = snapshot(host);
  expect(() => createPageShared(host)).toThrow(expect.objectContaining({ code: "ERR_NETMEM_OWNER_TAKEN" }));
  expect(snapshot(host).some((word, at) => word !== before[at])).toBe(false);
});

test("halves take turns as long as the stack lets go in time", () => {
  const subject = createSubject();
  const { host, shared } = subject;
  let slot: PageRef | 0 = 0;
  let offset = 0;
  for (let packet = 0; packet < 100; packet++) {
    const next: PageRef | 0 = shared.nextHalf(slot, offset);
    if (next === 0) throw new Error("out of pages");
    if (slot !== 0) expect([next, shared.lastOffset]).toEqual([slot, offset ^ 2048]);
    slot = next;
    offset = shared.lastOffset;
    shared.share(slot);
    if (packet > 0) returnNetmem(host, slot);
  }
  expect(shared.stats()).toEqual({ reused: 99, fresh: 1 });
  expect(truesizeOf(host, slot as PageRef)).toBe(4096);
});

test("a page whose other half is still out is left behind for a fresh one", () => {
  const subject = createSubject();
  const { host, shared } = subject;
  const first = shared.nextHalf(0, 0) as PageRef;
  shared.share(first);
  expect(shared.nextHalf(first, shared.lastOffset)).toBe(first);
  shared.share(first);
  const second = shared.nextHalf(first, shared.lastOffset) as PageRef;
  expect(idxOf(second)).not.toBe(idxOf(first));
  expect([shared.lastOffset, shared.holders(first)]).toEqual([0, 2]);
  expect(shared.stats()).toEqual({ reused: 1, fresh: 2 });
  returnNetmem(host, first);
  returnNetmem(host, first);
  audit(subject, new Map([[idxOf(second), 0]]));
});

test("with no page left the slot is empty, and the page behind is the stack's alone", () => {
  const subject = createSubject();
  const { host, pages, shared } = subject;
  const first = shared.nextHalf(0, 0) as PageRef;
  shared.share(first);
  shared.share(first);
  pages.allocBulk(new Int32Array(pages.totalPageCount), pages.totalPageCount - 1);
  expect(shared.nextHalf(first, 0)).toBe(0);
  returnNetmem(host, first);
  returnNetmem(host, first);
  expect(pages.freePageCount()).toBe(1);
});

test("reserve pages and pages of another node are not used again", () => {
  const reserve = createTestHost({ pageAllocator: createPageAllocatorWith({ minPages: 10 }) });
  const all = new Int32Array(reserve.pages.totalPageCount);
  reserve.pages.allocBulk(all, all.length);
  reserve.host.context.memalloc = true;
  const shared = createPageShared(reserve.host);
  const marked = shared.nextHalf(0, 0) as PageRef;
  expect(isPfmemalloc(reserve.host, marked)).toBe(true);
  expect(idxOf(shared.nextHalf(marked, 0) as PageRef)).toBe(idxOf(marked));
  expect(shared.stats()).toEqual({ reused: 0, fresh: 2 });

  const numa = createTestHost({ arenaBytes: 8 * 2 ** 20, nodes: 2 });
  const halves = createPageShared(numa.host);
  const far = halves.nextHalf(0, 0) as PageRef;
  numa.host.context.nid = 1;
  expect(numa.host.nodeOf(halves.nextHalf(far, 0) as PageRef)).toBe(1);
  expect(numa.pages.freePageCount()).toBe(numa.pages.totalPageCount - 1);
});
