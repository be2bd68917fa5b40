import {
  getNetmem,
  type Host,
  idxOf,
  isNetmemError,
  type MemoryProviderOps,
  type NetmemRef,
  putNetmem,
} from "@netmem/core";
import { createHugeProvider, createHugeSplitProvider, createModelBacking } from "@netmem/hugepage";
import {
  checkPoolInvariants,
  createPagePool,
  type PagePool,
  PagePoolFlag,
  type PagePoolParams,
} from "@netmem/page-pool";
import { describe, expect, test } from "vitest";
import { makeStand, MIB } from "./subjects.ts";

const FLAGS = PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev | PagePoolFlag.AllowUnreadableNetmem;

function poolOn(host: Host, provider: MemoryProviderOps, params: PagePoolParams = {}): PagePool {
  if (!host.providers.has(provider)) host.providers.register(provider);
  const rxq = { ifindex: 1, queueIdx: 0, provider };
  return createPagePool(host, { flags: FLAGS, maxLenBytes: 4096, rxq, ...params });
}

function takeMany(pool: PagePool, count: number): NetmemRef[] {
  const refs = new Int32Array(count);
  return [...refs.subarray(0, pool.allocBulk(refs, count))] as NetmemRef[];
}

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    return isNetmemError(error) ? `${error.code} ${error.errno}` : String(error);
  }
  return "nothing thrown";
}

describe("page pools over huge pages", () => {
  test("#203 order 1: EINVAL; without DmaMap the pool itself refuses", () => {
    const { host } = makeStand();
    const provider = createHugeProvider(host, { backing: createModelBacking(host), chunks: 2 });
    expect(codeOf(() => poolOn(host, provider, { order: 1, maxLenBytes: 8192 }))).toBe(
      "ERR_NETMEM_INVALID_PARAM EINVAL",
    );
    const flags = PagePoolFlag.AllowUnreadableNetmem;
    expect(codeOf(() => poolOn(host, provider, { flags }))).toBe("ERR_NETMEM_PROVIDER_DMA EOPNOTSUPP");
    expect([provider.stats().chunks, host.pools.list().length]).toEqual([0, 0]);
  });

  test("#203 32 x 2 MiB: 16384 pages, 32 mappings, whatever the traffic", () => {
    const { host, iommu, clock } = makeStand({ arenaBytes: 128 * MIB });
    const backing = createModelBacking(host);
    const provider = createHugeProvider(host, { backing, fallback: false });
    const pools = Array.from({ length: 4 }, () => poolOn(host, provider, { poolSize: 256 }));
    expect(iommu.stats()).toMatchObject({ mapped: 32, mappedPages: 16384 });
    for (let round = 0; round < 20; round++) {
      const held = pools.map((pool) => ({ pool, refs: takeMany(pool, 300 * (1 + (round % 5))) }));
      expect(iommu.stats().mapped).toBe(32);
      for (const { pool, refs } of held) for (const ref of refs) pool.put(ref, -1, round % 2 === 0);
      for (const pool of pools) checkPoolInvariants(pool);
    }
    for (const pool of pools) pool.destroy();
    clock.advance(2000);
    expect([iommu.stats().mapped, backing.backedCount, provider.stats().fallbackTotal]).toEqual([0, 0, 0]);
  });

  test("#205 all pages out: single pages, mapped one by one, and freed when they come home", () => {
    const { host, iommu } = makeStand();
    const provider = createHugeProvider(host, { backing: createModelBacking(host), chunks: 2 });
    const pool = poolOn(host, provider, { poolSize: 1 });
    const huge = takeMany(pool, 1024);
    expect([huge.length, iommu.stats().mapped, provider.stats().fallbackTotal]).toEqual([1024, 2, 0]);
    const free = host.pages.freePageCount();
    const singles = takeMany(pool, 64);
    expect([iommu.stats().mapped, provider.stats().fallbackOut, free - host.pages.freePageCount()]).toEqual([
      66, 64, 64,
    ]);
    for (const ref of [...singles, ...huge]) pool.put(ref, -1, false);
    expect(pool.destroy()).toBe(true);
    expect([iommu.stats().mapped, provider.stats().fallbackOut]).toEqual([0, 0]);
  });

  test("#206 destroyed with one page still referenced: its chunk stays, with a warning; the other 31 are freed", () => {
    const { host, iommu, warnings } = makeStand({ arenaBytes: 128 * MIB });
    const backing = createModelBacking(host);
    const provider = createHugeProvider(host, { backing });
    poolOn(host, provider).destroy();
    const start = host.pages.freePageCount();
    const pool = poolOn(host, provider);
    const refs = takeMany(pool, 5000);
    const held = refs[4321]!;
    getNetmem(host, held);
    for (const ref of refs) pool.putFullPage(ref);
    expect(pool.destroy()).toBe(true);
    expect(warnings.map(({ code }) => code)).toEqual(["WARN_NETMEM_HUGE_LEAK"]);
    expect([backing.backedCount, start - host.pages.freePageCount(), iommu.stats().mapped]).toEqual([1, 512, 0]);
    host.u8[host.offsetOf(held as never)] = 1;
    putNetmem(host, held);
    expect([provider.reclaimLeaked(), backing.backedCount, host.pages.freePageCount()]).toEqual([1, 0, start]);
  });

  test("8.6 a queue that restarts: the new pool is there before the old is gone, and memory does not double", () => {
    const { host, iommu, clock } = makeStand();
    const backing = createModelBacking(host);
    const provider = createHugeProvider(host, { backing, chunks: 3, fallback: false });
    let pool = poolOn(host, provider);
    let held = takeMany(pool, 100);
    for (let restart = 0; restart < 10; restart++) {
      const next = poolOn(host, provider);
      pool.destroy();
      expect([backing.backedCount, iommu.stats().mapped]).toEqual([3, 3]);
      const fresh = takeMany(next, 100);
      expect(new Set([...held, ...fresh].map(idxOf)).size).toBe(200);
      for (const ref of held) pool.putFullPage(ref);
      clock.advance(1000);
      expect(pool.freed).toBe(true);
      [pool, held] = [next, fresh];
    }
  });

  test("7.5 four rings of 1024 descriptors, an IOTLB of 64: 32768 misses of 32768 with 4 KiB, 8 with 2 MiB", () => {
    const missesOf = (make: (host: Host) => PagePool): number => {
      const { host, iommu } = makeStand({ arenaBytes: 64 * MIB });
      const pool = make(host);
      const rings = Array.from({ length: 4 }, () => takeMany(pool, 1024));
      const addresses = rings.map((ring) => Int32Array.from(ring, (ref) => pool.getDmaAddr(ref)));
      for (let burst = 0; burst < 8 * 16; burst++) {
        const from = (burst * 64) % 1024;
        for (const ring of addresses) host.dma!.translateMany(ring.slice(from, from + 64), 64);
      }
      const { hits, misses, faults } = iommu.stats();
      expect([hits + misses, faults]).toEqual([32768, 0]);
      return misses;
    };
    const plain = (host: Host): PagePool =>
      createPagePool(host, { flags: PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev, maxLenBytes: 4096 });
    const huge = (host: Host): PagePool =>
      poolOn(host, createHugeProvider(host, { backing: createModelBacking(host), chunks: 16 }));
    const split = (host: Host): PagePool => poolOn(host, createHugeSplitProvider(host));
    expect([missesOf(plain), missesOf(huge), missesOf(split)]).toEqual([32768, 8, 8]);
  });
});
