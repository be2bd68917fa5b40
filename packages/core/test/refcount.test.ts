import { expect, test } from "vitest";
import {
  checkLive,
  fetchAdd,
  getNetmem,
  type Host,
  idxOf,
  isPfmemalloc,
  makePlain,
  makeRef,
  META_SHARED,
  metaOwner,
  MemType,
  type NetmemRef,
  OWNER_ORDER0,
  pageRefCount,
  ppRefCount,
  putNetmem,
  refNetmem,
  returnNetmem,
  setPfmemalloc,
  setPpRefCount,
  unrefNetmem,
} from "../src/index.ts";
import { type CoreHost, createCoreHost, expectRefused, FakeOwner, snapshot, takePage } from "./core-host.ts";

interface Subject extends CoreHost {
  readonly pool: FakeOwner;
  readonly ref: NetmemRef;
}

/** A buffer of a pool, with a user. The same host with and without the atomic path. */
function createSubject(threaded: boolean): Subject {
  const made = createCoreHost();
  if (threaded) made.host.share();
  const pool = new FakeOwner(made.host, MemType.PagePool, 16);
  return { ...made, pool, ref: pool.handOut(takePage(made)) };
}

function isShared(host: Host, ref: NetmemRef): boolean {
  return (host.i32[idxOf(ref)]! & META_SHARED) !== 0;
}

test.each([false, true])(
  "#67 fragment(4): three drops leave holders, the fourth is the last and the count reads 1 (threaded: %s)",
  (threaded) => {
    const { host, ref } = createSubject(threaded);
    setPpRefCount(host, ref, 4);
    expect([1, 2, 3].map(() => unrefNetmem(host, ref, 1))).toEqual([3, 2, 1]);
    expect(unrefNetmem(host, ref, 1)).toBe(0);
    expect(ppRefCount(host, ref)).toBe(1);
  },
);

test.each([false, true])(
  "#68 count 10: unref(10) returns 0 and the count reads 1; unref(7) returns 3 (threaded: %s)",
  (threaded) => {
    const { host, ref } = createSubject(threaded);
    setPpRefCount(host, ref, 10);
    expect(unrefNetmem(host, ref, 10)).toBe(0);
    expect(ppRefCount(host, ref)).toBe(1);
    setPpRefCount(host, ref, 10);
    expect(unrefNetmem(host, ref, 7)).toBe(3);
    expect(ppRefCount(host, ref)).toBe(3);
  },
);

test.each([false, true])(
  "#70 count 2, one more holder: three returns, the third is the last (threaded: %s)",
  (threaded) => {
    const { host, pool, ref } = createSubject(threaded);
    setPpRefCount(host, ref, 2);
    refNetmem(host, ref);
    const left: number[] = [];
    pool.onSlow = (slow) => left.push(unrefNetmem(host, slow, 1));
    for (let k = 0; k < 3; k++) returnNetmem(host, ref);
    expect(left).toEqual([2, 1, 0]);
    expect(ppRefCount(host, ref)).toBe(1);
  },
);

test("#71 the only holder drops out without a write", () => {
  const { host, ref } = createSubject(false);
  const before = snapshot(host);
  expect(unrefNetmem(host, ref, 1)).toBe(0);
  expect(snapshot(host)).toEqual(before);
  expect(ppRefCount(host, ref)).toBe(1);
});

test("#73 the drain of pieces that all came back already: 0, and the count is ready for the next user", () => {
  const { host, ref } = createSubject(false);
  setPpRefCount(host, ref, 1000);
  for (let piece = 0; piece < 3; piece++) expect(unrefNetmem(host, ref, 1)).toBe(999 - piece);
  expect(unrefNetmem(host, ref, 997)).toBe(0);
  expect(ppRefCount(host, ref)).toBe(1);
});

test.each([false, true])("dropping more than there are: -1, and the count stays (threaded: %s)", (threaded) => {
  const { host, ref } = createSubject(threaded);
  setPpRefCount(host, ref, 3);
  expect(unrefNetmem(host, ref, 4)).toBe(-1);
  expect(ppRefCount(host, ref)).toBe(3);
  setPpRefCount(host, ref, 1);
  expect(unrefNetmem(host, ref, 2)).toBe(-1);
  expect(ppRefCount(host, ref)).toBe(1);
});

test("a bias as large as the kernel's is counted exactly", () => {
  const { host, ref } = createSubject(false);
  const bias = 2 ** 30;
  setPpRefCount(host, ref, bias);
  expect(ppRefCount(host, ref)).toBe(bias);
  expect(unrefNetmem(host, ref, bias - 2)).toBe(2);
});

test("the SHARED mark is set before there is a second holder, and only then", () => {
  const { host, pool, ref } = createSubject(false);
  setPpRefCount(host, ref, 1);
  expect(isShared(host, ref)).toBe(false);
  setPpRefCount(host, ref, 2);
  expect(isShared(host, ref)).toBe(true);
  for (const share of [refNetmem, getNetmem, setPfmemalloc]) {
    const other = pool.handOut(takePage({ host, pages: host.pages as never }));
    expect(isShared(host, other)).toBe(false);
    share(host, other);
    expect(isShared(host, other)).toBe(true);
    expect(metaOwner(host.i32[idxOf(other)]!)).toBe(pool.id);
  }
});

test("only a live buffer gets another holder", () => {
  const { host, pool, ref } = createSubject(false);
  returnNetmem(host, ref);
  const armed = pool.stack()[0] as NetmemRef;
  for (const share of [refNetmem, getNetmem, checkLive]) {
    expectRefused(host, "ERR_NETMEM_DOUBLE_PUT", () => share(host, ref));
    expectRefused(host, "ERR_NETMEM_NOT_OUT", () => share(host, armed));
    expectRefused(host, "ERR_NETMEM_BAD_REF", () => share(host, 0 as NetmemRef));
    expectRefused(host, "ERR_NETMEM_BAD_REF", () => share(host, makeRef(host.layout.maxNetmems, 0, 0)));
  }
  pool.handOut(armed);
  for (const share of [refNetmem, getNetmem, checkLive])
    expectRefused(host, "ERR_NETMEM_STALE_REF", () => share(host, ref));
  expect(() => checkLive(host, armed)).not.toThrow();
});

test("putNetmem undoes getNetmem on a pool's page, and takes nothing away from the pool", () => {
  const { host, pool, ref } = createSubject(false);
  getNetmem(host, ref);
  putNetmem(host, ref);
  expect(pageRefCount(host, ref)).toBe(1);
  const error = expectRefused(host, "ERR_NETMEM_POOL_PAGE_FREED", () => putNetmem(host, ref));
  expect(String(error["message"])).toContain(pool.name);
});

test("makePlain: the pool's marks go, page references, reference and generation stay", () => {
  const { host, pages, ref } = createSubject(false);
  const free = pages.freePageCount();
  setPpRefCount(host, ref, 5);
  getNetmem(host, ref);
  makePlain(host, ref);
  expect([ppRefCount(host, ref), pageRefCount(host, ref)]).toEqual([1, 2]);
  expect([metaOwner(host.i32[idxOf(ref)]!), isShared(host, ref)]).toEqual([OWNER_ORDER0, true]);
  putNetmem(host, ref);
  expect(pages.freePageCount()).toBe(free);
  returnNetmem(host, ref);
  expect(pages.freePageCount()).toBe(free + 1);
});

test("makePlain: an exclusive single page is not SHARED; a block and an emergency page are", () => {
  const subject = createSubject(false);
  const { host, pool } = subject;
  makePlain(host, subject.ref);
  expect(isShared(host, subject.ref)).toBe(false);
  const block = pool.handOut(takePage(subject, 2));
  makePlain(host, block);
  expect(isShared(host, block)).toBe(true);
  const emergency = pool.handOut(takePage(subject));
  setPfmemalloc(host, emergency);
  makePlain(host, emergency);
  expect(isShared(host, emergency)).toBe(true);
});

test("the emergency mark is a page's; a net_iov never has it", () => {
  const { host, pool, ref } = createSubject(false);
  expect(isPfmemalloc(host, ref)).toBe(false);
  setPfmemalloc(host, ref);
  expect(isPfmemalloc(host, ref)).toBe(true);
  const niov = pool.handOut(host.areas.refAt(host.areas.add({ name: "a", count: 1, pageShift: 12 }), 0));
  host.i32[host.infoAt + idxOf(niov)] = -1;
  expect(isPfmemalloc(host, niov)).toBe(false);
});

test.each([false, true])("fetchAdd returns what was there and wraps like an Int32Array (threaded: %s)", (threaded) => {
  const { host } = createSubject(threaded);
  const at = host.heap.allocWords(1);
  host.i32[at] = 2 ** 31 - 1;
  expect(fetchAdd(host, at, 2)).toBe(2 ** 31 - 1);
  expect(fetchAdd(host, at, -1)).toBe(-(2 ** 31) + 1);
  expect(host.i32[at]).toBe(-(2 ** 31));
});
