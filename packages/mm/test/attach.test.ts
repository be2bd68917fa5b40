import { asPageRef, attachHost, type PageAllocator, returnNetmem } from "@netmem/core";
import { VirtualClock } from "@netmem/testing";
import { expect, test } from "vitest";
import { attachPageAllocator, createPageAllocator, createPageShared } from "../src/index.ts";
import { attachBare, attachTestHost, audit, createTestHost, expectRefused } from "./test-host.ts";

test("a page taken on one thread and freed on another stays with the one that freed it", () => {
  const creator = createTestHost();
  const worker = attachTestHost(creator);
  const subject = { ...creator, others: [worker] };
  const pages = Array.from({ length: 3 }, () => asPageRef(creator.pages.allocPages(0)));
  const listed = creator.pages.listedCount();
  for (const page of pages) returnNetmem(worker.host, page);
  audit(subject, new Map());
  expect([creator.pages.listedCount(), worker.pages.listedCount()]).toEqual([listed, 3]);
  expect(worker.pages.allocPages(0) >>> 21).toBe(1);
  expect(creator.pages.freePageCount()).toBe(creator.pages.totalPageCount - 1);
  expect(worker.pages.freePageCount()).toBe(creator.pages.totalPageCount - 1);
});

test("misuse is caught on every thread", () => {
  const creator = createTestHost();
  const { host, pages } = attachTestHost(creator);
  const page = asPageRef(creator.pages.allocPages(0));
  pages.freePage(page);
  expectRefused(host, "ERR_NETMEM_DOUBLE_PUT", () => pages.freePage(page));
  expectRefused(creator.host, "ERR_NETMEM_DOUBLE_PUT", () => creator.pages.freePage(page));
});

test("a page that threads share goes home with its last holder, wherever that is", () => {
  const creator = createTestHost();
  const worker = attachTestHost(creator);
  const shared = createPageShared(creator.host);
  createPageShared(worker.host);
  const page = asPageRef(shared.alloc());
  shared.share(page);
  returnNetmem(creator.host, page);
  expect(worker.pages.listedCount()).toBe(0);
  returnNetmem(worker.host, page);
  expect(worker.pages.listedCount()).toBe(1);
  audit({ ...creator, others: [worker] }, new Map());
});

test("a thread that leaves gives its list back, and its record can be another's", () => {
  const creator = createTestHost();
  for (let n = 0; n < 100; n++) {
    const { host, pages } = attachTestHost(creator);
    pages.freePage(asPageRef(pages.allocPages(0)));
    expect([host.workerId, pages.listedCount()]).toEqual([1, 64]);
    host.detach();
    audit(creator, new Map());
  }
});

test("a thread that leaves gives its part of page_shared back as well", () => {
  const creator = createTestHost();
  createPageShared(creator.host);
  const owners = creator.host.owners.list();
  for (let n = 0; n < 3; n++) {
    const { host } = attachTestHost(creator);
    const shared = createPageShared(host);
    returnNetmem(host, asPageRef(shared.alloc()));
    host.detach();
    expect(creator.host.owners.list()).toEqual(owners);
  }
});

test.each(["returns", "dma"] as const)("an attach that fails by its %s leaves nothing behind", (part) => {
  const creator = createTestHost();
  const owners = creator.host.owners.list();
  const params = { clock: new VirtualClock(), pageAllocator: attachPageAllocator };
  const fail = (): never => {
    throw new Error("not today");
  };
  expect(() => attachHost(creator.host.share(), { ...params, [part]: fail })).toThrow("not today");
  expect([creator.host.owners.list(), creator.host.workers.list().length]).toEqual([owners, 1]);
  audit(creator, new Map());
  const { host, pages } = attachTestHost(creator);
  pages.freePage(asPageRef(pages.allocPages(0)));
  expect([host.workerId, pages.listedCount()]).toEqual([1, 64]);
});

test("who makes what is checked", () => {
  const creator = createTestHost();
  const other = attachBare(creator);
  const codeOf = (call: () => unknown): unknown => {
    try {
      call();
    } catch (error) {
      return (error as { code?: string }).code;
    }
    return "nothing";
  };
  expect(codeOf(() => createPageAllocator(other))).toBe("ERR_NETMEM_WRONG_THREAD");
  expect(codeOf(() => attachPageAllocator(creator.host))).toBe("ERR_NETMEM_INVALID_PARAM");
  const empty: PageAllocator = {
    name: "empty",
    totalPageCount: 0,
    allocPages: () => 0,
    allocBulk: () => 0,
    freePage: () => {},
    freeBulk: () => {},
    freePageCount: () => 0,
  };
  const strange = createTestHost({ pageAllocator: () => empty }).host;
  const params = { clock: new VirtualClock(), pageAllocator: attachPageAllocator };
  expect(codeOf(() => attachHost(strange.share(), params))).toBe("ERR_NETMEM_NO_PAGE_ALLOCATOR");
});
