import {
  asNetmemRef,
  asPageRef,
  genOf,
  getNetmem,
  type Host,
  idxOf,
  makeRef,
  type MemOwner,
  META_GEN_MASK,
  NetmemState,
  ownerTag,
  type PageRef,
  putNetmem,
  refNetmem,
  returnNetmem,
} from "@netmem/core";
import { expect, test } from "vitest";
import { audit, createTestHost, expectRefused } from "./test-host.ts";

const single = (ref: PageRef | 0): PageRef => {
  if (ref === 0) throw new Error("out of pages");
  return ref;
};

/** Gives a plain page to a pool that does not exist, as a pool's alloc does. */
function moveToPool(host: Host, ref: PageRef): number {
  const owner: MemOwner = { memType: 2, name: "fake pool 7", returnSlow: () => {} };
  const id = host.owners.claim(owner);
  host.i32[idxOf(ref)] = ownerTag(id, NetmemState.Out) | genOf(ref);
  return id;
}

test("double free, of a single page and of a block", () => {
  const { host, pages } = createTestHost();
  for (const order of [0, 3]) {
    const ref = single(pages.allocPages(order));
    pages.freePage(ref);
    expectRefused(host, "ERR_NETMEM_DOUBLE_PUT", () => pages.freePage(ref));
    pages.drainList();
    expectRefused(host, "ERR_NETMEM_DOUBLE_PUT", () => pages.freePage(ref));
  }
});

test("a stale reference, whose page is out again", () => {
  const { host, pages } = createTestHost();
  for (const order of [0, 2]) {
    const ref = single(pages.allocPages(order));
    pages.freePage(ref);
    const again = single(pages.allocPages(order));
    expect(idxOf(again)).toBe(idxOf(ref));
    expectRefused(host, "ERR_NETMEM_STALE_REF", () => pages.freePage(ref));
    pages.freePage(again);
  }
});

test("an armed reference on the list was never handed out", () => {
  const { host, pages } = createTestHost();
  const ref = single(pages.allocPages(0));
  pages.freePage(ref);
  const armed = asPageRef(makeRef(idxOf(ref), genOf(ref) + 1, 0));
  expectRefused(host, "ERR_NETMEM_NOT_OUT", () => pages.freePage(armed));
});

test("a page of a pool is not the allocator's to take", () => {
  const { host, pages } = createTestHost();
  const ref = single(pages.allocPages(0));
  moveToPool(host, ref);
  const error = expectRefused(host, "ERR_NETMEM_FOREIGN_PUT", () => pages.freePage(ref));
  expect(String(error)).toContain("fake pool 7");
});

test("a tail page is no block", () => {
  const { host, pages } = createTestHost();
  const ref = single(pages.allocPages(3));
  for (const n of [1, 4, 7]) expectRefused(host, "ERR_NETMEM_STALE_REF", () => pages.freePage(asPageRef(ref + 2 * n)));
});

test("numbers that name no page", () => {
  const { host, pages } = createTestHost();
  const { firstPageIdx, pageCount, maxNetmems } = host.layout;
  const indices = [0, 1, 2, 3, 4, 5, 6, 63, firstPageIdx - 1, maxNetmems];
  for (const idx of indices) {
    for (const gen of [0, 1, 0x1ff, host.i32[idx]! & META_GEN_MASK]) {
      expectRefused(host, "ERR_NETMEM_BAD_REF", () => pages.freePage(asPageRef(makeRef(idx, gen, 0))));
      expectRefused(host, "ERR_NETMEM_BAD_REF", () => putNetmem(host, asNetmemRef(makeRef(idx, gen, 0))));
    }
  }
  expectRefused(host, "ERR_NETMEM_STALE_REF", () => pages.freePage(asPageRef(makeRef(pageCount, 0, 0))));
});

test("no header word reads like a live page, whatever the geometry", () => {
  const { host, pages } = createTestHost({ arenaBytes: 36 * 2 ** 20, maxNetmems: 9216 });
  for (let idx = 0; idx < 64; idx++) {
    const ref = makeRef(idx, host.i32[idx]! & META_GEN_MASK, 0);
    expectRefused(host, "ERR_NETMEM_BAD_REF", () => pages.freePage(asPageRef(ref)));
  }
});

test("a stray tag bit never gets into the list", () => {
  const { host, pages } = createTestHost();
  const ref = single(pages.allocPages(0));
  pages.freePage(asPageRef(ref | 1));
  expect(host.isReadable(single(pages.allocPages(0)))).toBe(true);
  audit({ host, pages }, new Map([[idxOf(ref), 0]]));
});

test("a negative number is no reference, even where its other bits are", () => {
  const { host, pages } = createTestHost();
  const ref = single(pages.allocPages(0));
  const negative = asPageRef(ref | (1 << 31));
  expectRefused(host, "ERR_NETMEM_BAD_REF", () => pages.freePage(negative));
  expectRefused(host, "ERR_NETMEM_BAD_REF", () => returnNetmem(host, negative));
  getNetmem(host, ref);
  expectRefused(host, "ERR_NETMEM_BAD_REF", () => pages.freePage(negative));
});

test("while others hold a page it is not freed: page-level and pool-level holders count", () => {
  const { host, pages } = createTestHost();
  for (const order of [0, 2]) {
    const ref = single(pages.allocPages(order));
    getNetmem(host, ref);
    expectRefused(host, "ERR_NETMEM_PAGE_SHARED", () => pages.freePage(ref));
    putNetmem(host, ref);
    refNetmem(host, ref);
    const error = expectRefused(host, "ERR_NETMEM_PAGE_SHARED", () => putNetmem(host, ref));
    expect(String(error)).toContain("2 holders");
  }
});

test("a shared page that nobody shares any more can be freed", () => {
  const subject = createTestHost();
  const ref = single(subject.pages.allocPages(0));
  getNetmem(subject.host, ref);
  putNetmem(subject.host, ref);
  subject.pages.freePage(ref);
  audit(subject, new Map());
});
