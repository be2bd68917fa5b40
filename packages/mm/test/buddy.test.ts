import { idxOf, INFO_BUDDY, MAX_ORDER, OWNER_WORDS, type PageRef } from "@netmem/core";
import { expect, test } from "vitest";
import { audit, blockCounts, createTestHost } from "./test-host.ts";

const orders = Array.from({ length: MAX_ORDER + 1 }, (_, order) => order);
const sixteenMiB = { arenaBytes: 16 * 2 ** 20 };

test("a fresh host has its whole window on the lists, as the largest aligned blocks", () => {
  const subject = createTestHost(sixteenMiB);
  audit(subject, new Map());
  const { layout } = subject.host;
  expect(subject.pages.totalPageCount).toBe(layout.pageCount - layout.firstPageIdx);
  expect(subject.pages.freePageCount()).toBe(subject.pages.totalPageCount);
  expect(blockCounts(subject.pages).slice(0, MAX_ORDER)).toEqual(
    orders.slice(0, MAX_ORDER).map((order) => ((2 ** MAX_ORDER - layout.firstPageIdx) >> order) & 1),
  );
  expect(subject.pages.buddy.blockCount(MAX_ORDER)).toBe(layout.pageCount / 2 ** MAX_ORDER - 1);
});

test.each(orders)("order %i: aligned, disjoint blocks until exhausted; everything merges back", (order) => {
  const subject = createTestHost(sixteenMiB);
  const { pages } = subject;
  const initial = blockCounts(pages);
  const out = new Map<number, number>();
  const refs: PageRef[] = [];
  for (let ref = pages.allocPages(order); ref !== 0; ref = pages.allocPages(order)) {
    expect(idxOf(ref) % 2 ** order).toBe(0);
    expect(out.has(idxOf(ref))).toBe(false);
    out.set(idxOf(ref), order);
    refs.push(ref);
    expect(pages.freePageCount()).toBe(pages.totalPageCount - refs.length * 2 ** order);
  }
  audit(subject, out);
  expect(refs.length).toBe(initial.reduce((sum, count, k) => sum + (k >= order ? count * 2 ** (k - order) : 0), 0));
  expect(pages.allocPages(order)).toBe(0);
  for (const ref of refs.toReversed()) {
    pages.freePage(ref);
    out.delete(idxOf(ref));
    expect(pages.freePageCount()).toBe(pages.totalPageCount - out.size * 2 ** order);
  }
  pages.drainList();
  audit(subject, new Map());
  expect(blockCounts(pages)).toEqual(initial);
});

test("a split leaves one block of every order between", () => {
  const { pages } = createTestHost(sixteenMiB);
  while (pages.buddy.findOrder(0) < MAX_ORDER) pages.buddy.take(pages.buddy.findOrder(0));
  const tens = pages.buddy.blockCount(MAX_ORDER);
  const page = pages.allocPages(3);
  expect(blockCounts(pages)).toEqual([0, 0, 0, 1, 1, 1, 1, 1, 1, 1, tens - 1]);
  pages.freePage(page as PageRef);
  expect(blockCounts(pages)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, tens]);
});

test("a block waits for its buddy, and only for that one", () => {
  const { host, pages } = createTestHost(sixteenMiB);
  const blocks = Array.from({ length: 4 }, () => pages.allocPages(9) as PageRef);
  const at = (idx: number): PageRef => blocks.find((ref) => idxOf(ref) === idx) as PageRef;
  const first = Math.min(...blocks.filter((ref) => idxOf(ref) % 1024 === 0).map((ref) => idxOf(ref)));
  const tens = pages.buddy.blockCount(MAX_ORDER);
  const nines = pages.buddy.blockCount(9);
  pages.freePage(at(first));
  expect(pages.buddy.blockCount(9)).toBe(nines + 1);
  expect(pages.buddy.blockCount(MAX_ORDER)).toBe(tens);
  pages.freePage(at(first + 512));
  expect(pages.buddy.blockCount(9)).toBe(nines);
  expect(pages.buddy.blockCount(MAX_ORDER)).toBe(tens + 1);
  expect(host.offsetOf(at(first)) % (4 * 2 ** 20)).toBe(0);
});

test("an arena that is no multiple of 4 MiB loses no page at its end", () => {
  const subject = createTestHost({ arenaBytes: 5 * 2 ** 20 + 65536 * 3 });
  audit(subject, new Map());
  const refs = new Int32Array(subject.pages.totalPageCount);
  expect(subject.pages.allocBulk(refs, refs.length)).toBe(refs.length);
  expect(new Set(refs).size).toBe(refs.length);
  subject.pages.freeBulk(refs, refs.length);
  subject.pages.drainList();
  audit(subject, new Map());
});

test("what lies behind the table is not taken for the last block's buddy", () => {
  const subject = createTestHost({ arenaBytes: 5 * 2 ** 20 + 65536, maxNetmems: 1296 });
  const { host, pages } = subject;
  host.i32.fill(INFO_BUDDY | 4, host.layout.ownersAt, host.layout.ownersAt + OWNER_WORDS);
  const blocks: PageRef[] = [];
  for (let ref = pages.allocPages(4); ref !== 0; ref = pages.allocPages(4)) blocks.push(ref);
  expect(Math.max(...blocks.map((ref) => idxOf(ref)))).toBe(1296 - 16);
  for (const ref of blocks) pages.freePage(ref);
  audit(subject, new Map());
});

test("pages of 64 KiB work as well", () => {
  const subject = createTestHost({ arenaBytes: 64 * 2 ** 20, pageShift: 16 });
  const page = subject.pages.allocPages(2) as PageRef;
  expect(subject.host.offsetOf(page) % 2 ** 18).toBe(0);
  audit(subject, new Map([[idxOf(page), 2]]));
});
