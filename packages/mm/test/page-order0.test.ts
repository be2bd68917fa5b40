import {
  asPageRef,
  compoundHead,
  createHost,
  genOf,
  idxOf,
  isPfmemalloc,
  makeRef,
  META_GEN_MASK,
  NetmemState,
  OWNER_STACK_SIZE,
  ownerTag,
  type PageRef,
  pageRefCount,
  setPfmemalloc,
} from "@netmem/core";
import { VirtualClock } from "@netmem/testing";
import { expect, test } from "vitest";
import { createPageAllocator } from "../src/index.ts";
import { audit, blockCounts, createTestHost, expectRefused, snapshot } from "./test-host.ts";

const single = (ref: PageRef | 0): PageRef => {
  if (ref === 0) throw new Error("out of pages");
  return ref;
};

test("a page is exclusive, plain, and its bytes are its own", () => {
  const { host, pages } = createTestHost();
  const a = single(pages.allocPages(0));
  const b = single(pages.allocPages(0));
  host.u8.fill(0xaa, host.offsetOf(a), host.offsetOf(a) + 4096);
  host.u8.fill(0xbb, host.offsetOf(b), host.offsetOf(b) + 4096);
  expect(new Set(host.u8.subarray(host.offsetOf(a), host.offsetOf(a) + 4096))).toEqual(new Set([0xaa]));
  expect(pageRefCount(host, a)).toBe(1);
  expect(host.isReadable(a)).toBe(true);
  expect(pages.freePageCount()).toBe(pages.totalPageCount - 2);
});

test("the last page freed is the next one handed out, one generation later", () => {
  const { pages } = createTestHost();
  const page = single(pages.allocPages(0));
  pages.freePage(page);
  const again = single(pages.allocPages(0));
  expect(idxOf(again)).toBe(idxOf(page));
  expect(genOf(again)).toBe(genOf(page) + 1);
});

test("a full list gives its oldest half to the buddies", () => {
  const subject = createTestHost();
  const refs = new Int32Array(OWNER_STACK_SIZE + 1);
  expect(subject.pages.allocBulk(refs, refs.length)).toBe(refs.length);
  const blocksFree = subject.pages.buddy.freePageCount;
  subject.pages.freeBulk(refs, OWNER_STACK_SIZE);
  expect(subject.pages.buddy.freePageCount).toBe(blocksFree);
  subject.pages.freePage(asPageRef(refs[OWNER_STACK_SIZE]!));
  expect(subject.pages.buddy.freePageCount).toBe(blocksFree + 64);
  expect(idxOf(single(subject.pages.allocPages(0)))).toBe(idxOf(asPageRef(refs[OWNER_STACK_SIZE]!)));
  expect(idxOf(single(subject.pages.allocPages(0)))).toBe(idxOf(asPageRef(refs[OWNER_STACK_SIZE - 1]!)));
});

test("every page can be had one by one, and again after all came home", () => {
  const subject = createTestHost();
  const initial = blockCounts(subject.pages);
  for (let round = 0; round < 2; round++) {
    const refs: PageRef[] = [];
    for (let ref = subject.pages.allocPages(0); ref !== 0; ref = subject.pages.allocPages(0)) refs.push(ref);
    expect(refs.length).toBe(subject.pages.totalPageCount);
    expect(new Set(refs.map((ref) => idxOf(ref))).size).toBe(refs.length);
    expect(subject.pages.freePageCount()).toBe(0);
    for (const ref of refs) subject.pages.freePage(ref);
  }
  subject.pages.drainList();
  audit(subject, new Map());
  expect(blockCounts(subject.pages)).toEqual(initial);
});

test("bulk: as many as asked, short only when memory is", () => {
  const subject = createTestHost();
  const total = subject.pages.totalPageCount;
  const refs = new Int32Array(total + 10);
  subject.pages.freePage(single(subject.pages.allocPages(0)));
  for (const count of [0, 1, 63, 64, 65, 200]) {
    expect(subject.pages.allocBulk(refs, count)).toBe(count);
    expect(subject.pages.freePageCount()).toBe(total - count);
    audit(subject, new Map(Array.from(refs.subarray(0, count), (ref) => [idxOf(asPageRef(ref)), 0])));
    subject.pages.freeBulk(refs, count);
    expect(subject.pages.freePageCount()).toBe(total);
  }
  expect(subject.pages.allocBulk(refs, total + 10)).toBe(total);
  expect(new Set(refs.subarray(0, total)).size).toBe(total);
  expect(subject.pages.allocBulk(refs, 1)).toBe(0);
  expect(subject.pages.allocPages(0)).toBe(0);
});

test("bulk: more than the array holds is refused before a page gets lost", () => {
  const { host, pages } = createTestHost();
  const error = expectRefused(host, "ERR_NETMEM_INVALID_PARAM", () => pages.allocBulk(new Int32Array(8), 9));
  expect(error).toMatchObject({ param: "max", value: 9 });
});

test("bulk free: a bad entry throws with its index; those before it are home, the rest are not", () => {
  const { pages } = createTestHost();
  const refs = new Int32Array(6);
  pages.allocBulk(refs, 6);
  pages.freePage(asPageRef(refs[3]!));
  const free = pages.freePageCount();
  expect(() => pages.freeBulk(refs, 6)).toThrow(
    expect.objectContaining({ code: "ERR_NETMEM_DOUBLE_PUT", param: "refs[3]", value: refs[3] }),
  );
  expect(pages.freePageCount()).toBe(free + 3);
  pages.freeBulk(refs.subarray(4), 2);
  expect(pages.freePageCount()).toBe(pages.totalPageCount);
});

test("a block that only the list prevents is found: the list goes to the buddies first", () => {
  const { pages } = createTestHost();
  const refs = new Int32Array(pages.totalPageCount);
  pages.allocBulk(refs, refs.length);
  const inOneBlock = refs.filter((ref) => idxOf(asPageRef(ref)) >> 5 === 20);
  expect(inOneBlock.length).toBe(32);
  pages.freeBulk(inOneBlock, 32);
  expect(pages.buddy.freePageCount).toBe(0);
  expect(idxOf(single(pages.allocPages(5))) >> 5).toBe(20);
  expect(pages.freePageCount()).toBe(0);
  expect(pages.allocPages(1)).toBe(0);
});

test.each([-1, 11, 1.5, Number.NaN])("order %d is refused", (order) => {
  const { host, pages } = createTestHost();
  const error = expectRefused(host, "ERR_NETMEM_INVALID_PARAM", () => pages.allocPages(order));
  expect(error).toMatchObject({ errno: "EINVAL", param: "order", value: order });
});

test("a page that once headed a block is single again", () => {
  const subject = createTestHost();
  const { host, pages } = subject;
  const blocks = [single(pages.allocPages(3)), single(pages.allocPages(3)), single(pages.allocPages(3))];
  for (const block of blocks) pages.freePage(block);
  const out = new Map<number, number>();
  for (let ref = pages.allocPages(0); ref !== 0; ref = pages.allocPages(0)) {
    out.set(idxOf(ref), 0);
    audit(subject, out);
    expect(compoundHead(host, ref)).toBe(ref);
  }
});

test("the emergency mark goes with the page, not to its next user", () => {
  const { host, pages } = createTestHost();
  for (const order of [0, 1]) {
    const ref = single(pages.allocPages(order));
    setPfmemalloc(host, ref);
    pages.freePage(ref);
    const again = single(pages.allocPages(order));
    expect(idxOf(again)).toBe(idxOf(ref));
    expect(isPfmemalloc(host, again)).toBe(false);
  }
});

test("512 reuses later a reference looks alive again; 511 do not fool anybody", () => {
  const { host, pages } = createTestHost();
  for (const order of [0, 1]) {
    const first = single(pages.allocPages(order));
    let ref = first;
    for (let reuse = 1; reuse < 512; reuse++) {
      pages.freePage(ref);
      ref = single(pages.allocPages(order));
      expect(genOf(ref)).toBe((genOf(first) + reuse) & META_GEN_MASK);
      expect(ref).not.toBe(first);
    }
    expectRefused(host, "ERR_NETMEM_STALE_REF", () => pages.freePage(first));
    pages.freePage(ref);
    expect(single(pages.allocPages(order))).toBe(first);
  }
});

test("a page that goes through the buddies keeps its generation count", () => {
  const { pages } = createTestHost();
  const ref = single(pages.allocPages(0));
  pages.freePage(ref);
  pages.drainList();
  const all = new Int32Array(pages.totalPageCount);
  pages.allocBulk(all, all.length);
  const again = all.find((word) => idxOf(asPageRef(word)) === idxOf(ref));
  expect(genOf(asPageRef(again!))).toBe(genOf(ref) + 1);
});

test("drained references go to the buddies", () => {
  const subject = createTestHost();
  const refs = new Int32Array(4);
  subject.pages.allocBulk(refs, 4);
  const armed = refs.map((ref) => {
    subject.host.i32[idxOf(asPageRef(ref))] = ownerTag(1, NetmemState.Pooled) | (genOf(asPageRef(ref)) + 1);
    return makeRef(idxOf(asPageRef(ref)), genOf(asPageRef(ref)) + 1, 0);
  });
  subject.host.memTypes.modelOf(1)?.drain(1, armed, 4);
  audit(subject, new Map());
});

test("a host has one page allocator", () => {
  const { host } = createTestHost();
  const before = snapshot(host);
  expect(() => createPageAllocator(host)).toThrow(
    expect.objectContaining({ code: "ERR_NETMEM_OWNER_TAKEN", errno: "EBUSY" }),
  );
  expect(snapshot(host).some((word, at) => word !== before[at])).toBe(false);
});

test("a host with 1 GiB says how long it takes to make", () => {
  const from = performance.now();
  const host = createHost({ arenaBytes: 2 ** 30, clock: new VirtualClock(), pageAllocator: createPageAllocator });
  expect(host.pages.freePageCount()).toBe(host.pages.totalPageCount);
  console.log(`host with 1 GiB: ${(performance.now() - from).toFixed(1)} ms`);
});
