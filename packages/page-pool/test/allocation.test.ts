import {
  asNetmemRef,
  getNetmem,
  idxOf,
  META_POOLED,
  META_STATE_MASK,
  metaOwner,
  type NetmemRef,
  pageRefCount,
  ppRefCount,
  putNetmem,
} from "@netmem/core";
import { FaultInjector } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import { PagePoolFlag } from "../src/index.ts";
import { FakeDmaDevice } from "./fake-dma-device.ts";
import { FakeNiovProvider, providerParams } from "./fake-niov-provider.ts";
import { faultyPages } from "./fault-pages.ts";
import { changes, expectCode, freePages, leavePoll, makeBench, makePool, take, takeMany } from "./fixture.ts";

describe("the slow path", () => {
  test("#17 first alloc of a fresh pool: empty+1, slow+1, hold 64, cache 63", () => {
    const pool = makePool(makeBench());
    expect(changes(pool, () => take(pool))).toEqual({ empty: 1, slow: 1, hold: 64, inCache: 63 });
  });

  test("2.3 the next 63 come from the cache: fast+1 each", () => {
    const pool = makePool(makeBench());
    take(pool);
    expect(changes(pool, () => takeMany(pool, 63))).toEqual({ fast: 63, inCache: -63 });
  });

  test("#19 65th alloc: empty+1, slow+1, hold 128", () => {
    const pool = makePool(makeBench());
    takeMany(pool, 64);
    expect(changes(pool, () => take(pool))).toEqual({ empty: 1, slow: 1, hold: 64, inCache: 63 });
    expect(pool.inflight()).toBe(128);
  });

  test("#20 order 2: every alloc is empty+1, slow_high_order+1, hold+1; the cache stays empty", () => {
    const bench = makeBench();
    const pool = makePool(bench, { order: 2 });
    const free = freePages(bench);
    for (let n = 0; n < 3; n++) {
      expect(changes(pool, () => take(pool))).toEqual({ empty: 1, slowHighOrder: 1, hold: 1 });
    }
    expect(free - freePages(bench)).toBe(12);
  });

  test("#26 the allocator yields 10 of 64: slow+1, hold+10, cache 9", () => {
    const faults = new FaultInjector();
    const pool = makePool(makeBench({ pageAllocator: faultyPages(faults) }));
    faults.limitBulk("pages.bulk", 10);
    expect(changes(pool, () => take(pool))).toEqual({ empty: 1, slow: 1, hold: 10, inCache: 9 });
  });

  test("2.3 the allocator yields nothing: 0, and only empty+1", () => {
    const faults = new FaultInjector();
    const bench = makeBench({ pageAllocator: faultyPages(faults) });
    const pools = [makePool(bench), makePool(bench, { order: 2 })];
    faults.failAlways("pages.bulk");
    faults.failAlways("pages.alloc");
    for (const pool of pools) {
      expect(changes(pool, () => expect(pool.allocNetmem()).toBe(0))).toEqual({ empty: 1 });
      expect(changes(pool, () => expect(pool.allocPages()).toBe(0))).toEqual({ empty: 1 });
      expect(pool.allocBulk(new Int32Array(4), 4)).toBe(0);
    }
  });
});

describe("cache and ring", () => {
  test("#22 the cache is LIFO: direct put A then B, allocs return B then A", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const [a, b] = takeMany(pool, 2) as [NetmemRef, NetmemRef];
    pool.recycleDirect(a);
    pool.recycleDirect(b);
    expect(takeMany(pool, 2).map(idxOf)).toEqual([idxOf(b), idxOf(a)]);
  });

  test("#23 ring A, B, C and an empty cache: C with refill+1, then B and A with fast+2", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const refs = takeMany(pool, 64);
    leavePoll(bench);
    for (const ref of refs.slice(0, 3)) pool.putFullPage(ref);
    const got: NetmemRef[] = [];
    expect(changes(pool, () => got.push(take(pool)))).toEqual({ refill: 1, inCache: 2, inRing: -3 });
    expect(changes(pool, () => got.push(...takeMany(pool, 2)))).toEqual({ fast: 2, inCache: -2 });
    expect(got.map(idxOf)).toEqual([refs[2]!, refs[1]!, refs[0]!].map(idxOf));
  });

  test("2.3 a refill takes 64 entries at most, oldest first, and leaves the rest", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const refs = takeMany(pool, 128);
    for (const ref of refs.slice(0, 100)) pool.putFullPage(ref);
    let first = 0;
    expect(changes(pool, () => (first = take(pool)))).toEqual({ refill: 1, inCache: 63, inRing: -64 });
    expect(idxOf(asNetmemRef(first))).toBe(idxOf(refs[63]!));
  });

  test("#25 with cache and ring filled, alloc uses the cache and leaves the ring alone", () => {
    const pool = makePool(makeBench());
    const [a] = takeMany(pool, 2) as [NetmemRef, NetmemRef];
    pool.putFullPage(a);
    expect(changes(pool, () => take(pool))).toEqual({ fast: 1, inCache: -1 });
  });

  test("2.3 allocBulk takes the same ways and counts the same; short only when memory is", () => {
    const faults = new FaultInjector();
    const bench = makeBench({ pageAllocator: faultyPages(faults) });
    const pool = makePool(bench);
    const out = new Int32Array(200);
    expect(changes(pool, () => expect(pool.allocBulk(out, 100)).toBe(100))).toEqual({
      empty: 2,
      slow: 2,
      fast: 98,
      hold: 128,
      inCache: 28,
    });
    expect(new Set(out.subarray(0, 100)).size).toBe(100);
    faults.failAlways("pages.bulk");
    expect(changes(pool, () => expect(pool.allocBulk(out, 200)).toBe(28))).toEqual({
      empty: 1,
      fast: 28,
      inCache: -28,
    });
    expect(pool.allocBulk(out, 0)).toBe(0);
  });

  test("2.3 allocBulk into an array that is too short is refused", () => {
    const pool = makePool(makeBench());
    take(pool);
    expect(
      changes(pool, () => expectCode("ERR_NETMEM_INVALID_PARAM", () => pool.allocBulk(new Int32Array(4), 5))),
    ).toEqual({});
  });

  test("#38 benchmark trace 'fast': refill+1, fast+(63 + N - 1), cached+N, slow stays 1", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const refs = takeMany(pool, 64);
    for (const ref of refs) pool.putFullPage(ref);
    const N = 1000;
    const moved = changes(pool, () => {
      for (let n = 0; n < N; n++) pool.recycleDirect(take(pool));
    });
    expect(moved).toEqual({ refill: 1, fast: N - 1, cached: N, inCache: 64, inRing: -64 });
    // The prefill's own allocations are the catalogue's other 63.
    expect(pool.getStats().alloc).toMatchObject({ fast: 63 + N - 1, slow: 1, refill: 1 });
  });

  test("#40 benchmark trace 'slow': page references turn 128 recycles into releases", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    for (const ref of takeMany(pool, 64)) pool.putFullPage(ref);
    const free = freePages(bench);
    const round = (): void => {
      for (let n = 0; n < 64; n++) {
        const ref = take(pool);
        getNetmem(bench.host, ref);
        pool.putFullPage(ref);
        putNetmem(bench.host, ref);
      }
    };
    expect(changes(pool, round)).toEqual({ refill: 1, fast: 63, releasedRefcnt: 64, rel: 64, inRing: -64 });
    expect(changes(pool, round)).toEqual({ empty: 1, slow: 1, fast: 63, releasedRefcnt: 64, rel: 64, hold: 64 });
    expect([pool.getStats().recycle.releasedRefcnt, pool.inflight()]).toEqual([128, 0]);
    expect(freePages(bench)).toBe(free + 64);
  });
});

describe("DMA mapping on entry", () => {
  test("#28 mapping fails for 5 of 64: slow+1, hold+59, cache 58, five pages back with the system", () => {
    const faults = new FaultInjector();
    const dma = new FakeDmaDevice({ faults });
    const bench = makeBench({ dma });
    const pool = makePool(bench, { flags: PagePoolFlag.DmaMap });
    const free = freePages(bench);
    faults.failEvery("dma.map", 12);
    expect(changes(pool, () => take(pool))).toEqual({ empty: 1, slow: 1, hold: 59, inCache: 58 });
    expect(free - freePages(bench)).toBe(59);
    expect(dma.live.size).toBe(59);
  });

  test("#29 mapping fails for all: 0, slow 0, hold 0", () => {
    const faults = new FaultInjector();
    const dma = new FakeDmaDevice({ faults });
    const bench = makeBench({ dma });
    const pools = [
      makePool(bench, { flags: PagePoolFlag.DmaMap }),
      makePool(bench, { flags: PagePoolFlag.DmaMap, order: 2 }),
    ];
    const free = freePages(bench);
    faults.failAlways("dma.map");
    for (const pool of pools) {
      expect(changes(pool, () => expect(pool.allocNetmem()).toBe(0))).toEqual({ empty: 1 });
    }
    expect(freePages(bench)).toBe(free);
    expect(dma.live.size).toBe(0);
  });
});

describe("marks of a page that enters", () => {
  test("#31 initCallback: 64 times on the first alloc, never for recycled buffers", () => {
    const seen: NetmemRef[] = [];
    const bench = makeBench();
    const pool = makePool(bench, { initCallback: (ref) => seen.push(ref) });
    const refs = takeMany(pool, 64);
    expect(seen).toHaveLength(64);
    expect(new Set(seen)).toEqual(new Set(refs));
    for (const ref of refs) pool.putFullPage(ref);
    for (const ref of takeMany(pool, 64)) pool.recycleDirect(ref);
    expect(seen).toHaveLength(64);
    const blocks = makePool(bench, { order: 1, initCallback: (ref) => seen.push(ref) });
    take(blocks);
    expect(seen).toHaveLength(65);
  });

  test("#32 fresh page: pp_ref_count 1, page refcount 1, owner is the pool, mapped", () => {
    const bench = makeBench({ dma: new FakeDmaDevice() });
    const { host } = bench;
    const mapped = makePool(bench, { flags: PagePoolFlag.DmaMap });
    const plain = makePool(bench);
    for (const pool of [mapped, plain]) {
      const ref = take(pool);
      expect([ppRefCount(host, ref), pageRefCount(host, ref)]).toEqual([1, 1]);
      expect(metaOwner(host.i32[idxOf(ref)]!)).toBe(pool.ownerId);
      expect(host.owners.get(pool.ownerId)).toBe(pool);
      const cached = pool.i32[pool.at + 32]!;
      expect(host.i32[idxOf(asNetmemRef(cached))]! & META_STATE_MASK).toBe(META_POOLED);
    }
    expect(mapped.getDmaAddr(take(mapped))).toBeGreaterThanOrEqual(1);
    expect(plain.getDmaAddr(take(plain))).toBe(0);
  });
});

describe("providers", () => {
  test("#34 allocPages on a provider pool of net_iovs: coded error, and the net_iov is back in the pool", () => {
    const bench = makeBench();
    const provider = new FakeNiovProvider({ host: bench.host, count: 1 });
    const pool = makePool(bench, providerParams(provider));
    const moved = changes(pool, () => expectCode("ERR_NETMEM_NOT_A_PAGE", () => pool.allocPages()));
    expect(moved).toEqual({ empty: 1, hold: 1, cached: 1, inCache: 1 });
    expect(pool.outside()).toEqual([]);
    expect(take(pool) & 1).toBe(1);
    expect(pool.destroy()).toBe(false);
  });

  test("#35 a provider that returns one: empty+1 only, hold+1", () => {
    const bench = makeBench();
    const provider = new FakeNiovProvider({ host: bench.host, count: 9, batch: 1 });
    const pool = makePool(bench, providerParams(provider));
    for (let n = 0; n < 3; n++) expect(changes(pool, () => take(pool))).toEqual({ empty: 1, hold: 1 });
  });

  test("#37 a provider that fills the cache with k extras: empty+1, then k times fast+1", () => {
    const bench = makeBench();
    const provider = new FakeNiovProvider({ host: bench.host, count: 100 });
    const pool = makePool(bench, providerParams(provider));
    expect(changes(pool, () => take(pool))).toEqual({ empty: 1, hold: 64, inCache: 63 });
    for (let k = 0; k < 63; k++) expect(changes(pool, () => take(pool))).toEqual({ fast: 1, inCache: -1 });
    expect(changes(pool, () => takeMany(pool, 36))).toEqual({ empty: 1, hold: 36, fast: 35 });
    expect(changes(pool, () => expect(pool.allocNetmem()).toBe(0))).toEqual({ empty: 1 });
  });
});
