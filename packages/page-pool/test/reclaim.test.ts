import type { Host, PageAllocator, Shrinker } from "@netmem/core";
import { createPageAllocator, createPageAllocatorWith } from "@netmem/mm";
import { describe, expect, test } from "vitest";
import { checkPoolInvariants, PagePoolFlag, type PagePool } from "../src/index.ts";
import { FakeDmaDevice } from "./fake-dma-device.ts";
import { FakeNiovProvider, providerParams } from "./fake-niov-provider.ts";
import { books, changes, emptyCache, makeBench, makePool, take, takeMany } from "./fixture.ts";

/** The shrinkers that pools register while `make` runs. */
function shrinkersOf(host: Host, make: () => void): Shrinker[] {
  const found: Shrinker[] = [];
  const add = host.shrinkers.add.bind(host.shrinkers);
  host.shrinkers.add = (shrinker) => {
    found.push(shrinker);
    add(shrinker);
  };
  make();
  host.shrinkers.add = add;
  return found;
}

function withShrinker(params: Parameters<typeof makePool>[1] = {}) {
  const bench = makeBench({ dma: new FakeDmaDevice() });
  const pools: PagePool[] = [];
  const [shrinker] = shrinkersOf(bench.host, () => pools.push(makePool(bench, params)));
  return { bench, pool: pools[0]!, shrinker: shrinker! };
}

describe("8.9 reclaim", () => {
  test("8.9 reclaim: the ring first, oldest first, then the cache; what is in use stays", () => {
    const { pool, shrinker } = withShrinker({ flags: PagePoolFlag.DmaMap });
    const refs = takeMany(pool, 20);
    emptyCache(pool);
    for (const ref of refs.slice(0, 6)) pool.put(ref, -1, false);
    for (const ref of refs.slice(6, 10)) pool.recycleDirect(ref);
    expect(shrinker.count()).toBe(10);
    expect(changes(pool, () => expect(shrinker.scan(4)).toBe(4))).toEqual({ rel: 4, inRing: -4 });
    expect(changes(pool, () => expect(shrinker.scan(4)).toBe(4))).toEqual({ rel: 4, inRing: -2, inCache: -2 });
    expect(changes(pool, () => expect(shrinker.scan(1000)).toBe(2))).toEqual({ rel: 2, inCache: -2 });
    expect([shrinker.count(), shrinker.scan(10)]).toEqual([0, 0]);
    expect(pool.describe().reclaimed).toBe(10);
    checkPoolInvariants(pool);
    for (const ref of refs.slice(10)) pool.putFullPage(ref);
  });

  test("8.9 reclaim counts pages: a pool of blocks gives as many blocks as cover the target", () => {
    const { pool, shrinker } = withShrinker({ order: 2 });
    for (const ref of takeMany(pool, 5)) pool.putFullPage(ref);
    expect(shrinker.count()).toBe(20);
    expect([shrinker.scan(1), shrinker.scan(5)]).toEqual([4, 8]);
    expect(pool.describe().reclaimed).toBe(3);
  });

  test("8.9 reclaim: a detached pool gives its ring between two ticks, a pool that is gone has nothing", () => {
    const { bench, pool, shrinker } = withShrinker();
    const refs = takeMany(pool, 3);
    pool.destroy();
    pool.putFullPage(refs[0]!);
    expect([shrinker.count(), shrinker.scan(9)]).toEqual([1, 1]);
    for (const ref of refs.slice(1)) pool.putFullPage(ref);
    shrinker.scan(9);
    expect(bench.host.shrinkers.size).toBe(1);
    bench.clock.advance(1000);
    expect([pool.freed, bench.host.shrinkers.size]).toEqual([true, 0]);
  });

  test("8.9 reclaim: false opts out; a provider's buffers are the provider's", () => {
    const bench = makeBench();
    const provider = new FakeNiovProvider({ host: bench.host, count: 4 });
    makePool(bench, { reclaim: false });
    makePool(bench, providerParams(provider));
    expect(bench.host.shrinkers.size).toBe(0);
    expect(() => makePool(bench, { reclaim: "no" as never })).toThrow(/reclaim/);
  });

  test("8.9 reclaim: an idle pool feeds a busy one when memory runs out; no kernel counter moves", () => {
    const bench = makeBench({ arenaBytes: 4 * 2 ** 20 });
    const [idle, busy] = [makePool(bench), makePool(bench)];
    for (const ref of takeMany(idle, 300)) idle.put(ref, -1, false);
    const before = books(idle);
    let count = 0;
    while (busy.allocNetmem() !== 0) count++;
    expect(count).toBeGreaterThan(800);
    const after = books(idle);
    const gone = after["rel"]! - before["rel"]!;
    expect([idle.inflight(), idle.describe().reclaimed]).toEqual([0, gone]);
    const held = { inRing: 0, inCache: 0, rel: 0 };
    expect({ ...after, ...held }).toEqual({ ...before, ...held });
    // It comes back to life by itself once there is memory again.
    for (const ref of busy.outside(100)) busy.putFullPage(ref);
    busy.destroy();
    expect(idle.allocNetmem()).not.toBe(0);
    checkPoolInvariants(idle);
  });
});

/** An allocator under such pressure that every call asks everybody for everything first. */
function greedyPages(host: Host): PageAllocator {
  const inner = createPageAllocator(host);
  return {
    name: "greedy",
    totalPageCount: inner.totalPageCount,
    freePageCount: (nid) => inner.freePageCount(nid),
    allocPages: (order, nid) => (host.shrinkers.reclaim(10_000), inner.allocPages(order, nid)),
    allocBulk: (out, max, nid) => (host.shrinkers.reclaim(10_000), inner.allocBulk(out, max, nid)),
    freePage: (ref) => inner.freePage(ref),
    freeBulk: (refs, count) => inner.freeBulk(refs, count),
  };
}

describe("8.9 reclaim from inside the pool's own refill", () => {
  test.each([0, 1])("order %i: nothing is handed out twice, the books hold", (order) => {
    const dma = new FakeDmaDevice();
    const bench = makeBench({ dma, pageAllocator: greedyPages, nodes: 2 });
    const pool = makePool(bench, { flags: PagePoolFlag.DmaMap, order, nid: 0 });
    // A device that takes memory for every mapping, as one with bounce buffers does.
    const map = dma.map.bind(dma);
    dma.map = (ref, mapOrder, dir) => (bench.host.shrinkers.reclaim(10_000), map(ref, mapOrder, dir));
    const held = new Set<number>();
    for (let n = 0; n < 500; n++) {
      const ref = take(pool);
      expect(held.has(ref)).toBe(false);
      held.add(ref);
      if (n % 3 === 0) pool.nidChanged(n & 1);
      if (n % 2 === 0) {
        const [oldest] = held;
        held.delete(oldest!);
        pool.put(oldest as never, -1, n % 4 === 0);
      }
      checkPoolInvariants(pool);
    }
  });

  test("a fragment page is not given away under its pool", () => {
    const bench = makeBench({ pageAllocator: greedyPages });
    const pool = makePool(bench);
    const offsets = Array.from({ length: 10 }, () => {
      expect(pool.allocFrag(1024)).not.toBe(0);
      bench.host.shrinkers.reclaim(10_000);
      return pool.lastOffset;
    });
    expect(offsets).toEqual([0, 1024, 2048, 3072, 0, 1024, 2048, 3072, 0, 1024]);
    checkPoolInvariants(pool);
  });
});

describe("pages from the reserve", () => {
  const tight = (): ReturnType<typeof makeBench> =>
    makeBench({ arenaBytes: 4 * 2 ** 20, pageAllocator: createPageAllocatorWith({ minPages: 32 }) });

  test.each([0, 1])(
    "2.6 pfmemalloc: handed out one by one in a memalloc context, never recycled; order %i",
    (order) => {
      const bench = tight();
      const pool = makePool(bench, { order, reclaim: false });
      const refs = [];
      for (let ref = pool.allocNetmem(); ref !== 0; ref = pool.allocNetmem()) refs.push(ref);
      bench.host.context.memalloc = true;
      const counter = order === 0 ? "slow" : "slowHighOrder";
      let urgent = 0;
      expect(changes(pool, () => (urgent = take(pool)))).toEqual({ empty: 1, [counter]: 1, hold: 1 });
      checkPoolInvariants(pool);
      const moved = changes(pool, () => pool.recycleDirect(urgent as never));
      expect(moved).toEqual({ releasedRefcnt: 1, rel: 1 });
      bench.host.context.memalloc = false;
      for (const ref of refs) pool.putFullPage(ref);
      // It recovers, and what comes now is recycled again.
      const ref = take(pool);
      expect(changes(pool, () => pool.recycleDirect(ref))).toEqual({ cached: 1, inCache: 1 });
    },
  );

  test("2.6 pfmemalloc: in a bulk put and as a fragment page", () => {
    const bench = tight();
    const pool = makePool(bench, { reclaim: false });
    while (pool.allocNetmem() !== 0);
    bench.host.context.memalloc = true;
    const whole = take(pool);
    const piece = pool.allocFrag(3000);
    const other = pool.allocFrag(3000);
    expect([piece, other].every((ref) => ref !== 0)).toBe(true);
    expect(changes(pool, () => pool.putFullPage(piece as never))).toEqual({ releasedRefcnt: 1, rel: 1 });
    expect(changes(pool, () => pool.putNetmemBulk(Int32Array.of(whole), 1))).toEqual({ releasedRefcnt: 1, rel: 1 });
    checkPoolInvariants(pool);
  });

  test("8.9 hard limit: the allocator counts what it refused, the pool returns 0 and recovers", () => {
    let stats: () => { readonly refusedByLimit: number } = () => ({ refusedByLimit: -1 });
    const bench = makeBench({
      pageAllocator: (host) => {
        const pages = createPageAllocatorWith({ limitPages: 100 })(host);
        stats = () => pages.stats();
        return pages;
      },
    });
    const pool = makePool(bench, { poolSize: 8 });
    const refs = [];
    for (let ref = pool.allocNetmem(); ref !== 0; ref = pool.allocNetmem()) refs.push(ref);
    expect(refs.length).toBeLessThan(100);
    const refused = stats().refusedByLimit;
    expect(refused).toBeGreaterThan(0);
    expect(changes(pool, () => expect(pool.allocNetmem()).toBe(0))).toEqual({ empty: 1 });
    expect(stats().refusedByLimit).toBeGreaterThan(refused);
    for (const ref of refs) pool.putFullPage(ref);
    take(pool);
    checkPoolInvariants(pool);
  });
});
