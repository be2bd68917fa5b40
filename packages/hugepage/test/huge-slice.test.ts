import { putNetmem } from "@netmem/core";
import { describe, expect, test } from "vitest";
import { createHugeSliceProvider, createModelBacking, type HugeSliceParams } from "../src/index.ts";
import { BarePool, type Bench, expectCode, hold, idxsOf, makeBench, MIB } from "./fixture.ts";

/** Gigantic pages of 8 MiB, slices of 1 MiB: the same proportions as 1 GiB and 128 MiB. */
function setUp(params: Partial<HugeSliceParams> = {}, bench: Bench = makeBench({ arenaBytes: 64 * MIB })) {
  const { host } = bench;
  const backing = createModelBacking(host, { pageBytes: 8 * MIB });
  const provider = createHugeSliceProvider(host, { backing, sliceBytes: MIB, ...params });
  return { bench, host, backing, provider, start: host.pages.freePageCount() };
}

describe("slices of gigantic pages", () => {
  test("3.6 each pool has a slice of its own, contiguous and mapped at once", () => {
    const { bench, host, provider, backing } = setUp();
    const pools = Array.from({ length: 3 }, () => new BarePool(host, provider));
    expect([backing.backedCount, bench.mapped(), provider.stats().slicesFree]).toEqual([1, 3, 5]);
    const taken = pools.map((pool) => idxsOf(pool.take(1000)).toSorted((a, b) => a - b));
    for (const idxs of taken) expect([idxs.length, idxs.at(-1)! - idxs[0]!]).toEqual([256, 255]);
    expect(new Set(taken.flat()).size).toBe(768);
    expect(bench.mapped()).toBe(3);
  });

  test("3.6 two gigantic pages at most: the pool after the last slice is refused", () => {
    const { host, provider, backing, start } = setUp();
    const pools = Array.from({ length: 16 }, () => new BarePool(host, provider));
    const error = expectCode("ERR_NETMEM_NO_HUGE_PAGES", () => new BarePool(host, provider));
    expect([error["errno"], backing.backedCount, start - host.pages.freePageCount()]).toEqual(["ENOMEM", 2, 4096]);
    for (const pool of pools) pool.destroy();
    expect([backing.backedCount, host.pages.freePageCount()]).toEqual([0, start]);
  });

  test("buffers of any order up to a slice's, whole and aligned", () => {
    const { host, provider, start } = setUp();
    for (const order of [0, 1, 4, 8]) {
      const pool = new BarePool(host, provider, { order });
      const refs = pool.take(1000);
      expect(refs.length).toBe(256 >> order);
      for (const ref of refs)
        expect([host.bufferBytes(ref), idxsOf([ref])[0]! % (1 << order)]).toEqual([4096 << order, 0]);
      pool.giveMany(refs);
      expect(pool.take(1000).length).toBe(256 >> order);
      pool.giveMany(refs.map((ref) => (ref + (1 << 21)) as typeof ref));
      pool.destroy();
    }
    expect(host.pages.freePageCount()).toBe(start);
    expectCode("ERR_NETMEM_INVALID_PARAM", () => new BarePool(host, provider, { order: 9 }));
  });

  test("a slice that is out is out: no other pool's pages, no fallback", () => {
    const { host, provider } = setUp();
    const [pool, other] = [new BarePool(host, provider), new BarePool(host, provider)];
    expect([pool.take(300).length, pool.take(1).length, other.take(300).length]).toEqual([256, 0, 256]);
  });

  test("a held page keeps its slice and its gigantic page behind, until its holder lets go", () => {
    const { bench, host, provider, backing, start } = setUp();
    const pool = new BarePool(host, provider);
    const [ref] = pool.take(1);
    hold(host, ref!);
    pool.give(ref!);
    pool.destroy();
    expect(bench.warnings.map(({ code }) => code)).toEqual(["WARN_NETMEM_HUGE_LEAK"]);
    expect([backing.backedCount, bench.mapped(), provider.stats().leakedSlices]).toEqual([1, 0, 1]);
    putNetmem(host, ref!);
    expect(provider.reclaimLeaked()).toBe(1);
    expect([backing.backedCount, host.pages.freePageCount()]).toEqual([0, start]);
  });

  test("3.6 a page that comes home twice is reported", () => {
    const { bench, host, provider } = setUp();
    const pool = new BarePool(host, provider);
    const [ref] = pool.take(1);
    pool.give(ref!);
    provider.releaseNetmem(pool, ref!);
    expect(bench.warnings.map(({ code }) => code)).toEqual(["WARN_NETMEM_HUGE_DOUBLE_FREE"]);
  });

  test("1 GiB pages of a 2 GiB arena, 128 MiB each", { timeout: 60_000 }, () => {
    const bench = makeBench({ arenaBytes: 2 ** 31 });
    const { host } = bench;
    const provider = createHugeSliceProvider(host, { backing: createModelBacking(host, { pageBytes: 2 ** 30 }) });
    const start = host.pages.freePageCount();
    const pool = new BarePool(host, provider);
    expect(provider.stats()).toEqual({ pages: 1, slicesUsed: 1, slicesFree: 7, leakedSlices: 0 });
    expect(start - host.pages.freePageCount()).toBe(2 ** 18);
    const refs = pool.take(1000);
    expect([refs.length, host.offsetOf(refs[0] as never)]).toEqual([1000, 2 ** 30]);
    pool.giveMany(refs);
    pool.destroy();
    expect(host.pages.freePageCount()).toBe(start);
  });

  test("nonsense is refused", () => {
    const { host, backing } = setUp();
    for (const sliceBytes of [MIB + 4096, 3 * MIB, 16 * MIB, 4096]) {
      expectCode("ERR_NETMEM_INVALID_PARAM", () => createHugeSliceProvider(host, { backing, sliceBytes }));
    }
  });
});
