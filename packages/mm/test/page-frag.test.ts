import {
  asPageRef,
  idxOf,
  INFO_FRAG_SHIFT,
  isPfmemalloc,
  type NetmemRef,
  type PageRef,
  pageRefCount,
  putNetmem,
  returnNetmem,
} from "@netmem/core";
import { forEveryNthFailure } from "@netmem/testing";
import { expect, test } from "vitest";
import { createPageAllocatorWith, createPageFrag, type PageFrag, type PageFragParams } from "../src/index.ts";
import { audit, createTestHost, expectRefused, type TestHost } from "./test-host.ts";

interface Subject extends TestHost {
  readonly frag: PageFrag;
}

function createSubject(params: PageFragParams = {}): Subject {
  const subject = createTestHost();
  return { ...subject, frag: createPageFrag(subject.host, params) };
}

function take({ frag }: Subject, bytes: number): PageRef {
  const ref = frag.alloc(bytes);
  if (ref === 0) throw new Error("out of pages");
  return ref;
}

test("pieces lie one after the other in one block of 32 KiB", () => {
  const subject = createSubject();
  const { frag, host } = subject;
  const first = take(subject, 100);
  const seen = [frag.lastOffset];
  for (let k = 0; k < 3; k++) {
    expect(take(subject, 1000)).toBe(first);
    seen.push(frag.lastOffset);
  }
  expect(seen).toEqual([0, 104, 1104, 2104]);
  expect(host.bufferBytes(first)).toBe(32768);
  expect(frag.stats()).toEqual({ blocks: 1, fallbackPages: 0, reused: 0 });
});

test("a piece may be the whole block, and not more", () => {
  const subject = createSubject();
  const { frag, host } = subject;
  const ref = take(subject, 32768);
  expect(frag.lastOffset).toBe(0);
  for (const bytes of [32769, 0, -1, 0.5, Number.NaN]) {
    expectRefused(host, "ERR_NETMEM_INVALID_PARAM", () => frag.alloc(bytes));
  }
  expect(take(subject, 8)).not.toBe(ref);
});

test("one page reference is all that a piece takes: the count moves at frees alone", () => {
  const subject = createSubject();
  const { host } = subject;
  const ref = take(subject, 64);
  const count = pageRefCount(host, ref);
  for (let k = 0; k < 9; k++) take(subject, 64);
  expect(pageRefCount(host, ref)).toBe(count);
  for (let k = 0; k < 10; k++) returnNetmem(host, ref);
  expect(pageRefCount(host, ref)).toBe(count - 10);
});

test("a used-up block whose pieces are all home is cut again, under a new generation", () => {
  const subject = createSubject();
  const { frag, host, pages } = subject;
  const first = take(subject, 16384);
  take(subject, 16384);
  returnNetmem(host, first);
  putNetmem(host, first);
  const again = take(subject, 64);
  expect(idxOf(again)).toBe(idxOf(first));
  expect(again).not.toBe(first);
  expect(frag.lastOffset).toBe(0);
  expectRefused(host, /DOUBLE_PUT|STALE/, () => returnNetmem(host, first));
  expect(frag.stats()).toEqual({ blocks: 1, fallbackPages: 0, reused: 1 });
  frag.destroy();
  expect(pages.freePageCount()).toBe(pages.totalPageCount - 8);
  returnNetmem(host, again);
  audit(subject, new Map());
});

test("a block in use elsewhere is left to its pieces; the last one frees it", () => {
  const subject = createSubject();
  const { frag, host } = subject;
  const first = take(subject, 16384);
  take(subject, 16384);
  const second = take(subject, 64);
  expect(idxOf(second)).not.toBe(idxOf(first));
  expect(pageRefCount(host, first)).toBe(2);
  returnNetmem(host, first);
  audit(
    subject,
    new Map([
      [idxOf(first), 3],
      [idxOf(second), 3],
    ]),
  );
  returnNetmem(host, first);
  audit(subject, new Map([[idxOf(second), 3]]));
  expectRefused(host, "ERR_NETMEM_DOUBLE_PUT", () => returnNetmem(host, first));
  frag.drain();
  returnNetmem(host, second);
  audit(subject, new Map());
});

test("drain: gives an unused block back at once; the allocator works on", () => {
  const subject = createSubject();
  const { frag, host } = subject;
  frag.drain();
  returnNetmem(host, take(subject, 64));
  frag.drain();
  frag.drain();
  audit(subject, new Map());
  returnNetmem(host, take(subject, 64));
  frag.destroy();
  audit(subject, new Map());
  expectRefused(host, "ERR_NETMEM_PAGE_FRAG_DESTROYED", () => frag.alloc(64));
  frag.destroy();
});

test("without blocks single pages serve; blocks again as soon as there are some", () => {
  const subject = createSubject();
  const { frag, host, pages } = subject;
  expect(pages.allocPages(0)).not.toBe(0);
  const blocks: PageRef[] = [];
  for (let ref = pages.allocPages(3); ref !== 0; ref = pages.allocPages(3)) blocks.push(ref);
  const rest = new Int32Array(pages.freePageCount());
  pages.allocBulk(rest, rest.length);
  expect(frag.alloc(64)).toBe(0);
  pages.freePage(asPageRef(rest[0]!));
  const piece = take(subject, 64);
  expect(host.bufferBytes(piece)).toBe(4096);
  expect(frag.alloc(4097)).toBe(0);
  expect(frag.stats()).toEqual({ blocks: 0, fallbackPages: 1, reused: 0 });
  for (const ref of blocks) pages.freePage(ref);
  expect(host.bufferBytes(take(subject, 5000))).toBe(32768);
  expect(frag.stats()).toMatchObject({ blocks: 1, fallbackPages: 1 });
});

test("a fallback page that is all home goes back instead of being cut again", () => {
  const subject = createSubject();
  const { frag, host, pages } = subject;
  expect(pages.allocPages(0)).not.toBe(0);
  const blocks: PageRef[] = [];
  for (let ref = pages.allocPages(3); ref !== 0; ref = pages.allocPages(3)) blocks.push(ref);
  returnNetmem(host, take(subject, 4096));
  for (const ref of blocks) pages.freePage(ref);
  const piece = take(subject, 64);
  expect(host.bufferBytes(piece)).toBe(32768);
  expect(frag.stats()).toEqual({ blocks: 1, fallbackPages: 1, reused: 0 });
  frag.destroy();
  returnNetmem(host, piece);
  expect(pages.freePageCount()).toBe(pages.totalPageCount - 1);
});

test("the reserve serves single pages only, marked, and they are not cut twice", () => {
  const subject = createTestHost({ pageAllocator: createPageAllocatorWith({ minPages: 64 }) });
  const { host, pages } = subject;
  const all = new Int32Array(pages.totalPageCount);
  const got = pages.allocBulk(all, all.length);
  const frag = createPageFrag(host);
  expect(frag.alloc(64)).toBe(0);
  host.context.memalloc = true;
  const piece = frag.alloc(4096) as PageRef;
  expect([host.bufferBytes(piece), isPfmemalloc(host, piece), host.context.memalloc]).toEqual([4096, true, true]);
  returnNetmem(host, piece);
  const other = frag.alloc(4096) as PageRef;
  expect(frag.stats()).toEqual({ blocks: 0, fallbackPages: 2, reused: 0 });
  returnNetmem(host, other);
  frag.destroy();
  audit(subject, new Map(Array.from(all.subarray(0, got), (ref) => [idxOf(asPageRef(ref)), 0])));
});

test("order 0, other alignments, pages of 64 KiB", () => {
  const single = createSubject({ order: 0, alignBytes: 64 });
  take(single, 65);
  take(single, 1);
  expect(single.frag.lastOffset).toBe(128);
  expect(single.frag.stats()).toEqual({ blocks: 1, fallbackPages: 0, reused: 0 });
  const { host } = createTestHost({ arenaBytes: 64 * 2 ** 20, pageShift: 16 });
  expect(host.bufferBytes(createPageFrag(host).alloc(64) as PageRef)).toBe(65536);
});

test.each<[PageFragParams, string]>([
  [{ order: 11 }, "order"],
  [{ alignBytes: 4 }, "alignBytes"],
  [{ alignBytes: 24 }, "alignBytes"],
  [{ fragBytes: 32769 }, "fragBytes"],
])("%j is refused", (params, param) => {
  expect(() => createSubject(params)).toThrow(expect.objectContaining({ code: "ERR_NETMEM_INVALID_PARAM", param }));
});

test("as a queue's allocator: fixed size, bulk with offsets, put", () => {
  const subject = createSubject({ fragBytes: 2000 });
  const { frag, host, pages } = subject;
  const one = frag.allocNetmem() as PageRef;
  const refs = new Int32Array(100);
  expect(frag.allocBulk(refs, 100)).toBe(64);
  expect([...frag.lastOffsets.subarray(0, 4)]).toEqual([2000, 4000, 6000, 8000]);
  const places = Array.from(refs.subarray(0, 64), (ref, k) => host.offsetOf(asPageRef(ref)) + frag.lastOffsets[k]!);
  expect(new Set(places).size).toBe(64);
  frag.put(one, -1, true);
  for (const ref of refs.subarray(0, 64)) frag.put(ref as NetmemRef, -1, false);
  frag.destroy();
  expect(pages.freePageCount()).toBe(pages.totalPageCount);
});

test("a bulk call takes no more pieces than its array has room for", () => {
  const subject = createSubject({ fragBytes: 4096 });
  const { frag, host } = subject;
  const refs = new Int32Array(2);
  expect(frag.allocBulk(refs, 5)).toBe(2);
  for (const ref of refs) returnNetmem(host, asPageRef(ref));
  frag.destroy();
  audit(subject, new Map());
});

test("the context may use the reserve again, also when the page allocator throws", () => {
  const subject = createSubject();
  const { frag, host, pages } = subject;
  host.context.memalloc = true;
  const seen: boolean[] = [];
  Object.defineProperty(pages, "allocPages", {
    value: () => {
      seen.push(host.context.memalloc);
      throw new Error("stuck");
    },
  });
  expect(() => frag.alloc(64)).toThrow("stuck");
  expect([seen, host.context.memalloc]).toEqual([[false], true]);
});

test("a bulk call is short when memory is", () => {
  const subject = createSubject({ fragBytes: 4096 });
  const { frag, pages } = subject;
  pages.allocBulk(new Int32Array(pages.totalPageCount), pages.totalPageCount - 3);
  expect(frag.allocBulk(new Int32Array(10), 10)).toBe(3);
});

test("a retired block knows the mean size of its pieces", () => {
  const subject = createSubject();
  const { frag, host } = subject;
  const ref = take(subject, 64);
  take(subject, 192);
  frag.drain();
  expect(host.i32[host.infoAt + idxOf(ref)]! >>> INFO_FRAG_SHIFT).toBe(16);
});

test("with any allocation failing, the pages balance", () => {
  const runs = forEveryNthFailure((faults) => {
    const subject = createTestHost();
    const { host, pages } = subject;
    const real = pages.allocPages.bind(pages);
    pages.allocPages = (order, nid, strict) => (faults.shouldFail("allocPages") ? 0 : real(order, nid, strict));
    const frag = createPageFrag(host);
    const live: PageRef[] = [];
    for (let k = 0; k < 60; k++) {
      const ref = frag.alloc(3000);
      if (ref !== 0) live.push(ref);
    }
    frag.destroy();
    for (const ref of live) returnNetmem(host, ref);
    audit(subject, new Map());
  });
  expect(runs).toBe(7);
});
