import { getNetmem, type NetmemRef, type PoolHandle } from "@netmem/core";
import { describe, expect, test } from "vitest";
import { checkPoolInvariants, PagePoolFlag, type PagePoolParams } from "../src/index.ts";
import { FakeDmaDevice } from "./fake-dma-device.ts";
import { FakeNiovProvider, providerParams } from "./fake-niov-provider.ts";
import { changes, emptyCache, makeBench, makePool, take, takeMany } from "./fixture.ts";
import { plainPuts } from "./put-calls.ts";

const SYNCED = PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev;

function setUp(params: PagePoolParams = {}, needsSync = true) {
  const dma = new FakeDmaDevice({ needsSync });
  const bench = makeBench({ dma });
  const pool = makePool(bench, { flags: SYNCED, maxLenBytes: 1500, offsetBytes: 64, ...params });
  return { dma, bench, pool };
}

/** A pool whose provider clears fields of its handle in `init`, and one net_iov of it with a DMA address. */
function withProvider(init: (pool: PoolHandle) => void) {
  const dma = new FakeDmaDevice();
  const bench = makeBench({ dma });
  const provider = new FakeNiovProvider({ host: bench.host, count: 4 });
  provider.init = init;
  const pool = makePool(bench, { ...providerParams(provider), offsetBytes: 32 });
  const ref = take(pool);
  const pfn = dma.map(ref, 0, pool.dmaDir);
  bench.host.i32[bench.host.dmaAt + ((ref >>> 1) & 0xfffff)] = pfn;
  return { dma, pool, ref, pfn };
}

describe("sync for device", () => {
  test.each([true, false])("#117 the smaller of dmaSyncSize and maxLenBytes, -1 for all; direct: %s", (direct) => {
    const { dma, pool } = setUp();
    for (const [size, len] of [
      [0, 0],
      [100, 100],
      [1500, 1500],
      [1501, 1500],
      [2 ** 30, 1500],
      [-1, 1500],
    ] as const) {
      const ref = take(pool);
      const pfn = pool.getDmaAddr(ref);
      dma.syncs.length = 0;
      pool.put(ref, size, direct);
      expect(dma.syncs).toEqual([{ pfn, offset: 64, len }]);
    }
  });

  test.each(plainPuts)("#117 %s syncs a recycled buffer once, into cache and ring alike", (_name, put) => {
    const { dma, pool } = setUp({ poolSize: 3 });
    dma.syncs.length = 0;
    for (const ref of takeMany(pool, 2)) put(pool, ref);
    expect(dma.syncs.map(({ len }) => len)).toEqual([...Array(64).fill(1500), 1500, 1500]);
    checkPoolInvariants(pool);
  });

  test("#117 the short path of a device that needs sync moves the same counters as the fast path", () => {
    const [synced, plain] = [setUp({ poolSize: 2 }), setUp({ poolSize: 2 }, false)];
    expect([synced.pool.slow !== 0, plain.pool.slow]).toEqual([true, 0]);
    const life = ({ pool, bench }: typeof synced): unknown => {
      const refs = takeMany(pool, 6);
      const other = takeMany(pool, 2);
      return [
        changes(pool, () => pool.recycleDirect(refs[0]!)),
        changes(pool, () => pool.putFullPage(refs[1]!)),
        changes(pool, () => refs.slice(2, 4).forEach((ref) => pool.putFullPage(ref))),
        changes(pool, () => takeMany(pool, 10)),
        changes(pool, () => pool.putNetmemBulk(Int32Array.from(refs.slice(4)), 2)),
        changes(pool, () => (getNetmem(bench.host, other[0]!), pool.putFullPage(other[0]!))),
        changes(pool, () => (emptyCache(pool), take(pool))),
      ];
    };
    expect(life(synced)).toEqual(life(plain));
  });

  test("#117 a provider that clears dmaSync gets no syncs for the device", () => {
    const { dma, pool, ref } = withProvider((handle) => void (handle.dmaSync = false));
    pool.putFullPage(ref);
    expect([pool.slow, dma.syncs]).toEqual([0, []]);
    const asked = withProvider(() => {});
    asked.pool.put(asked.ref, 100, true);
    expect(asked.dma.syncs).toEqual([{ pfn: asked.pfn, offset: 32, len: 100 }]);
  });
});

describe("sync for CPU", () => {
  test.each([SYNCED, PagePoolFlag.DmaMap])("#120 adds the pool's offset; flags %i", (flags) => {
    const { dma, pool } = setUp({ flags });
    const ref = take(pool);
    pool.dmaSyncForCpu(ref, 10, 90);
    expect(dma.cpuSyncs).toEqual([{ pfn: pool.getDmaAddr(ref), offset: 74, len: 90 }]);
  });

  test("#120 nothing for a coherent device, without DmaMap, and for a buffer that has no mapping any more", () => {
    const coherent = setUp({}, false);
    coherent.pool.dmaSyncForCpu(take(coherent.pool), 0, 64);
    const unmapped = setUp({ flags: 0 });
    unmapped.pool.dmaSyncForCpu(take(unmapped.pool), 0, 64);
    const gone = setUp();
    const [held, released] = takeMany(gone.pool, 2) as [NetmemRef, NetmemRef];
    getNetmem(gone.bench.host, released);
    gone.pool.putFullPage(released);
    gone.pool.dmaSyncForCpu(released, 0, 64);
    gone.pool.destroy();
    gone.pool.dmaSyncForCpu(held, 0, 64);
    expect([coherent, unmapped, gone].map(({ dma }) => dma.cpuSyncs)).toEqual([[], [], []]);
  });

  test("#120 net_iovs: by the address that the provider set, nothing when it cleared dmaSyncCpu in init", () => {
    const plain = withProvider(() => {});
    plain.pool.dmaSyncForCpu(plain.ref, 4, 8);
    expect(plain.dma.cpuSyncs).toEqual([{ pfn: plain.pfn, offset: 36, len: 8 }]);
    const cleared = withProvider((handle) => void (handle.dmaSyncCpu = false));
    cleared.pool.dmaSyncForCpu(cleared.ref, 4, 8);
    expect(cleared.dma.cpuSyncs).toEqual([]);
  });
});
