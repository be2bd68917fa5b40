import { DmaDir, MAX_ORDER, NetmemError, OWNER_STACK_SIZE } from "@netmem/core";
import { FaultInjector } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import { createPagePool, createPagePoolStats, PagePoolFlag, type PagePoolParams } from "../src/index.ts";
import { FakeDmaDevice } from "./fake-dma-device.ts";
import { FakeNiovProvider, providerParams } from "./fake-niov-provider.ts";
import { faultyPages } from "./fault-pages.ts";
import { expectCode, expectRefused, freePages, makeBench, makePool, take, takeMany } from "./fixture.ts";

const { DmaMap, DmaSyncDev, SystemPool, AllowUnreadableNetmem } = PagePoolFlag;

describe("flags and directions", () => {
  test("#1 a flag above the known four is EINVAL", () => {
    const { host } = makeBench();
    for (const flags of [16, 31, 2 ** 30, 2 ** 32, -1, 0.5, Number.NaN]) {
      const error = expectRefused(host, "ERR_NETMEM_INVALID_PARAM", () => createPagePool(host, { flags }));
      expect(error).toMatchObject({ errno: "EINVAL", param: "flags", value: flags });
    }
    expect(createPagePool(host, { flags: SystemPool }).destroy()).toBe(true);
  });

  test("#2 DmaMap takes FromDevice and Bidirectional only", () => {
    const { host } = makeBench({ dma: new FakeDmaDevice() });
    for (const dmaDir of [DmaDir.ToDevice, DmaDir.None]) {
      const error = expectRefused(host, "ERR_NETMEM_INVALID_PARAM", () =>
        createPagePool(host, { flags: DmaMap, dmaDir }),
      );
      expect(error).toMatchObject({ errno: "EINVAL", param: "dmaDir", value: dmaDir });
    }
    for (const dmaDir of [DmaDir.FromDevice, DmaDir.Bidirectional]) {
      expect(createPagePool(host, { flags: DmaMap, dmaDir }).getDmaDir()).toBe(dmaDir);
    }
  });

  test("2.2 DmaSyncDev without DmaMap is EINVAL", () => {
    const { host } = makeBench();
    const error = expectRefused(host, "ERR_NETMEM_INVALID_PARAM", () =>
      createPagePool(host, { flags: DmaSyncDev, maxLenBytes: 1 }),
    );
    expect(error).toMatchObject({ errno: "EINVAL", param: "flags" });
  });

  test("#4 DmaSyncDev needs maxLenBytes >= 1", () => {
    const { host } = makeBench({ dma: new FakeDmaDevice() });
    const flags = DmaMap | DmaSyncDev;
    const error = expectRefused(host, "ERR_NETMEM_INVALID_PARAM", () =>
      createPagePool(host, { flags, maxLenBytes: 0 }),
    );
    expect(error).toMatchObject({ errno: "EINVAL", param: "maxLenBytes", value: 0 });
    expect(createPagePool(host, { flags, maxLenBytes: 1 }).destroy()).toBe(true);
    expect(createPagePool(host, { flags, maxLenBytes: 2 ** 31 - 1, offsetBytes: 2 ** 31 - 1 }).destroy()).toBe(true);
  });

  test("#5 without DMA flags the direction is ignored", () => {
    const { host } = makeBench();
    expect(createPagePool(host, { dmaDir: DmaDir.ToDevice }).destroy()).toBe(true);
    expect(createPagePool(host, { dmaDir: DmaDir.None }).destroy()).toBe(true);
  });

  test("2.2 DmaMap on a host without a device is ENODEV", () => {
    const { host } = makeBench();
    const error = expectRefused(host, "ERR_NETMEM_NO_DMA_DEVICE", () => createPagePool(host, { flags: DmaMap }));
    expect(error).toMatchObject({ errno: "ENODEV", param: "flags", value: DmaMap });
  });
});

describe("sizes", () => {
  test("#7 poolSize 3 holds exactly three", () => {
    const bench = makeBench();
    const pool = makePool(bench, { poolSize: 3 });
    for (const ref of takeMany(pool, 4)) pool.putFullPage(ref);
    expect(pool.getStats().recycle).toMatchObject({ ring: 3, ringFull: 1 });
    expect(pool.ring.count).toBe(3);
  });

  test("#8 poolSize 1000000 is clamped to 16384", () => {
    const bench = makeBench({ arenaBytes: 96 * 2 ** 20 });
    const pool = makePool(bench, { poolSize: 1_000_000 });
    for (const ref of takeMany(pool, 16_385)) pool.putFullPage(ref);
    expect(pool.getStats().recycle).toMatchObject({ ring: 16_384, ringFull: 1 });
  });

  test("2.1 poolSize 0 gives 1024", () => {
    const bench = makeBench();
    const pool = makePool(bench, { poolSize: 0 });
    for (const ref of takeMany(pool, 1025)) pool.putFullPage(ref);
    expect(pool.getStats().recycle).toMatchObject({ ring: 1024, ringFull: 1 });
  });

  test.each([
    [12, 128, 64],
    [14, 32, 16],
    [16, 8, 4],
  ])("2.1 pages of 2^%i bytes: cache %i, refill %i", (pageShift, cacheSize, refill) => {
    const bench = makeBench({ pageShift });
    const pool = makePool(bench);
    expect([pool.cacheSize, pool.refillCount]).toEqual([cacheSize, refill]);
    expect(cacheSize).toBeLessThanOrEqual(OWNER_STACK_SIZE);
    const first = take(pool);
    expect(pool.inflight()).toBe(refill);
    const refs = [first, ...takeMany(pool, cacheSize + 4)];
    for (const ref of refs) pool.recycleDirect(ref);
    // The slow path left some in the cache; it never holds more than its size.
    expect(pool.i32[pool.at]).toBe(cacheSize);
    const inRing = pool.ring.count;
    expect(inRing).toBe(refs.length + (pool.inflight() - refs.length) - cacheSize);
    for (let n = cacheSize; n > 0; n--) take(pool);
    take(pool);
    expect(pool.getStats().alloc.refill).toBe(1);
    expect(pool.i32[pool.at]).toBe(Math.min(refill, inRing) - 1);
  });

  test("2.2 order 10 is the limit on the page allocator", () => {
    const { host } = makeBench();
    expect(MAX_ORDER).toBe(10);
    const error = expectRefused(host, "ERR_NETMEM_INVALID_PARAM", () => createPagePool(host, { order: 11 }));
    expect(error).toMatchObject({ errno: "EINVAL", param: "order", value: 11 });
    const pool = createPagePool(host, { order: 10 });
    expect(pool.allocNetmem()).not.toBe(0);
  });
});

test("#10 a fresh pool has empty books, no page and an id of its own", () => {
  const bench = makeBench();
  // The ring and the counters come out of arena pages; the second pool shares the counters' page.
  makePool(bench, { poolSize: 8 });
  const free = freePages(bench);
  const pools = [makePool(bench, { poolSize: 8 }), makePool(bench, { poolSize: 8 }), makePool(bench, { poolSize: 8 })];
  expect(freePages(bench)).toBe(free);
  for (const pool of pools) {
    expect(pool.getStats()).toEqual(createPagePoolStats());
    expect(pool.inflight()).toBe(0);
    expect(pool.id).toBeGreaterThanOrEqual(1);
  }
  expect(new Set(pools.map(({ id }) => id)).size).toBe(3);
});

describe("the first check wins", () => {
  test("#11 flags before direction, and before a provider that refuses", () => {
    const { host } = makeBench({ dma: new FakeDmaDevice() });
    const provider = new FakeNiovProvider({ host, count: 4 });
    provider.initError = new NetmemError({ code: "ERR_FAKE", errno: "EIO", reason: "no", remedy: "None." });
    const params = { ...providerParams(provider), flags: 31, dmaDir: DmaDir.None } as const;
    const error = expectCode("ERR_NETMEM_INVALID_PARAM", () => createPagePool(host, params));
    expect(error).toMatchObject({ errno: "EINVAL", param: "flags" });
    expect(provider.calls).toEqual([]);
  });

  test("2.2 what the provider's init throws comes out; nothing stays taken and destroy is not called", () => {
    const bench = makeBench({ dma: new FakeDmaDevice() });
    const provider = new FakeNiovProvider({ host: bench.host, count: 4 });
    createPagePool(bench.host, { poolSize: 4 });
    const free = freePages(bench);
    provider.initError = new NetmemError({ code: "ERR_FAKE", errno: "EIO", reason: "no", remedy: "None." });
    expectCode("ERR_FAKE", () => createPagePool(bench.host, { ...providerParams(provider), poolSize: 4 }));
    expect(provider.calls).toEqual(["init"]);
    expect(freePages(bench)).toBe(free);
    expect(bench.host.pools.list()).toHaveLength(1);
    provider.initError = null;
    expect(createPagePool(bench.host, providerParams(provider)).allocNetmem()).not.toBe(0);
  });

  test("2.2 buffers are at most 1 GiB, also those of a provider", () => {
    const bench = makeBench();
    const provider = new FakeNiovProvider({ host: bench.host, count: 4 });
    provider.init = () => {};
    const pool = createPagePool(bench.host, { ...providerParams(provider), order: 18 });
    expect(pool.bufferBytes).toBe(2 ** 30);
    const params = { ...providerParams(provider), order: 19 };
    const error = expectRefused(bench.host, "ERR_NETMEM_INVALID_PARAM", () => createPagePool(bench.host, params));
    expect(error).toMatchObject({ errno: "EINVAL", param: "order", value: 19 });
  });

  test("2.6 a pool that is made in hard-interrupt context is in that mode", () => {
    const bench = makeBench();
    bench.host.context.hardirq = true;
    const pool = createPagePool(bench.host);
    const ref = take(pool);
    expectRefused(bench.host, "ERR_NETMEM_HARDIRQ", () => pool.recycleDirect(ref));
    bench.host.context.hardirq = false;
    pool.recycleDirect(ref);
    expect(pool.slow).toBe(0);
  });

  test("2.2 a provider may use an order beyond the page allocator's", () => {
    const { host } = makeBench({ dma: new FakeDmaDevice() });
    const provider = new FakeNiovProvider({ host, count: 4 });
    expectCode("ERR_FAKE_ORDER", () => createPagePool(host, { ...providerParams(provider), order: 11 }));
  });
});

describe("providers", () => {
  test("#13 without AllowUnreadableNetmem the queue's provider is not asked: a header pool", () => {
    const { host } = makeBench();
    const provider = new FakeNiovProvider({ host, count: 4 });
    const pool = createPagePool(host, { rxq: { ifindex: 2, queueIdx: 0, provider } });
    expect(pool.allocPages()).not.toBe(0);
    expect(provider.calls).toEqual([]);
    expect(provider.free).toHaveLength(4);
  });

  test("2.2 AllowUnreadableNetmem on a queue without a provider is an ordinary pool", () => {
    const { host } = makeBench();
    const pool = createPagePool(host, {
      flags: AllowUnreadableNetmem,
      rxq: { ifindex: 2, queueIdx: 0, provider: null },
    });
    expect(pool.allocPages()).not.toBe(0);
  });

  test("#14 a provider without DmaSyncDev or DmaMap is EOPNOTSUPP and init is never called", () => {
    const { host } = makeBench({ dma: new FakeDmaDevice() });
    const provider = new FakeNiovProvider({ host, count: 4 });
    for (const flags of [AllowUnreadableNetmem, AllowUnreadableNetmem | DmaMap]) {
      const params = { ...providerParams(provider), flags };
      const error = expectRefused(host, "ERR_NETMEM_PROVIDER_DMA", () => createPagePool(host, params));
      expect(error).toMatchObject({ errno: "EOPNOTSUPP", param: "provider" });
    }
    expect(provider.calls).toEqual([]);
  });

  test("2.2 a provider that was never registered is EFAULT", () => {
    const { host } = makeBench();
    const provider = new FakeNiovProvider({ host: makeBench().host, count: 4 });
    const error = expectRefused(host, "ERR_NETMEM_PROVIDER_UNKNOWN", () =>
      createPagePool(host, providerParams(provider)),
    );
    expect(error).toMatchObject({ errno: "EFAULT" });
    expect(provider.calls).toEqual([]);
  });

  test("#16 when listing fails after init succeeded, provider.destroy is called once and nothing stays listed", () => {
    const { host } = makeBench();
    const provider = new FakeNiovProvider({ host, count: 4 });
    const reserve = host.pools.reserve.bind(host.pools);
    host.pools.reserve = () => {
      throw new Error("listing failed");
    };
    expect(() => createPagePool(host, providerParams(provider))).toThrow("listing failed");
    expect(provider.calls).toEqual(["init", "destroy"]);
    expect(host.pools.list()).toEqual([]);
    host.pools.reserve = reserve;
    expect(createPagePool(host, providerParams(provider)).destroy()).toBe(true);
    expect(provider.calls).toEqual(["init", "destroy", "init", "destroy"]);
  });
});

describe("running out", () => {
  test("2.2 no memory for the ring is ENOMEM, with nothing taken", () => {
    const faults = new FaultInjector();
    const bench = makeBench({ pageAllocator: faultyPages(faults) });
    makePool(bench, { poolSize: 4 });
    faults.failAlways("pages.alloc");
    const free = freePages(bench);
    for (let n = 0; n < 100; n++) {
      const error = expectCode("ERR_NETMEM_NO_MEMORY", () => makePool(bench, { poolSize: 16_384 }));
      expect(error).toMatchObject({ errno: "ENOMEM" });
    }
    expect(freePages(bench)).toBe(free);
    faults.failNever("pages.alloc");
    expect(makePool(bench, { poolSize: 16_384 }).destroy()).toBe(true);
  });

  test("2.2 no owner record left is ENOSPC; one that is freed can be used again", () => {
    const bench = makeBench({ maxOwners: 8 });
    const pools = Array.from({ length: 5 }, () => makePool(bench, { poolSize: 4 }));
    const error = expectCode("ERR_NETMEM_OWNERS_EXHAUSTED", () => makePool(bench));
    expect(error).toMatchObject({ errno: "ENOSPC", param: "maxOwners" });
    pools[2]?.destroy();
    expect(take(makePool(bench, { poolSize: 4 }))).not.toBe(0);
  });

  test("2.2 creating and destroying for ever takes no memory", () => {
    const bench = makeBench();
    const round = (): number => {
      for (let n = 0; n < 300; n++) {
        const pool = makePool(bench, { order: n % 3, debug: n % 2 === 0, poolSize: 3 + n * 7 });
        pool.putFullPage(take(pool));
        pool.destroy();
      }
      return freePages(bench);
    };
    const free = round();
    expect([round(), round()]).toEqual([free, free]);
    expect(bench.clock.pendingCount).toBe(0);
  });
});

const wrong: readonly [keyof PagePoolParams, unknown][] = [
  ["name", 5],
  ["name", null],
  ["flags", "1"],
  ["order", -1],
  ["order", 1.5],
  ["order", "0"],
  ["poolSize", -1],
  ["poolSize", 0.5],
  ["poolSize", Number.POSITIVE_INFINITY],
  ["nid", -2],
  ["nid", 8],
  ["dmaDir", 4],
  ["dmaDir", -1],
  ["maxLenBytes", -1],
  ["maxLenBytes", 2 ** 31],
  ["offsetBytes", -1],
  ["offsetBytes", Number.NaN],
  ["napi", 7],
  ["napi", {}],
  ["cpuid", -2],
  ["cpuid", 4096],
  ["rxq", "eth0"],
  ["rxq", {}],
  ["ifindex", -1],
  ["ifindex", 2 ** 31],
  ["initCallback", "log"],
  ["directRecycle", "always"],
  ["debug", "yes"],
];

describe("2.2 every wrong parameter is a coded error that names it", () => {
  test.each(wrong)("%s: %j", (param, value) => {
    const { host } = makeBench();
    const error = expectRefused(host, "ERR_NETMEM_INVALID_PARAM", () => createPagePool(host, { [param]: value }));
    expect(error).toMatchObject({ errno: "EINVAL", param, value });
    expect(error["message"]).toContain(param);
    expect(error["remedy"]).toMatch(/^[A-Z].+\.$/);
  });

  test("an unknown one is named with the known ones", () => {
    const { host } = makeBench();
    const params = { pool_size: 4 } as PagePoolParams;
    const error = expectRefused(host, "ERR_NETMEM_INVALID_PARAM", () => createPagePool(host, params));
    expect(error).toMatchObject({ param: "pool_size" });
    expect(error["remedy"]).toContain("poolSize");
  });
});
