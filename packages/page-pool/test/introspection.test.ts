import { createHost, MemType, type PagePoolRecord, type PoolEventKind } from "@netmem/core";
import { createPageAllocator } from "@netmem/mm";
import { VirtualClock } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import {
  createPagePoolStats,
  pagePoolDump,
  pagePoolGet,
  pagePoolStatsDump,
  pagePoolStatsGet,
  type PagePoolStats,
} from "../src/index.ts";
import { FakeNiovProvider, providerParams } from "./fake-niov-provider.ts";
import { expectCode, makeBench, makePool, take, takeMany } from "./fixture.ts";

const flat = ({ alloc, recycle }: PagePoolStats): number[] => [...Object.values(alloc), ...Object.values(recycle)];

describe("statistics", () => {
  test("#143 getStats adds to what it is given: twice doubles, two pools sum", () => {
    const bench = makeBench();
    const [a, b] = [makePool(bench), makePool(bench)];
    for (const ref of takeMany(a, 100)) a.putFullPage(ref);
    for (const ref of takeMany(b, 7)) b.recycleDirect(ref);
    const once = a.getStats();
    const into = createPagePoolStats();
    expect(a.getStats(into)).toBe(into);
    expect(into).toEqual(once);
    a.getStats(into);
    expect(flat(into)).toEqual(flat(once).map((n) => 2 * n));
    const sum = b.getStats(a.getStats());
    expect(flat(sum)).toEqual(flat(once).map((n, at) => n + flat(b.getStats())[at]!));
  });

  test("2.13 counters go on beyond 2^32", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const ref = take(pool);
    // `ring` = what was folded in before, and what the ring counts itself.
    bench.host.i32[pool.countersAt + 12] = -1;
    pool.putFullPage(ref);
    expect(pool.getStats().recycle.ring).toBe(2 ** 32);
    for (let n = 0; n < 3; n++) pool.putFullPage(take(pool));
    expect(pool.getStats().recycle.ring).toBe(2 ** 32 + 3);
  });

  test("#145 by ifindex: EINVAL for one pool, a filter for the dump", () => {
    const bench = makeBench();
    const [a] = [
      makePool(bench, { ifindex: 4 }),
      makePool(bench, { ifindex: 4 }),
      makePool(bench, { ifindex: 5 }),
      makePool(bench),
    ];
    const refused = () => pagePoolStatsGet(bench.host, { ifindex: 4 });
    expect(expectCode("ERR_NETMEM_INVALID_PARAM", refused)).toMatchObject({ errno: "EINVAL", param: "ifindex" });
    expectCode("ERR_NETMEM_INVALID_PARAM", () => pagePoolStatsGet(bench.host, { id: a.id, ifindex: 4 }));
    expectCode("ERR_NETMEM_INVALID_PARAM", () => pagePoolStatsGet(bench.host, {}));
    for (const ifindex of [0, -1, 2 ** 31, 1.5]) {
      const error = expectCode("ERR_NETMEM_INVALID_PARAM", () => pagePoolStatsDump(bench.host, { ifindex }));
      expect(error).toMatchObject({ errno: "EINVAL", value: ifindex });
    }
    expect(pagePoolStatsDump(bench.host, { ifindex: 77 })).toEqual([]);
    expect(pagePoolStatsDump(bench.host, { ifindex: 4 }).map(({ info }) => info.ifindex)).toEqual([4, 4]);
    expect(pagePoolStatsDump(bench.host)).toHaveLength(4);
    take(a);
    expect(pagePoolStatsGet(bench.host, { id: a.id })).toEqual({ info: { id: a.id, ifindex: 4 }, stats: a.getStats() });
  });

  test("2.14 an unknown id is ENOENT", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    for (const id of [0, pool.id + 1, -1]) {
      expect(expectCode("ERR_NETMEM_NO_SUCH_POOL", () => pagePoolGet(bench.host, id))).toMatchObject({
        errno: "ENOENT",
        value: id,
      });
      expectCode("ERR_NETMEM_NO_SUCH_POOL", () => pagePoolStatsGet(bench.host, { id }));
    }
    pool.destroy();
    expectCode("ERR_NETMEM_NO_SUCH_POOL", () => pagePoolGet(bench.host, pool.id));
  });
});

describe("records", () => {
  test("#146 inflightMem = inflight x 4096 << order", () => {
    const bench = makeBench();
    const pools = [0, 2].map((order) => makePool(bench, { order }));
    for (const pool of pools) take(pool);
    expect(pagePoolDump(bench.host)).toMatchObject([
      { inflight: 64, inflightMem: 64 * 4096 },
      { inflight: 1, inflightMem: 4 * 4096 },
    ]);
  });

  test("#148 detachTime only after destroy with pages out", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const ref = take(pool);
    expect(pool.describe()).not.toHaveProperty("detachTime");
    bench.clock.advance(2999);
    pool.destroy();
    expect(pool.describe().detachTime).toBe(2);
    pool.putFullPage(ref);
    expect(pool.describe().detachTime).toBe(2);
  });

  test("#149 napiId only while a NAPI with a valid id is set", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    expect(pool.describe().napiId).toBe(7);
    pool.disableDirectRecycling();
    expect(pool.describe()).not.toHaveProperty("napiId");
    pool.enableDirectRecycling(bench.napi);
    expect(pool.describe().napiId).toBe(7);
    expect(makePool(bench, { napi: { id: 0, listOwner: -1 } }).describe()).not.toHaveProperty("napiId");
    expect(makePool(bench, { napi: null }).describe()).not.toHaveProperty("napiId");
  });

  test("#151 what the provider's fillInfo adds for a pool; none for ordinary pools", () => {
    const bench = makeBench();
    const provider = new FakeNiovProvider({ host: bench.host, count: 2 });
    const pool = makePool(bench, providerParams(provider));
    expect(pool.describe()).toMatchObject({ ifindex: 2, info: { "fake-area": provider.area.areaId } });
    expect(makePool(bench).describe()).not.toHaveProperty("info");
  });

  test("2.14 ifindex comes from the queue unless given, and is absent without a device", () => {
    const bench = makeBench();
    const rxq = { ifindex: 2, queueIdx: 0, provider: null };
    expect(makePool(bench, { rxq }).describe().ifindex).toBe(2);
    expect(makePool(bench, { rxq, ifindex: 3 }).describe().ifindex).toBe(3);
    expect(makePool(bench).describe()).not.toHaveProperty("ifindex");
  });

  test("2.14 ADD, CHANGE and DEL, each once, with ids that are not used again at once", () => {
    const bench = makeBench();
    const events: [PoolEventKind, PagePoolRecord][] = [];
    const stop = bench.host.pools.subscribe((kind, record) => events.push([kind, record]));
    const first = makePool(bench);
    const ref = take(first);
    first.destroy();
    first.putFullPage(ref);
    bench.clock.advance(3000);
    const second = makePool(bench);
    second.destroy();
    stop();
    makePool(bench);
    expect(events.map(([kind, { id }]) => [kind, id])).toEqual([
      ["add", first.id],
      ["change", first.id],
      ["del", first.id],
      ["add", second.id],
      ["del", second.id],
    ]);
    expect(second.id).not.toBe(first.id);
  });
});

test("2.14 the memory type is page_pool and is installed by the first pool", () => {
  const host = createHost({ arenaBytes: 4 * 2 ** 20, clock: new VirtualClock(), pageAllocator: createPageAllocator });
  expect(host.memTypes.isSupported(MemType.PagePool)).toBe(false);
  const pools = [makePool({ ...makeBench(), host }), makePool({ ...makeBench(), host })];
  expect(host.memTypes.isSupported(MemType.PagePool)).toBe(true);
  expect(pools.map(({ ownerId }) => host.owners.typeOf(ownerId))).toEqual([MemType.PagePool, MemType.PagePool]);
});

test("2.10 the tracer sees every buffer enter and leave, with the counters of the moment", () => {
  const bench = makeBench();
  const pool = makePool(bench, { poolSize: 3 });
  const seen: [string, number][] = [];
  pool.tracer = {
    hold: (_ref, count) => seen.push(["hold", count]),
    release: (_ref, count) => seen.push(["release", count]),
  };
  for (const ref of takeMany(pool, 5)) pool.putFullPage(ref);
  expect(seen).toHaveLength(66);
  expect([seen[0], seen[63], seen[65]]).toEqual([
    ["hold", 1],
    ["hold", 64],
    ["release", 2],
  ]);
  pool.tracer = null;
  takeMany(pool, 200);
  expect(seen).toHaveLength(66);
});
