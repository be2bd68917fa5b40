import {
  idxOf,
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
import { createPageShared, type PageShared } from "../src/index.ts";
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
