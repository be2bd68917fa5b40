import { idxOf, type NetmemRef } from "@netmem/core";
import { describe, expect, test } from "vitest";
import { checkPoolInvariants, PagePoolFlag, type PagePool } from "../src/index.ts";
import { FakeDmaDevice } from "./fake-dma-device.ts";
import { FakeNiovProvider, providerParams } from "./fake-niov-provider.ts";
import {
  type Bench,
  changes,
  emptyCache,
  expectCode,
  fillCache,
  makeBench,
  makePool,
  take,
  takeMany,
} from "./fixture.ts";

const twoNodes = (): Bench => makeBench({ nodes: 2, dma: new FakeDmaDevice() });

/** `count` buffers on node `nid`; the cache is empty afterwards, and the pool is back on its own node. */
function takeOn(pool: PagePool, nid: number, count: number): NetmemRef[] {
  const home = pool.nid;
  pool.updateNid(nid);
  const refs = takeMany(pool, count);
  emptyCache(pool);
  pool.updateNid(home);
  for (const ref of refs) expect(pool.host.nodeOf(ref)).toBe(nid);
  return refs;
}

/** Puts them into the ring, in order. */
function toRing(pool: PagePool, refs: readonly (NetmemRef | undefined)[]): void {
  for (const ref of refs) pool.put(ref!, -1, false);
}

describe("refill from the ring", () => {
  test("#109 the only entry is of another node: waive, release, and the slow path; no empty, no refill", () => {
    const pool = makePool(twoNodes(), { nid: 0 });
    toRing(pool, takeOn(pool, 1, 1));
    let ref = 0;
    const moved = changes(pool, () => (ref = take(pool)));
    expect(moved).toEqual({ waive: 1, rel: 1, slow: 1, hold: 64, inCache: 63, inRing: -1 });
    expect(pool.host.nodeOf(ref as NetmemRef)).toBe(0);
    checkPoolInvariants(pool);
  });

  test("#110 [n0, n0, n1, n0]: waive and refill, the second n0 comes, one is cached, one stays", () => {
    const pool = makePool(twoNodes(), { nid: 0, flags: PagePoolFlag.DmaMap });
    const [a, b, c] = takeOn(pool, 0, 3) as [NetmemRef, NetmemRef, NetmemRef];
    const [d] = takeOn(pool, 1, 1);
    toRing(pool, [a, b, d, c]);
    let ref = 0;
    const moved = changes(pool, () => (ref = take(pool)));
    expect(moved).toEqual({ waive: 1, refill: 1, rel: 1, inCache: 1, inRing: -3 });
    expect(idxOf(ref as NetmemRef)).toBe(idxOf(b));
    expect(idxOf(take(pool))).toBe(idxOf(a));
    expect(idxOf(take(pool))).toBe(idxOf(c));
    checkPoolInvariants(pool);
  });

  test("#109 one page is waived per refill, however many are strange", () => {
    const pool = makePool(twoNodes(), { nid: 0 });
    toRing(pool, takeOn(pool, 1, 5));
    for (let n = 1; n <= 5; n++) {
      emptyCache(pool);
      take(pool);
      expect([pool.getStats().alloc.waive, pool.ring.count]).toEqual([n, 5 - n]);
    }
    emptyCache(pool);
    expect(changes(pool, () => take(pool))).toMatchObject({ empty: 1, slow: 1 });
  });

  test("#110 at most 64 come per refill, and none is looked at beyond", () => {
    const pool = makePool(twoNodes(), { nid: 0 });
    toRing(pool, [...takeOn(pool, 0, 64), ...takeOn(pool, 1, 1)]);
    expect(changes(pool, () => take(pool))).toEqual({ refill: 1, inCache: 63, inRing: -64 });
    expect(pool.ring.count).toBe(1);
  });

  test("#111 without a node of its own the pool follows the CPU that allocates", () => {
    const bench = twoNodes();
    const pool = makePool(bench);
    const { context } = bench.host;
    context.nid = 1;
    const refs = takeMany(pool, 2);
    expect(refs.map((ref) => bench.host.nodeOf(ref))).toEqual([1, 1]);
    emptyCache(pool);
    toRing(pool, refs);
    context.nid = 0;
    expect(changes(pool, () => take(pool))).toMatchObject({ waive: 1, slow: 1 });
    emptyCache(pool);
    context.nid = 1;
    expect(changes(pool, () => take(pool))).toMatchObject({ refill: 1 });
  });

  test("#114 net_iovs are local everywhere", () => {
    const bench = twoNodes();
    const provider = new FakeNiovProvider({ host: bench.host, count: 4 });
    const pool = makePool(bench, { ...providerParams(provider), nid: 1 });
    toRing(pool, takeMany(pool, 4));
    pool.updateNid(0);
    expect(changes(pool, () => take(pool))).toEqual({ refill: 1, inCache: 3, inRing: -4 });
  });

  test("#114 a host of one node never asks for the node of a page", () => {
    const bench = makeBench();
    Object.defineProperty(bench.host, "nodes", { get: () => expect.fail("asked") });
    const pool = makePool(bench, { nid: 0 });
    toRing(pool, takeMany(pool, 64));
    expect(changes(pool, () => take(pool))).toMatchObject({ refill: 1 });
  });
});

describe("the pool moves", () => {
  test("#112 updateNid: the cache goes back, no counter moves, the ring is untouched", () => {
    const pool = makePool(twoNodes(), { nid: 0 });
    const refs = takeMany(pool, 3);
    fillCache(pool, 63);
    toRing(pool, refs);
    expect(changes(pool, () => pool.updateNid(1))).toEqual({ rel: 63, inCache: -63 });
    expect([pool.nid, pool.ring.count]).toEqual([1, 3]);
    checkPoolInvariants(pool);
  });

  test("#113 nidChanged: nothing for the same node; another is updateNid", () => {
    const pool = makePool(twoNodes(), { nid: 0 });
    fillCache(pool, 5);
    expect(changes(pool, () => pool.nidChanged(0))).toEqual({});
    expect(changes(pool, () => pool.nidChanged(1))).toEqual({ rel: 5, inCache: -5 });
    expect(pool.nid).toBe(1);
  });

  test("2.9 updateNid: refused for nodes that the host does not have, and for a destroyed pool", () => {
    const bench = twoNodes();
    const pool = makePool(bench, { nid: 0 });
    for (const nid of [-2, 2, 0.5]) expectCode("ERR_NETMEM_INVALID_PARAM", () => pool.updateNid(nid));
    expectCode("ERR_NETMEM_INVALID_PARAM", () => makePool(makeBench(), { nid: 1 }));
    pool.updateNid(-1);
    take(pool);
    pool.destroy();
    expectCode("ERR_NETMEM_POOL_DESTROYED", () => pool.updateNid(1));
  });

  test.each([0, 1])("#115 the slow path allocates on the pool's node, whatever the CPU's; order %i", (order) => {
    const bench = twoNodes();
    for (const [nid, cpuNid] of [
      [0, 1],
      [1, 0],
    ] as const) {
      bench.host.context.nid = cpuNid;
      const pool = makePool(bench, { nid, order });
      for (const ref of takeMany(pool, 70)) expect(bench.host.nodeOf(ref)).toBe(nid);
    }
  });
});
