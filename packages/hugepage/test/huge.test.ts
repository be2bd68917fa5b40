import { DmaDir, type HugeBacking, type NetmemRef, putNetmem } from "@netmem/core";
import { withMapFaults } from "@netmem/dma";
import { ANY_POINT, FaultInjector, forEveryNthFailure } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import { createHugeProvider, createModelBacking, type HugeParams } from "../src/index.ts";
import { BarePool, type Bench, expectCode, hold, idxsOf, makeBench, MIB } from "./fixture.ts";

function setUp(params: Partial<HugeParams> = {}, bench: Bench = makeBench()) {
  const { host } = bench;
  const backing = createModelBacking(host);
  const provider = createHugeProvider(host, { backing, chunks: 4, ...params });
  const start = host.pages.freePageCount();
  return { bench, host, backing, provider, start };
}

describe("huge pages, preallocated", () => {
  test("#203 order 1 or no DmaMap: EINVAL, and nothing is taken", () => {
    const { host, provider, backing, start } = setUp();
    expect(expectCode("ERR_NETMEM_INVALID_PARAM", () => new BarePool(host, provider, { order: 1 }))).toMatchObject({
      errno: "EINVAL",
      param: "order",
    });
    expect(expectCode("ERR_NETMEM_INVALID_PARAM", () => new BarePool(host, provider, { dmaMap: false }))).toMatchObject(
      {
        errno: "EINVAL",
        param: "flags",
      },
    );
    expect([backing.backedCount, host.pages.freePageCount()]).toEqual([0, start]);
  });

  test("#203 32 x 2 MiB: 16384 pages, 32 mappings, whatever the traffic", () => {
    const bench = makeBench({ arenaBytes: 128 * MIB });
    const { host, provider, backing, start } = setUp({ chunks: 32 }, bench);
    const pool = new BarePool(host, provider);
    expect([bench.mapped(), backing.backedCount, provider.stats().freePages]).toEqual([32, 32, 16384]);
    expect(start - host.pages.freePageCount()).toBe(16384);
    for (let round = 0; round < 3; round++) {
      const refs = pool.take(16384);
      expect(new Set(idxsOf(refs)).size).toBe(16384);
      expect([bench.mapped(), provider.stats().freePages]).toEqual([32, 0]);
      pool.giveMany(refs);
    }
    expect(bench.iommu.stats()).toMatchObject({ mapped: 32, refused: 0 });
    pool.destroy();
    expect([bench.mapped(), backing.backedCount, host.pages.freePageCount()]).toEqual([0, 0, start]);
  });

  test("#203 every page has its own part of its chunk's address, and the device reaches it", () => {
    const { bench, host, provider } = setUp();
    const pool = new BarePool(host, provider);
    const refs = pool.take(4 * 512);
    const pfns = Int32Array.from(idxsOf(refs), (idx) => host.i32[host.dmaAt + idx]!);
    expect(new Set(pfns).size).toBe(2048);
    host.dma!.translateMany(pfns, pfns.length, DmaDir.FromDevice);
    expect([...pfns]).toEqual(refs.map((ref) => host.offsetOf(ref as never)));
    expect(bench.iommu.stats()).toMatchObject({ misses: 4, hits: 2044 });
  });

  test("#205 all pages out: single pages, mapped one by one; their release returns true", () => {
    const { bench, host, provider, start } = setUp();
    const pool = new BarePool(host, provider);
    const huge = pool.take(4 * 512);
    const free = host.pages.freePageCount();
    const [single, ...others] = pool.take(10);
    expect([bench.mapped(), provider.stats().fallbackOut, host.pages.freePageCount()]).toEqual([14, 10, free - 10]);
    expect(provider.owns(single!)).toBe(true);
    expect(pool.give(single!)).toBe(true);
    expect([bench.mapped(), host.pages.freePageCount(), provider.owns(single!)]).toEqual([13, free - 9, false]);
    // A huge page that came home is preferred.
    expect(pool.give(huge[7]!)).toBe(false);
    expect(idxsOf(pool.take(1))).toEqual(idxsOf([huge[7]!]));
    pool.giveMany([...others, ...huge.slice(0, 7), ...huge.slice(8)]);
    pool.give(((huge[7]! + (1 << 21)) & 0x3fffffff) as NetmemRef);
    pool.destroy();
    expect([bench.mapped(), host.pages.freePageCount(), provider.stats().fallbackTotal]).toEqual([0, start, 10]);
  });

  test("#205 without fallback: 0 when all pages are out", () => {
    const { host, provider } = setUp({ fallback: false });
    const pool = new BarePool(host, provider);
    expect([pool.take(5000).length, pool.take(1).length]).toEqual([2048, 0]);
  });

  test("#206 destroyed with one page still referenced: its chunk stays with a warning, the others are freed", () => {
    const { bench, host, provider, backing, start } = setUp();
    const pool = new BarePool(host, provider);
    const refs = pool.take(4 * 512);
    const held = refs[700]!;
    hold(host, held);
    pool.giveMany(refs);
    expect(provider.stats()).toMatchObject({ heldPages: 1, freePages: 2047 });
    pool.destroy();
    expect(bench.warnings).toMatchObject([{ code: "WARN_NETMEM_HUGE_LEAK" }]);
    expect(host.pages.freePageCount()).toBe(start - 512);
    expect([bench.mapped(), backing.backedCount, provider.stats().leakedChunks]).toEqual([0, 1, 1]);
    expect(provider.reclaimLeaked()).toBe(0);
    // Not lost: the last holder's release makes the chunk whole, and the next look finds it.
    putNetmem(host, held);
    expect(provider.reclaimLeaked()).toBe(1);
    expect([host.pages.freePageCount(), backing.backedCount]).toEqual([start, 0]);
  });

  test("#206 what was left behind is never handed out, and comes home with the next pool", () => {
    const { bench, host, provider, backing, start } = setUp({ chunks: 2 });
    const first = new BarePool(host, provider);
    const [held, ...others] = first.take(1024);
    hold(host, held!);
    first.giveMany([held!, ...others]);
    first.destroy();
    const second = new BarePool(host, provider);
    expect([backing.backedCount, bench.mapped()]).toEqual([3, 2]);
    const refs = second.take(1024);
    expect([refs.length, provider.stats().freePages, provider.stats().fallbackOut]).toEqual([1024, 0, 0]);
    expect(idxsOf(refs).includes(idxsOf([held!])[0]!)).toBe(false);
    second.giveMany(refs);
    putNetmem(host, held!);
    second.destroy();
    const third = new BarePool(host, provider);
    expect([backing.backedCount, provider.stats().leakedChunks]).toEqual([2, 0]);
    third.destroy();
    expect(host.pages.freePageCount()).toBe(start);
  });

  test("3.6 a page that somebody holds waits, and is out again only when he let go, under a new generation", () => {
    const { host, provider } = setUp({ chunks: 1, fallback: false });
    const pool = new BarePool(host, provider);
    const refs = pool.take(512);
    hold(host, refs[3]!);
    pool.giveMany(refs);
    expect(pool.take(512).length).toBe(511);
    expect(pool.take(1)).toEqual([]);
    putNetmem(host, refs[3]!);
    const [again] = pool.take(1);
    expect([idxsOf([again!]), again! >>> 21]).toEqual([idxsOf([refs[3]!]), (refs[3]! >>> 21) + 1]);
  });

  test("3.6 the lowest free page goes out first: few chunks are in use, whatever came home when", () => {
    const { host, provider } = setUp({ chunks: 3, fallback: false });
    const pool = new BarePool(host, provider);
    const refs = pool.take(1536).toSorted((a, b) => idxsOf([a])[0]! - idxsOf([b])[0]!);
    expect(idxsOf(refs).every((idx, n, all) => n === 0 || idx > all[n - 1]!)).toBe(true);
    for (const n of [1400, 3, 700, 2, 1401]) pool.give(refs[n]!);
    const again = idxsOf(pool.take(3));
    expect(again).toEqual(idxsOf([refs[2]!, refs[3]!, refs[700]!]));
    pool.give(refs[0]!);
    expect(idxsOf(pool.take(2))).toEqual(idxsOf([refs[0]!, refs[1400]!]));
  });

  test("8.6 pools share the chunks: a queue that restarts needs no second set", () => {
    const { bench, host, provider, backing } = setUp();
    const old = new BarePool(host, provider);
    const refs = old.take(100);
    const next = new BarePool(host, provider);
    expect([backing.backedCount, bench.mapped()]).toEqual([4, 4]);
    old.giveMany(refs);
    old.destroy();
    expect(next.take(2048).length).toBe(2048);
    expect(bench.mapped()).toBe(4);
  });

  test("a pool of another direction is refused: the chunks are mapped already", () => {
    const { host, provider } = setUp();
    const pool = new BarePool(host, provider);
    const error = expectCode(
      "ERR_NETMEM_HUGE_DMA_DIR",
      () => new BarePool(host, provider, { dmaDir: DmaDir.FromDevice }),
    );
    expect(error["errno"]).toBe("EINVAL");
    pool.destroy();
    new BarePool(host, provider, { dmaDir: DmaDir.FromDevice }).destroy();
  });

  test("a pool of a thread that died: its pages go to the page allocator, its end is not ours", () => {
    const { host, provider } = setUp({ chunks: 1 });
    const ours = new BarePool(host, provider);
    const dead = new BarePool(
      host,
      createHugeProvider(host, { backing: createModelBacking(host), chunks: 1, name: "dead" }),
    );
    const [ref, other] = [dead.take(1)[0]!, ours.take(1)[0]!];
    const free = host.pages.freePageCount();
    dead.moveTo(provider);
    expect([dead.give(ref), host.pages.freePageCount()]).toEqual([true, free + 1]);
    dead.destroy();
    expect(provider.stats()).toMatchObject({ chunks: 1, fallbackOut: 0 });
    ours.give(other);
    ours.destroy();
    expect(provider.stats().chunks).toBe(0);
  });

  test("a page that comes home twice is reported and not given out twice", () => {
    const { bench, host, provider } = setUp({ chunks: 1, fallback: false });
    const pool = new BarePool(host, provider);
    const [ref] = pool.take(1);
    pool.give(ref!);
    provider.releaseNetmem(pool, ref!);
    expect(bench.warnings).toMatchObject([{ code: "WARN_NETMEM_HUGE_DOUBLE_FREE" }]);
    expect(new Set(idxsOf(pool.take(600))).size).toBe(512);
  });

  test("all chunks or none: short backing, short arena, a device that refuses", () => {
    const { host, start, bench } = setUp();
    const few = createModelBacking(host, { maxPages: 3 });
    const short = createHugeProvider(host, { backing: few, chunks: 4 });
    expect(expectCode("ERR_NETMEM_NO_HUGE_PAGES", () => new BarePool(host, short))).toMatchObject({ errno: "ENOMEM" });
    const many = createHugeProvider(host, { backing: createModelBacking(host, { maxPages: 99 }), chunks: 16 });
    expectCode("ERR_NETMEM_NO_HUGE_PAGES", () => new BarePool(host, many));
    expect([host.pages.freePageCount(), few.backedCount, bench.mapped()]).toEqual([start, 0, 0]);
  });

  test("a failure at any call of device or backing leaves nothing behind, and the next pool works", () => {
    const runs = forEveryNthFailure((faults) => {
      const bench = makeBench({
        dma: (host) => withMapFaults(new NullDevice(host.pageShift), () => faults.shouldFail("map")),
      });
      const { host } = bench;
      const inner = createModelBacking(host);
      const backing: HugeBacking = {
        kind: inner.kind,
        pageBytes: inner.pageBytes,
        firstOffset: inner.firstOffset,
        available: () => inner.available(),
        back: (offset: number, bytes: number) => {
          if (faults.shouldFail("back")) throw new RangeError("back");
          inner.back(offset, bytes);
        },
        release: (offset: number, bytes: number) => inner.release(offset, bytes),
      };
      const provider = createHugeProvider(host, { backing, chunks: 3 });
      const start = host.pages.freePageCount();
      try {
        new BarePool(host, provider).destroy();
      } catch {
        expect([host.pages.freePageCount(), inner.backedCount]).toEqual([start, 0]);
      }
      faults.failNever(ANY_POINT);
      const pool = new BarePool(host, provider);
      expect(pool.take(2000).length).toBe(2000);
    });
    expect(runs).toBe(7);
  });

  test("a host without a device: huge pages for the CPU alone", () => {
    const bench = makeBench({ dma: undefined as never });
    const { host, provider, start } = setUp({}, bench);
    expect(host.dma).toBe(null);
    const pool = new BarePool(host, provider);
    const refs = pool.take(2048 + 5);
    expect([refs.length, host.i32[host.dmaAt + idxsOf(refs)[0]!]]).toEqual([2053, 0]);
    pool.giveMany(refs);
    pool.destroy();
    expect(host.pages.freePageCount()).toBe(start);
  });

  test("a backing or device that throws on the way out is warned about; everything else goes home", () => {
    const { bench, host, backing, provider, start } = setUp();
    const pool = new BarePool(host, provider);
    backing.release = () => {
      throw new Error("busy");
    };
    pool.destroy();
    expect(bench.warnings.map(({ code }) => code)).toEqual(Array.from({ length: 4 }, () => "WARN_NETMEM_HUGE_RELEASE"));
    expect([host.pages.freePageCount(), bench.mapped()]).toEqual([start, 0]);
  });

  test("a single page that the device refuses goes back to the page allocator", () => {
    const faults = new FaultInjector();
    const bench = makeBench({
      dma: (host) => withMapFaults(new NullDevice(host.pageShift), () => faults.shouldFail("map")),
    });
    const { host, provider } = setUp({ chunks: 1 }, bench);
    const pool = new BarePool(host, provider);
    pool.take(512);
    const free = host.pages.freePageCount();
    faults.failEvery("map", 3);
    const singles = pool.take(30);
    expect(host.pages.freePageCount()).toBe(free - singles.length);
    pool.giveMany(singles);
    expect(host.pages.freePageCount()).toBe(free);
  });

  test("single pages whose unmap throws go back to the page allocator, with a warning each", () => {
    const { bench, host, provider } = setUp({ chunks: 1 });
    const pool = new BarePool(host, provider);
    pool.take(512);
    const free = host.pages.freePageCount();
    const singles = pool.take(3);
    host.dma!.unmap = () => {
      throw new Error("IOMMU says no");
    };
    pool.giveMany(singles);
    expect([host.pages.freePageCount(), provider.stats().fallbackOut]).toEqual([free, 0]);
    expect(bench.warnings.map(({ code }) => code)).toEqual(Array.from({ length: 3 }, () => "WARN_NETMEM_DMA_UNMAP"));
  });

  test("a map of single pages throws, and so does the unmap of those before: none is lost", () => {
    const { bench, host, provider } = setUp({ chunks: 1 });
    const pool = new BarePool(host, provider);
    pool.take(512);
    const free = host.pages.freePageCount();
    const dma = host.dma!;
    const map = dma.map.bind(dma);
    let maps = 0;
    dma.map = (ref, order, dir) => {
      if (++maps === 5) throw new Error("the map says no");
      return map(ref, order, dir);
    };
    dma.unmap = () => {
      throw new Error("IOMMU says no");
    };
    expect(() => pool.take(10)).toThrow("the map says no");
    expect([host.pages.freePageCount(), bench.warnings.length]).toEqual([free, 4]);
  });
});

/** Maps everything, at its own place. */
class NullDevice {
  readonly name = "null";
  readonly needsSync = false;
  readonly pageShift: number;
  constructor(pageShift: number) {
    this.pageShift = pageShift;
  }
  map(ref: NetmemRef): number {
    return (ref >>> 1) & 0xfffff;
  }
  unmap(): void {}
  syncForDevice(): void {}
  syncForCpu(): void {}
  translateMany(): void {}
}
