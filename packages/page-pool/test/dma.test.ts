import { getNetmem, type NetmemRef } from "@netmem/core";
import { describe, expect, test } from "vitest";
import { PagePoolFlag, type PagePoolParams } from "../src/index.ts";
import { FakeDmaDevice } from "./fake-dma-device.ts";
import { FakeNiovProvider, providerParams } from "./fake-niov-provider.ts";
import { makeBench, makePool, take, takeFrag, takeMany } from "./fixture.ts";

const SYNCED = PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev;

function setUp(params: PagePoolParams = {}, needsSync = true) {
  const dma = new FakeDmaDevice({ needsSync });
  const bench = makeBench({ dma });
  const pool = makePool(bench, { flags: SYNCED, maxLenBytes: 1500, offsetBytes: 64, ...params });
  return { dma, bench, pool };
}

describe("mappings", () => {
  test.each([0, 2])("#116 order %i: every new buffer is mapped and synced once, recycled ones not again", (order) => {
    const { dma, pool } = setUp({ order });
    const refs = takeMany(pool, 3);
    const entered = order === 0 ? 64 : 3;
    expect([dma.maps, dma.live.size, dma.syncs.length]).toEqual([entered, entered, entered]);
    expect(dma.syncs.every(({ offset, len }) => offset === 64 && len === 1500)).toBe(true);
    expect(refs.map((ref) => dma.live.get(pool.getDmaAddr(ref))?.order)).toEqual([order, order, order]);
    for (const ref of refs) pool.recycleDirect(ref);
    takeMany(pool, 3);
    expect([dma.maps, dma.unmaps]).toEqual([entered, 0]);
  });

  test("#121 destroy with 3 pages out: their mappings go at destroy time, late puts do not unmap again", () => {
    const { dma, bench, pool } = setUp();
    const refs = takeMany(pool, 3);
    pool.destroy();
    expect([dma.live.size, dma.maps, dma.unmaps]).toEqual([0, 64, 64]);
    for (const ref of refs) expect(pool.getDmaAddr(ref)).toBe(0);
    for (const ref of refs) pool.putFullPage(ref);
    bench.clock.advance(1000);
    expect([pool.freed, dma.unmaps]).toEqual([true, 64]);
  });

  test("#121 a provider's mappings are the provider's", () => {
    const dma = new FakeDmaDevice();
    const bench = makeBench({ dma });
    const provider = new FakeNiovProvider({ host: bench.host, count: 4 });
    const pool = makePool(bench, providerParams(provider));
    take(pool);
    pool.destroy();
    expect([dma.maps, dma.unmaps]).toEqual([0, 0]);
  });

  test("#124 getDmaAddr of a page after its release is 0, also when it is a block in the allocator's lists", () => {
    const { bench, pool } = setUp({ order: 3, poolSize: 1 });
    const refs = takeMany(pool, 4);
    for (const ref of refs) getNetmem(bench.host, ref);
    for (const ref of refs) pool.putFullPage(ref);
    for (const ref of refs) expect(pool.getDmaAddr(ref)).toBe(0);
  });
});

describe("sync for device", () => {
  test("#118 also when the page then meets a full ring; not when it is released for its refcount", () => {
    const { dma, bench, pool } = setUp({ poolSize: 1 });
    const [a, b, c] = takeMany(pool, 3) as [NetmemRef, NetmemRef, NetmemRef];
    dma.syncs.length = 0;
    getNetmem(bench.host, c);
    pool.put(a, 100, false);
    pool.put(b, 200, false);
    pool.put(c, 300, false);
    expect(dma.syncs.map(({ len }) => len)).toEqual([100, 200]);
    expect(pool.getStats().recycle).toMatchObject({ ring: 1, ringFull: 1, releasedRefcnt: 1 });
  });

  test("#118 a bulk put syncs whole buffers; a fragment page that starts over as well", () => {
    const { dma, pool } = setUp();
    const refs = takeMany(pool, 3);
    dma.syncs.length = 0;
    pool.putNetmemBulk(Int32Array.from(refs), 3);
    expect(dma.syncs.map(({ len }) => len)).toEqual([1500, 1500, 1500]);
    pool.putFullPage(takeFrag(pool, 4096).ref);
    dma.syncs.length = 0;
    takeFrag(pool, 4096);
    expect(dma.syncs.map(({ len }) => len)).toEqual([1500]);
  });

  test("#119 none without DmaSyncDev, and none for a coherent device", () => {
    for (const { dma, pool } of [setUp({ flags: PagePoolFlag.DmaMap }), setUp({}, false)]) {
      const refs = takeMany(pool, 20);
      pool.putNetmemBulk(Int32Array.from(refs), 10);
      for (const ref of refs.slice(10)) pool.recycleDirect(ref);
      expect([dma.maps, dma.syncs.length]).toEqual([64, 0]);
    }
  });

  test("#122 none for late puts", () => {
    const { dma, pool } = setUp();
    const [a, b] = takeMany(pool, 2) as [NetmemRef, NetmemRef];
    pool.destroy();
    dma.syncs.length = 0;
    pool.putFullPage(a);
    pool.putNetmemBulk(Int32Array.of(b), 1);
    expect(dma.syncs).toEqual([]);
  });
});
