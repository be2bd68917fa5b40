import {
  asPageRef,
  getNetmem,
  idxOf,
  isPfmemalloc,
  type NetmemWarning,
  type PageRef,
  returnNetmem,
  type Shrinker,
} from "@netmem/core";
import { forEveryNthFailure } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import { createPageAllocatorWith, type PageAllocatorParams } from "../src/index.ts";
import { audit, createTestHost, type TestHost } from "./test-host.ts";

function createGuarded(params: PageAllocatorParams, warnings: NetmemWarning[] = []): TestHost {
  return createTestHost({
    pageAllocator: createPageAllocatorWith(params),
    onWarning: (warning) => warnings.push(warning),
  });
}

/** Allocates single pages until `free` are left, one by one. */
function drainTo({ pages }: TestHost, free: number): PageRef[] {
  const refs: PageRef[] = [];
  while (pages.freePageCount() > free) {
    const ref = pages.allocPages(0);
    if (ref === 0) throw new Error(`refused with ${pages.freePageCount()} free pages`);
    refs.push(ref);
  }
  return refs;
}

interface Keeper extends Shrinker {
  readonly asked: number[];
  readonly kept: PageRef[];
}

/** A cache that gives back what it is asked for, as far as it has it. */
function addKeeper(subject: TestHost, kept: PageRef[] = []): Keeper {
  const keeper: Keeper = {
    name: "keeper",
    asked: [],
    kept,
    count: () => kept.length,
    scan: (target) => {
      keeper.asked.push(target);
      const gone = kept.splice(0, target);
      for (const ref of gone) subject.pages.freePage(ref);
      return gone.length;
    },
  };
  subject.host.shrinkers.add(keeper);
  return keeper;
}

const marks = { minPages: 100, lowPages: 200, highPages: 300 };

describe("falling below low", () => {
  test.each(["single pages", "bulk", "blocks"])("asks the shrinkers once, for what is missing to high: %s", (how) => {
    const subject = createGuarded(marks);
    const { pages } = subject;
    const keeper = addKeeper(subject, drainTo(subject, pages.totalPageCount - 500));
    drainTo(subject, 200);
    expect(keeper.asked).toEqual([]);
    if (how === "single pages") pages.allocPages(0);
    else if (how === "bulk") pages.allocBulk(new Int32Array(8), 8);
    else pages.allocPages(3);
    const taken = how === "single pages" ? 1 : 8;
    expect(keeper.asked).toEqual([100 + taken]);
    expect(pages.freePageCount()).toBe(300);
    expect(pages.stats()).toMatchObject({ reclaimCalls: 1, reclaimedPages: 100 + taken });
  });

  test("is one crossing, however many allocations follow, until high is reached again", () => {
    const subject = createGuarded(marks);
    const keeper = addKeeper(subject);
    keeper.kept.push(...drainTo(subject, 201).slice(0, 5));
    const refs = drainTo(subject, 150);
    expect(keeper.asked).toEqual([5]);
    keeper.kept.push(...refs.splice(0, 10));
    refs.push(...drainTo(subject, 101));
    expect(keeper.asked).toEqual([5]);
    for (const ref of refs.splice(0, 148)) subject.pages.freePage(ref);
    expect(subject.pages.freePageCount()).toBeLessThan(300);
    drainTo(subject, 180);
    expect(keeper.asked).toEqual([5]);
  });

  test("counts again after memory was at high", () => {
    const subject = createGuarded(marks);
    const keeper = addKeeper(subject);
    const refs = drainTo(subject, 120);
    for (let round = 1; round <= 3; round++) {
      for (const ref of refs.splice(0, 400)) subject.pages.freePage(ref);
      keeper.kept.push(refs.pop()!);
      refs.push(...drainTo(subject, 120));
      expect(keeper.asked.length).toBe(round);
    }
  });

  test("a shrinker may allocate: no second round starts, and the pages are right", () => {
    const subject = createGuarded(marks);
    const kept = drainTo(subject, subject.pages.totalPageCount - 200);
    const extra: PageRef[] = [];
    let scans = 0;
    subject.host.shrinkers.add({
      name: "nested",
      count: () => kept.length,
      scan: (target) => {
        scans++;
        extra.push(subject.pages.allocPages(0) as PageRef, subject.pages.allocPages(2) as PageRef);
        for (const ref of kept.splice(0, target)) subject.pages.freePage(ref);
        return target;
      },
    });
    const out = drainTo(subject, 200);
    out.push(subject.pages.allocPages(0) as PageRef);
    expect(scans).toBe(1);
    const orders = [...out, ...kept].map((ref) => [idxOf(ref), 0] as const);
    audit(subject, new Map([...orders, [idxOf(extra[0]!), 0], [idxOf(extra[1]!), 2]]));
  });

  test("a shrinker that throws is reported and skipped", () => {
    const warnings: NetmemWarning[] = [];
    const subject = createGuarded(marks, warnings);
    subject.host.shrinkers.add({
      name: "broken",
      count: () => 1,
      scan: () => {
        throw new Error("stuck");
      },
    });
    const keeper = addKeeper(subject);
    keeper.kept.push(...drainTo(subject, 200).slice(0, 150));
    expect(subject.pages.allocPages(0)).not.toBe(0);
    expect(keeper.asked).toEqual([101]);
    expect(warnings).toEqual([
      { code: "WARN_NETMEM_SHRINKER_FAILED", message: expect.stringContaining("broken: Error: stuck") },
    ]);
  });
});

describe("below min", () => {
  test("nothing is granted, and it is counted", () => {
    const subject = createGuarded(marks);
    const { pages } = subject;
    drainTo(subject, 100);
    expect([pages.allocPages(0), pages.allocPages(2), pages.allocBulk(new Int32Array(9), 9)]).toEqual([0, 0, 0]);
    expect(pages.stats()).toMatchObject({ refusedByWatermark: 3, refusedByLimit: 0, reserveBlocks: 0 });
    expect(pages.freePageCount()).toBe(100);
  });

  test("bulk takes what is above it", () => {
    const subject = createGuarded(marks);
    const refs = new Int32Array(64);
    drainTo(subject, 110);
    expect(subject.pages.allocBulk(refs, 64)).toBe(10);
    expect(subject.pages.stats().refusedByWatermark).toBe(1);
  });

  test.each([0, 3])("memalloc contexts get blocks of order %i that are marked, down to the last page", (order) => {
    const subject = createGuarded(marks);
    const { host, pages } = subject;
    const plain = drainTo(subject, 100);
    expect(plain.some((ref) => isPfmemalloc(host, ref))).toBe(false);
    host.context.memalloc = true;
    expect(pages.allocBulk(new Int32Array(9), 9)).toBe(0);
    const reserve: PageRef[] = [];
    for (let ref = pages.allocPages(order); ref !== 0; ref = pages.allocPages(order)) reserve.push(ref);
    expect(reserve.every((ref) => isPfmemalloc(host, ref))).toBe(true);
    expect(pages.stats().reserveBlocks).toBeGreaterThanOrEqual(reserve.length);
    if (order === 0) expect(reserve.length).toBe(100);
    audit(
      subject,
      new Map([...plain.map((ref) => [idxOf(ref), 0] as const), ...reserve.map((ref) => [idxOf(ref), order] as const)]),
    );
    host.context.memalloc = false;
    for (const ref of reserve) returnNetmem(host, ref);
    for (const ref of plain) pages.freePage(ref);
    expect(pages.freePageCount()).toBe(pages.totalPageCount);
    for (const ref of drainTo(subject, 150)) expect(isPfmemalloc(host, ref)).toBe(false);
  });

  test("a reserve page that is shared goes home after its last holder, unmarked", () => {
    const subject = createGuarded(marks);
    const { host, pages } = subject;
    drainTo(subject, 100);
    host.context.memalloc = true;
    const ref = pages.allocPages(0) as PageRef;
    getNetmem(host, ref);
    returnNetmem(host, ref);
    expect(isPfmemalloc(host, ref)).toBe(true);
    returnNetmem(host, ref);
    expect(isPfmemalloc(host, ref)).toBe(false);
    expect(pages.freePageCount()).toBe(100);
  });

  test("the shrinkers are asked at the first refusal and then at every 64th", () => {
    const subject = createGuarded(marks);
    const keeper = addKeeper(subject);
    const refs = drainTo(subject, 100);
    keeper.kept.push(refs.pop()!);
    expect(subject.pages.allocPages(0)).not.toBe(0);
    expect(keeper.asked.length).toBe(1);
    for (let k = 1; k <= 129; k++) {
      keeper.kept.length = 0;
      if (k === 1 || k === 129) continue;
      expect(subject.pages.allocPages(0)).toBe(0);
    }
    expect(keeper.asked.length).toBe(1);
    keeper.kept.push(...refs.splice(0, 70));
    let refused = 0;
    while (subject.pages.allocPages(0) === 0) refused++;
    expect(refused).toBeLessThan(64);
    expect(keeper.asked.length).toBe(2);
  });

  test("recovery: what was refused is granted once memory is back", () => {
    const subject = createGuarded(marks);
    const { pages } = subject;
    const refs = drainTo(subject, 100);
    expect(pages.allocPages(0)).toBe(0);
    for (const ref of refs.splice(0, 16)) pages.freePage(ref);
    for (let k = 0; k < 16; k++) expect(pages.allocPages(0)).not.toBe(0);
    expect(pages.allocPages(0)).toBe(0);
    for (const ref of refs) pages.freePage(ref);
    expect(pages.allocPages(5)).not.toBe(0);
  });
});

describe("limit", () => {
  test("is exact for single pages, bulk and blocks, also for the reserve", () => {
    const subject = createGuarded({ limitPages: 100 });
    const { host, pages } = subject;
    const block = pages.allocPages(4) as PageRef;
    const bulk = new Int32Array(200);
    expect(pages.allocBulk(bulk, 50)).toBe(50);
    expect(drainTo(subject, pages.totalPageCount - 100).length).toBe(34);
    host.context.memalloc = true;
    expect([pages.allocPages(0), pages.allocPages(1), pages.allocBulk(bulk.subarray(50), 5)]).toEqual([0, 0, 0]);
    expect(pages.stats()).toMatchObject({ refusedByLimit: 3, refusedByWatermark: 0 });
    pages.freePage(block);
    expect(pages.allocPages(4)).not.toBe(0);
    expect(pages.allocPages(0)).toBe(0);
  });

  test("pages on the thread's list are not out: a block may need them", () => {
    const { pages } = createGuarded({ limitPages: 64 });
    const ref = pages.allocPages(0) as PageRef;
    expect(pages.allocPages(5)).not.toBe(0);
    pages.freePage(ref);
    expect(pages.allocPages(5)).not.toBe(0);
    expect(pages.allocPages(0)).toBe(0);
  });

  test("watermarks count what the limit leaves; reaching it asks the shrinkers", () => {
    const subject = createGuarded({ limitPages: 100, minPages: 10, lowPages: 20, highPages: 30 });
    const keeper = addKeeper(subject, drainTo(subject, subject.pages.totalPageCount - 50));
    const refs = drainTo(subject, subject.pages.totalPageCount - 80);
    expect(keeper.asked).toEqual([]);
    refs.push(subject.pages.allocPages(0) as PageRef);
    expect(keeper.asked).toEqual([11]);
    expect(subject.pages.freePageCount()).toBe(subject.pages.totalPageCount - 70);
  });
});

test("also without marks, exhaustion asks the shrinkers before it says 0", () => {
  const subject = createTestHost();
  const { pages } = subject;
  const keeper = addKeeper(subject);
  keeper.kept.push(...drainTo(subject, 0));
  expect(pages.allocPages(0)).not.toBe(0);
  expect(keeper.asked.length).toBe(1);
  expect(pages.stats().reclaimCalls).toBe(1);
});

test("marks are per host, not per node: strict allocation stops at the host's min", () => {
  const subject = createTestHost({
    arenaBytes: 8 * 2 ** 20,
    nodes: 2,
    pageAllocator: createPageAllocatorWith({ minPages: 50 }),
  });
  const { pages } = subject;
  const free = pages.freePageCount();
  const refs = new Int32Array(free);
  expect(pages.allocBulk(refs, free, 1)).toBe(free - 50);
  expect(pages.allocPages(0, 0, true)).toBe(0);
  expect(pages.freePageCount()).toBe(50);
});

test.each<[PageAllocatorParams, string]>([
  [{ minPages: -1 }, "minPages"],
  [{ minPages: 10, lowPages: 9 }, "lowPages"],
  [{ lowPages: 10, highPages: 9 }, "highPages"],
  [{ limitPages: 0 }, "limitPages"],
  [{ limitPages: 1e6 }, "limitPages"],
  [{ limitPages: 10, minPages: 11 }, "minPages"],
  [{ minPages: 1.5 }, "minPages"],
])("%j is refused", (params, param) => {
  expect(() => createGuarded(params)).toThrow(expect.objectContaining({ code: "ERR_NETMEM_INVALID_PARAM", param }));
});

test("the marks that are not given follow from min, as in the kernel", () => {
  const { pages } = createGuarded({ minPages: 100 });
  expect(pages.watermarks).toMatchObject({ minPages: 100, lowPages: 125, highPages: 150 });
});

test("with any shrinker call failing, pages and books are right", () => {
  const runs = forEveryNthFailure((faults) => {
    const subject = createGuarded(marks);
    const kept = drainTo(subject, subject.pages.totalPageCount - 300);
    for (const name of ["first", "second"]) {
      subject.host.shrinkers.add({
        name,
        count: () => {
          if (faults.shouldFail(`${name}.count`)) throw new Error("count");
          return kept.length;
        },
        scan: (target) => {
          const gone = kept.splice(0, target >> 1);
          for (const ref of gone) subject.pages.freePage(ref);
          if (faults.shouldFail(`${name}.scan`)) throw new Error("scan");
          return gone.length;
        },
      });
    }
    const out: PageRef[] = [];
    for (let k = 0; k < 900; k++) {
      const ref = subject.pages.allocPages(0);
      if (ref !== 0) out.push(ref);
    }
    audit(subject, new Map([...out, ...kept].map((ref) => [idxOf(asPageRef(ref)), 0])));
    expect(subject.pages.freePageCount()).toBeGreaterThanOrEqual(100);
  });
  expect(runs).toBeGreaterThan(4);
});
