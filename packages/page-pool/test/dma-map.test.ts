import { DmaDir, getNetmem, type NetmemRef } from "@netmem/core";
import { FaultInjector, Prng } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import { checkPoolInvariants, PagePoolFlag } from "../src/index.ts";
import { MappedPages } from "../src/mapped-pages.ts";
import { FakeDmaDevice } from "./fake-dma-device.ts";
import { books, makeBench, makePool, take, takeMany } from "./fixture.ts";

const SYNCED = PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev;

describe("which pages are mapped", () => {
  test("the set agrees with a Set, and takeFrom empties it", () => {
    const prng = new Prng(7);
    const pages = new MappedPages(5000);
    const model = new Set<number>();
    for (let n = 0; n < 20_000; n++) {
      const idx = prng.below(5000);
      expect(pages.has(idx)).toBe(model.has(idx));
      if (prng.bool(0.5)) expect(pages.delete(idx)).toBe(model.delete(idx));
      else if (!model.has(idx)) {
        pages.add(idx);
        model.add(idx);
      }
      expect(pages.count).toBe(model.size);
    }
    for (let idx = pages.takeFrom(0); idx >= 0; idx = pages.takeFrom(idx >>> 10)) expect(model.delete(idx)).toBe(true);
    expect([pages.count, model.size]).toEqual([0, 0]);
  });

  test.each([0, 3])("#121 I7: one mapping per buffer in flight, whatever becomes of it; order %i", (order) => {
    const dma = new FakeDmaDevice();
    const bench = makeBench({ dma });
    const pool = makePool(bench, { flags: PagePoolFlag.DmaMap, dmaDir: DmaDir.FromDevice, order, poolSize: 2 });
    const refs = takeMany(pool, 9);
    getNetmem(bench.host, refs[0]!);
    for (const ref of refs) {
      pool.putFullPage(ref);
      checkPoolInvariants(pool);
      expect(dma.live.size).toBe(pool.inflight());
    }
    pool.dma!.mapped!.count++;
    expect(() => checkPoolInvariants(pool)).toThrow(/I7 is broken/);
    pool.dma!.mapped!.count--;
    expect(pool.destroy()).toBe(true);
    expect([dma.live.size, dma.maps - dma.unmaps]).toEqual([0, 0]);
  });

  test("#121 a device that throws at an unmap: a warning, and every other mapping still goes", () => {
    const dma = new FakeDmaDevice();
    const bench = makeBench({ dma });
    const pool = makePool(bench, { flags: SYNCED, maxLenBytes: 64 });
    const refs = takeMany(pool, 5);
    const broken = pool.getDmaAddr(refs[2]!);
    const unmap = dma.unmap.bind(dma);
    dma.unmap = (pfn, order, dir) => {
      if (pfn === broken) throw new Error("IOMMU says no");
      unmap(pfn, order, dir);
    };
    expect(pool.destroy()).toBe(false);
    expect([...dma.live.keys()]).toEqual([broken]);
    expect(bench.warnings.map(({ code }) => code)).toEqual(["WARN_NETMEM_DMA_UNMAP"]);
    for (const ref of refs) pool.putFullPage(ref);
    bench.clock.advance(1000);
    expect(pool.freed).toBe(true);
  });

  test("#121 a device that throws at every unmap: puts and destroy are right, and no page is lost", () => {
    const dma = new FakeDmaDevice();
    const bench = makeBench({ dma });
    makePool(bench).destroy();
    const free = bench.host.pages.freePageCount();
    const pool = makePool(bench, { flags: SYNCED, maxLenBytes: 64, poolSize: 1 });
    const refs = takeMany(pool, 5);
    dma.unmap = () => {
      throw new Error("IOMMU says no");
    };
    // The ring has room for one; the others are released.
    for (const ref of refs) pool.putFullPage(ref);
    checkPoolInvariants(pool);
    expect(books(pool)).toMatchObject({ ringFull: 4, rel: 4, inCache: 59, inRing: 1 });
    expect(pool.destroy()).toBe(true);
    expect(bench.host.pages.freePageCount()).toBe(free);
    expect(bench.warnings.filter(({ code }) => code === "WARN_NETMEM_DMA_UNMAP")).toHaveLength(64);
  });

  test("#121 a hook and then the unmap throw in a refill: the hook's error comes out, and no page is lost", () => {
    const dma = new FakeDmaDevice();
    const bench = makeBench({ dma });
    makePool(bench).destroy();
    const free = bench.host.pages.freePageCount();
    const entered: NetmemRef[] = [];
    const initCallback = (ref: NetmemRef): void => {
      if (entered.push(ref) === 10) throw new Error("the hook says no");
    };
    const pool = makePool(bench, { flags: SYNCED, maxLenBytes: 64, initCallback });
    dma.unmap = () => {
      throw new Error("IOMMU says no");
    };
    expect(() => pool.allocNetmem()).toThrow("the hook says no");
    checkPoolInvariants(pool);
    expect(books(pool)).toMatchObject({ hold: 10, rel: 1, inCache: 9 });
    expect(pool.destroy()).toBe(true);
    expect(bench.host.pages.freePageCount()).toBe(free);
  });

  test("#124 getDmaAddr: 0 without DmaMap, 0 in the cache of another pool", () => {
    const bench = makeBench({ dma: new FakeDmaDevice() });
    const [plain, mapped] = [makePool(bench), makePool(bench, { flags: PagePoolFlag.DmaMap })];
    const ref = take(plain);
    bench.host.i32[bench.host.dmaAt + ((ref >>> 1) & 0xfffff)] = 4711;
    expect([plain.getDmaAddr(ref), mapped.getDmaAddr(ref)]).toEqual([0, 0]);
    bench.host.i32[bench.host.dmaAt + ((ref >>> 1) & 0xfffff)] = 0;
    expect(mapped.getDmaAddr(take(mapped))).not.toBe(0);
  });
});

describe("#123 the n-th map fails", () => {
  test.each([0, 1])("order %i: nothing is lost, and the pool goes on", (order) => {
    for (let n = 1; n <= 70; n++) {
      const faults = new FaultInjector();
      const dma = new FakeDmaDevice({ faults });
      const bench = makeBench({ dma, arenaBytes: 4 * 2 ** 20 });
      // The arena's heap keeps the page that a pool's ring lies in.
      makePool(bench).destroy();
      const free = bench.host.pages.freePageCount();
      const pool = makePool(bench, { flags: SYNCED, maxLenBytes: 64, order, poolSize: 5 });
      faults.failNth("dma.map", n);
      const refs = Array.from({ length: 70 }, () => pool.allocNetmem()).filter((ref): ref is NetmemRef => ref !== 0);
      checkPoolInvariants(pool);
      expect(dma.live.size).toBe(books(pool)["hold"]);
      // A page whose map failed was not synced either.
      expect(dma.syncs.length).toBe(dma.maps);
      expect(refs.length).toBe(order === 0 ? 70 : 69);
      for (const ref of refs) pool.putFullPage(ref);
      expect(pool.destroy()).toBe(true);
      expect([dma.live.size, bench.host.pages.freePageCount()]).toEqual([0, free]);
    }
  });
});
