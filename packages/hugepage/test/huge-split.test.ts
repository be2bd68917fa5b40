import { type PageRef, putNetmem } from "@netmem/core";
import { describe, expect, test } from "vitest";
import { createHugeSplitProvider, createModelBacking, type HugeSplitParams, withHugeLimit } from "../src/index.ts";
import { BarePool, type Bench, expectCode, hold, idxsOf, makeBench, MIB } from "./fixture.ts";

function setUp(params: HugeSplitParams = {}, bench: Bench = makeBench()) {
  const provider = createHugeSplitProvider(bench.host, params);
  return { bench, host: bench.host, provider, start: bench.host.pages.freePageCount() };
}

/** Leaves no free block of `order` or above: takes all blocks of it and gives every other page back. */
function shred({ host }: Bench, order: number): PageRef[] {
  const kept: PageRef[] = [];
  const loose: PageRef[] = [];
  for (let page = host.pages.allocPages(0); page !== 0; page = host.pages.allocPages(0)) {
    (((page >>> 1) & ((1 << order) - 1)) === 0 ? kept : loose).push(page);
  }
  for (const page of loose) host.pages.freePage(page);
  return kept;
}

describe("the largest blocks that there are, split", () => {
  test("3.6 takes nothing at init, then the largest block, mapped at once", () => {
    const { bench, host, provider, start } = setUp();
    const pool = new BarePool(host, provider);
    expect([host.pages.freePageCount(), bench.mapped()]).toEqual([start, 0]);
    const refs = pool.take(64);
    expect([start - host.pages.freePageCount(), bench.mapped(), provider.stats().blocks[10]]).toEqual([1024, 1, 1]);
    pool.take(960);
    expect(bench.mapped()).toBe(1);
    const [next] = pool.take(1);
    expect(bench.mapped()).toBe(2);
    const pfns = Int32Array.from(idxsOf([...refs, next!]), (idx) => host.i32[host.dmaAt + idx]!);
    host.dma!.translateMany(pfns, pfns.length);
    expect([...pfns]).toEqual([...refs, next!].map((ref) => host.offsetOf(ref as never)));
  });

  test("3.6 a refusal lowers the order by one; below order 3 single pages", () => {
    const { bench, host, provider } = setUp();
    const kept = shred(bench, 5);
    const pool = new BarePool(host, provider);
    pool.take(16);
    expect(provider.stats()).toMatchObject({ order: 4, stepsDown: 6 });
    expect(provider.stats().blocks[4]).toBe(1);
    while (provider.stats().singlePagesOut === 0) expect(pool.take(64).length).toBeGreaterThan(0);
    expect(provider.stats()).toMatchObject({ order: 2, stepsDown: 8 });
    for (const page of kept) host.pages.freePage(page);
  });

  test("3.6 after two minutes, and not before, the largest is tried again", () => {
    const { bench, host, provider } = setUp();
    const kept = shred(bench, 7);
    const pool = new BarePool(host, provider);
    pool.take(1);
    expect(provider.stats().order).toBe(6);
    for (const page of kept) host.pages.freePage(page);
    pool.take(63);
    bench.clock.advance(119_999);
    pool.take(64);
    expect(provider.stats()).toMatchObject({ order: 6, retries: 0 });
    bench.clock.advance(1);
    expect(provider.stats()).toMatchObject({ order: 10, retries: 1 });
    pool.take(64);
    expect(provider.stats().blocks[10]).toBe(1);
  });

  test("a second refusal meanwhile sets no second timer; the last pool's end clears it", () => {
    const { bench, host, provider } = setUp({ retryMs: 1000 });
    const kept = shred(bench, 6);
    const pool = new BarePool(host, provider);
    const refs = pool.take(500);
    expect(bench.clock.pendingCount).toBe(1);
    pool.giveMany(refs);
    pool.destroy();
    expect([bench.clock.pendingCount, provider.stats().order]).toEqual([0, 10]);
    for (const page of kept) host.pages.freePage(page);
  });

  test("blocks go back when their pages are home, but for one", () => {
    const { bench, host, provider, start } = setUp();
    const pool = new BarePool(host, provider);
    const refs = pool.take(3 * 1024);
    expect(bench.mapped()).toBe(3);
    pool.giveMany(refs);
    expect([bench.mapped(), start - host.pages.freePageCount(), provider.stats().freePages]).toEqual([1, 1024, 1024]);
    pool.destroy();
    expect([bench.mapped(), host.pages.freePageCount()]).toEqual([0, start]);
  });

  test("pages come from the first block that has any, so that the others drain", () => {
    const { host, provider } = setUp();
    const pool = new BarePool(host, provider);
    const refs = pool.take(2 * 1024);
    const inFirst = refs.filter((ref) => idxsOf([ref])[0]! >> 10 === idxsOf(refs)[0]! >> 10);
    const inSecond = refs.filter((ref) => !inFirst.includes(ref));
    pool.giveMany([inSecond[5]!, inFirst[9]!]);
    expect(idxsOf(pool.take(1))).toEqual(idxsOf([inFirst[9]!]));
  });

  test("a held page keeps its block behind at destroy, until its holder lets go", () => {
    const { bench, host, provider, start } = setUp();
    const pool = new BarePool(host, provider);
    const refs = pool.take(1500);
    hold(host, refs[0]!);
    pool.giveMany(refs);
    pool.destroy();
    expect(bench.warnings.map(({ code }) => code)).toEqual(["WARN_NETMEM_HUGE_LEAK"]);
    expect([host.pages.freePageCount(), bench.mapped()]).toEqual([start - 1024, 0]);
    putNetmem(host, refs[0]!);
    new BarePool(host, provider).destroy();
    expect([host.pages.freePageCount(), provider.stats().leakedBlocks]).toEqual([start, 0]);
  });

  test("huge pages lie under what is large enough, as many as the limit allows", () => {
    const bench = makeBench();
    const backing = createModelBacking(bench.host);
    const limit = withHugeLimit(backing, 3);
    const { host, provider } = setUp({ backing: limit }, bench);
    const pool = new BarePool(host, provider);
    const refs = pool.take(3 * 1024);
    // The second block would need two, and one is left.
    expect([provider.stats().hugePages, backing.backedCount, limit.available()]).toEqual([2, 2, 1]);
    pool.giveMany(refs);
    pool.destroy();
    expect([backing.backedCount, limit.used]).toEqual([0, 0]);
  });

  test("an arena at an odd address: the places inside a block are backed", () => {
    const bench = makeBench();
    const backing = createModelBacking(bench.host, { firstOffset: 65536 });
    const { host, provider } = setUp({ backing }, bench);
    const pool = new BarePool(host, provider);
    pool.take(1);
    expect(backing.backedCount).toBe(1);
    pool.destroy();
  });

  test("nonsense is refused", () => {
    const { host } = makeBench({ arenaBytes: 8 * MIB });
    for (const params of [
      { maxOrder: 11 },
      { maxOrder: 0 },
      { minOrder: 0 },
      { maxOrder: 4, minOrder: 5 },
      { retryMs: 0 },
      // More than a timer takes: it would fire at once.
      { retryMs: 2 ** 31 },
    ]) {
      expectCode("ERR_NETMEM_INVALID_PARAM", () => createHugeSplitProvider(host, params));
    }
  });
});
