import {
  asNetmemRef,
  asPageRef,
  compoundHead,
  genOf,
  getNetmem,
  idxOf,
  isPage,
  makePlain,
  makeRef,
  OWN_COUNT,
  OWN_LIMIT,
  OWNER_ORDER0,
  OWNER_STACK_SIZE,
  type PageRef,
  pageRefCount,
  ppRefCount,
  putNetmem,
  refNetmem,
  returnNetmem,
  returnNetmemBulk,
  returnNetmemRxNapi,
} from "@netmem/core";
import { expect, test } from "vitest";
import { audit, blockCounts, createTestHost, expectRefused, type TestHost } from "./test-host.ts";

function page({ pages }: TestHost, order = 0): PageRef {
  const ref = pages.allocPages(order);
  if (ref === 0) throw new Error("out of pages");
  return ref;
}

test("a plain page returned through the dispatch is on the thread's list", () => {
  const subject = createTestHost();
  const { host, pages } = subject;
  const ref = page(subject);
  const blocksFree = pages.buddy.freePageCount;
  returnNetmem(host, ref);
  expect(pages.buddy.freePageCount).toBe(blocksFree);
  expect(idxOf(page(subject))).toBe(idxOf(ref));
  returnNetmemRxNapi(host, asPageRef(makeRef(idxOf(ref), genOf(ref) + 1, 0)));
  audit(subject, new Map());
});

test("a full return stack: an exclusive page still goes home, and half of the stack to the buddies", () => {
  const subject = createTestHost();
  const { host, pages } = subject;
  const refs = new Int32Array(300);
  pages.allocBulk(refs, 300);
  const at = host.owners.recordAt(OWNER_ORDER0);
  returnNetmemBulk(host, refs, OWNER_STACK_SIZE);
  expect(host.i32[at + OWN_COUNT]).toBe(host.i32[at + OWN_LIMIT]);
  returnNetmem(host, asNetmemRef(refs[OWNER_STACK_SIZE]!));
  expect(host.i32[at + OWN_COUNT]).toBe(OWNER_STACK_SIZE - 64 + 1);
  audit(subject, new Map(Array.from(refs.subarray(OWNER_STACK_SIZE + 1), (ref) => [idxOf(asPageRef(ref)), 0])));
  returnNetmemBulk(host, refs.subarray(OWNER_STACK_SIZE + 1), 300 - OWNER_STACK_SIZE - 1);
  expect(pages.freePageCount()).toBe(pages.totalPageCount);
  audit(subject, new Map());
});

test("a full return stack does not excuse a double put", () => {
  const subject = createTestHost();
  const { host, pages } = subject;
  const refs = new Int32Array(OWNER_STACK_SIZE + 1);
  pages.allocBulk(refs, refs.length);
  returnNetmemBulk(host, refs, OWNER_STACK_SIZE);
  for (const i of [0, 64, 127]) {
    expectRefused(host, "ERR_NETMEM_DOUBLE_PUT", () => returnNetmem(host, asNetmemRef(refs[i]!)));
  }
});

test("blocks of several pages go home whole", () => {
  const subject = createTestHost();
  const initial = blockCounts(subject.pages);
  for (let order = 1; order <= 8; order++) {
    const ref = page(subject, order);
    returnNetmem(subject.host, ref);
    expect(subject.pages.freePageCount()).toBe(subject.pages.totalPageCount);
    expectRefused(subject.host, "ERR_NETMEM_DOUBLE_PUT", () => returnNetmem(subject.host, ref));
  }
  expect(blockCounts(subject.pages)).toEqual(initial);
});

test("a block on loan to a pool goes home whole when the pool lets go of it", () => {
  const subject = createTestHost();
  const { host } = subject;
  const ref = page(subject, 3);
  const id = host.owners.claim({ memType: 2, name: "pool", returnSlow: () => {} });
  host.i32[idxOf(ref)] = (id << 13) | (host.i32[idxOf(ref)]! & 0xfff);
  makePlain(host, ref);
  putNetmem(host, ref);
  audit(subject, new Map());
});

test("#221 every page-level holder returns once; the last one's return frees", () => {
  for (const order of [0, 2]) {
    const subject = createTestHost();
    const { host } = subject;
    const ref = page(subject, order);
    getNetmem(host, ref);
    getNetmem(host, ref);
    expect(pageRefCount(host, ref)).toBe(3);
    returnNetmem(host, ref);
    putNetmem(host, ref);
    expect(pageRefCount(host, ref)).toBe(1);
    audit(subject, new Map([[idxOf(ref), order]]));
    returnNetmem(host, ref);
    audit(subject, new Map());
    expectRefused(host, "ERR_NETMEM_DOUBLE_PUT", () => returnNetmem(host, ref));
    expectRefused(host, "ERR_NETMEM_DOUBLE_PUT", () => putNetmem(host, ref));
  }
});

test("pool-level holders of a plain page count as well", () => {
  const subject = createTestHost();
  const { host } = subject;
  const ref = page(subject);
  refNetmem(host, ref);
  getNetmem(host, ref);
  expect([ppRefCount(host, ref), pageRefCount(host, ref)]).toEqual([2, 2]);
  returnNetmem(host, ref);
  expect([ppRefCount(host, ref), pageRefCount(host, ref)]).toEqual([1, 2]);
  returnNetmem(host, ref);
  audit(subject, new Map([[idxOf(ref), 0]]));
  returnNetmem(host, ref);
  audit(subject, new Map());
});

test("bulk returns: entries before a bad one are home", () => {
  const subject = createTestHost();
  const { host, pages } = subject;
  const refs = new Int32Array(5);
  pages.allocBulk(refs, 5);
  refs[2] = refs[0]!;
  expect(() => returnNetmemBulk(host, refs, 5)).toThrow(
    expect.objectContaining({ code: "ERR_NETMEM_DOUBLE_PUT", param: "refs[2]", value: refs[2] }),
  );
  expect(pages.freePageCount()).toBe(pages.totalPageCount - 3);
});

test("compoundHead: tails of a block lead to its head, whatever its order", () => {
  const subject = createTestHost({ arenaBytes: 16 * 2 ** 20 });
  const { host } = subject;
  for (let order = 1; order <= 10; order++) {
    const head = page(subject, order);
    for (const n of [0, 1, 2 ** order - 1, 2 ** (order - 1), (0x155 & (2 ** order - 1)) | 1]) {
      const tail = asPageRef(head + 2 * n);
      expect(compoundHead(host, tail)).toBe(head);
    }
    returnNetmem(host, compoundHead(host, asPageRef(head + 2)) as PageRef);
  }
  audit(subject, new Map());
});

test("compoundHead: a page that is no tail is its own head", () => {
  const subject = createTestHost();
  const { host } = subject;
  const block = page(subject, 4);
  const alone = page(subject);
  const area = host.areas.add({ name: "niov", count: 4, pageShift: 12 });
  expect(compoundHead(host, block)).toBe(block);
  expect(compoundHead(host, alone)).toBe(alone);
  expect(compoundHead(host, host.areas.refAt(area, 3))).toBe(host.areas.refAt(area, 3));
  returnNetmem(host, alone);
  expect(compoundHead(host, alone)).toBe(alone);
});

test("compoundHead: a free page has none, even where a block used to be", () => {
  const subject = createTestHost();
  const { host, pages } = subject;
  const block = page(subject, 4);
  returnNetmem(host, block);
  for (const n of [0, 1, 8, 15]) expect(compoundHead(host, asPageRef(block + 2 * n))).toBe(0);
  const parts = [page(subject, 3), page(subject, 3)];
  for (const part of parts) {
    const tail = asPageRef(part + 2 * 5);
    expect(isPage(part) && compoundHead(host, tail)).toBe(part);
  }
  pages.freePage(parts[0]!);
  expect(compoundHead(host, asPageRef(parts[0]! + 2 * 5))).toBe(0);
  expect(compoundHead(host, asPageRef(parts[1]! + 2 * 5))).toBe(parts[1]);
});

test("compoundHead: a block is not the head of what lies behind it", () => {
  const subject = createTestHost();
  const blocks = Array.from({ length: 8 }, () => page(subject, 1));
  const block = blocks.find((ref) => idxOf(ref) % 4 === 0) as PageRef;
  const behind = blocks.find((ref) => idxOf(ref) === idxOf(block) + 2) as PageRef;
  subject.pages.freePage(behind);
  expect(compoundHead(subject.host, asPageRef(block + 2))).toBe(block);
  expect(compoundHead(subject.host, asPageRef(block + 4))).toBe(0);
  expect(compoundHead(subject.host, asPageRef(block + 6))).toBe(0);
});

test("compoundHead: the tail of a block that went home gives a stale head", () => {
  const subject = createTestHost();
  const { host } = subject;
  const block = page(subject, 4);
  const tail = asPageRef(block + 2 * 3);
  returnNetmem(host, block);
  const again = page(subject, 4);
  expect(idxOf(again)).toBe(idxOf(block));
  const head = compoundHead(host, tail) as PageRef;
  expect(head).toBe(block);
  expectRefused(host, "ERR_NETMEM_STALE_REF", () => returnNetmem(host, head));
});
