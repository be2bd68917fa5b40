import { asPageRef, isNetmemError, type MemoryProviderOps, type NetmemRef, type PoolHandle } from "@netmem/core";
import { FaultInjector } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import { checkPoolInvariants, PagePoolFlag } from "../src/index.ts";
import { FakeDmaDevice } from "./fake-dma-device.ts";
import { FakeNiovProvider, providerParams } from "./fake-niov-provider.ts";
import { type Bench, books, codesOf, expectCode, freePages, makeBench, makePool, take, takeMany } from "./fixture.ts";

const COUNT = 100;

/** A good provider with some hooks replaced. */
function setUp(hooks: Partial<MemoryProviderOps> | ((good: FakeNiovProvider) => Partial<MemoryProviderOps>)) {
  const bench = makeBench();
  const good = new FakeNiovProvider({ host: bench.host, count: COUNT });
  const bad = typeof hooks === "function" ? hooks(good) : hooks;
  const ops: MemoryProviderOps = {
    name: "bad",
    opsVersion: 1,
    init: (pool) => good.init(pool),
    destroy: (pool) => good.destroy(pool),
    allocNetmems: (pool, out, max) => good.allocNetmems(pool, out, max),
    releaseNetmem: (pool, ref) => good.releaseNetmem(pool, ref),
    owns: (ref) => good.owns(ref),
    ...bad,
  };
  bench.host.providers.register(ops);
  return { bench, good, ops, open: (params = {}) => makePool(bench, { ...providerParams(ops), ...params }) };
}

/** Every buffer of the good provider is home once the pool is gone. */
function expectAllHome({ bench, good }: { readonly bench: Bench; readonly good: FakeNiovProvider }): void {
  expect(new Set(good.free).size).toBe(COUNT);
  expect(bench.host.pools.list().length).toBe(0);
}

const boom = (): never => {
  throw new TypeError("boom");
};

describe("hooks that throw", () => {
  test("init: coded, with the cause; nothing stays allocated and destroy is not called", () => {
    const rig = setUp({ init: boom });
    expect(() => rig.open()).toThrow("boom");
    const before = freePages(rig.bench);
    const error = expectCode("ERR_NETMEM_PROVIDER_FAILED", () => rig.open());
    expect([error["errno"], (error["cause"] as Error).message, rig.good.calls]).toEqual(["EFAULT", "boom", []]);
    expect(freePages(rig.bench)).toBe(before);
    expectAllHome(rig);
  });

  test("allocNetmems: coded; the next allocation works", () => {
    let calls = 0;
    const rig = setUp((good) => ({
      allocNetmems: (pool, out, max) => (++calls === 1 ? boom() : good.allocNetmems(pool, out, max)),
    }));
    const pool = rig.open();
    expectCode("ERR_NETMEM_PROVIDER_FAILED", () => pool.allocNetmem());
    checkPoolInvariants(pool);
    pool.recycleDirect(take(pool));
    expect(pool.destroy()).toBe(true);
    expectAllHome(rig);
  });

  test("a coded error of the provider's own comes out as it is", () => {
    const rig = setUp({ init: () => boomCoded() });
    expectCode("ERR_FAKE_ORDER", () => rig.open({ order: 1 }));
    function boomCoded(): never {
      return rig.good.init({ order: 1 } as PoolHandle) as never;
    }
  });

  test("owns: the buffers stay with the provider, or are in the cache", () => {
    let asked = 0;
    const rig = setUp((good) => ({ owns: (ref) => (++asked === 5 ? boom() : good.owns(ref)) }));
    const pool = rig.open();
    const error = expectCode("ERR_NETMEM_PROVIDER_FAILED", () => pool.allocNetmem());
    expect(String(error["reason"] ?? error["message"])).toContain("owns");
    expect([pool.inflight(), books(pool)["inCache"]]).toEqual([4, 4]);
    checkPoolInvariants(pool);
    expect(pool.destroy()).toBe(true);
    expectAllHome(rig);
  });

  test("releaseNetmem: a warning; the put was right and the pool goes on", () => {
    const rig = setUp({ releaseNetmem: boom });
    const pool = rig.open({ poolSize: 1 });
    for (const ref of takeMany(pool, 3)) pool.put(ref, -1, false);
    expect(codesOf(rig.bench)).toEqual(["WARN_NETMEM_PROVIDER_RELEASE", "WARN_NETMEM_PROVIDER_RELEASE"]);
    checkPoolInvariants(pool);
    expect(pool.destroy()).toBe(true);
    expect(rig.good.calls).toEqual(["init", "destroy"]);
  });

  test("destroy: a warning; the pool is gone all the same", () => {
    const rig = setUp({ destroy: boom });
    const pool = rig.open();
    pool.recycleDirect(take(pool));
    expect([pool.destroy(), codesOf(rig.bench)]).toEqual([true, ["WARN_NETMEM_PROVIDER_DESTROY"]]);
    expectAllHome(rig);
  });

  test("destroy of a pool whose creation failed: the reason of the failure comes out", () => {
    const rig = setUp({ destroy: boom });
    rig.bench.host.pools.reserve = () => {
      throw new RangeError("no id");
    };
    expect(() => rig.open()).toThrow("no id");
    expect(codesOf(rig.bench)).toEqual(["WARN_NETMEM_PROVIDER_DESTROY"]);
    expectAllHome(rig);
  });

  test("fillInfo: a warning; the pool is described without it", () => {
    const rig = setUp({ fillInfo: boom });
    const pool = rig.open();
    expect(pool.describe()).toMatchObject({ id: pool.id, info: {} });
    expect(codesOf(rig.bench)).toEqual(["WARN_NETMEM_PROVIDER_INFO"]);
    expect(pool.destroy()).toBe(true);
  });
});

describe("garbage from allocNetmems", () => {
  const cases: Readonly<Record<string, (good: FakeNiovProvider) => MemoryProviderOps["allocNetmems"]>> = {
    "more than asked for": (good) => (pool, out, max) => good.allocNetmems(pool, out, max) + 7,
    "a negative count": (good) => (pool, out, max) => -good.allocNetmems(pool, out, max),
    "half a buffer": () => () => 0.5,
    "no number": () => () => Promise.resolve(3) as unknown as number,
    "one buffer twice": (good) => (pool, out, max) => {
      const n = good.allocNetmems(pool, out, max - 1);
      out[n] = out[0]!;
      return n + 1;
    },
    "a count without buffers": () => () => 3,
    "an index beyond the table": (good) => (pool, out, max) => {
      const n = good.allocNetmems(pool, out, max - 1);
      out[n] = 0x1fffff;
      return n + 1;
    },
    "a buffer with another generation": (good) => (pool, out, max) => {
      const n = good.allocNetmems(pool, out, max - 1);
      out[n] = out[n - 1]! + (5 << 21);
      return n + 1;
    },
  };
  test.for(Object.entries(cases))("garbage is coded, nothing lost, the pool usable: %s", ([name, make]) => {
    let isBad = true;
    const rig = setUp((good) => ({
      allocNetmems: (pool, out, max) => (isBad ? make(good) : good.allocNetmems.bind(good))(pool, out, max),
    }));
    const pool = rig.open();
    const error = expectCode("ERR_NETMEM_PROVIDER_GARBAGE", () => pool.allocNetmem());
    expect([isNetmemError(error), error["errno"], error["param"]]).toEqual([true, "EFAULT", "provider"]);
    checkPoolInvariants(pool);
    isBad = false;
    const good = takeMany(pool, 10);
    for (const ref of good) pool.put(ref, -1, false);
    expect(pool.destroy()).toBe(true);
    if (name !== "a negative count") expectAllHome(rig);
  });

  test("a page under the tag of a net_iov, a net_iov under that of a page: refused", () => {
    const odd: number[] = [];
    const rig = setUp((good) => ({
      owns: () => true,
      allocNetmems: (pool, out, max) => {
        const n = odd.length > 0 ? 0 : good.allocNetmems(pool, out, max);
        out.set(odd, n);
        return n + odd.splice(0).length;
      },
    }));
    const page = rig.bench.host.pages.allocPages(0) as NetmemRef;
    const iov = rig.good.free[COUNT - 1]!;
    const pool = rig.open();
    for (const ref of [page | 1, iov & ~1]) {
      odd.push(ref);
      expect(expectCode("ERR_NETMEM_PROVIDER_GARBAGE", () => pool.allocNetmem())["value"]).toBe(ref);
    }
    expect(pool.inflight()).toBe(0);
    rig.bench.host.pages.freePage(asPageRef(page));
    pool.recycleDirect(take(pool));
    expect(pool.destroy()).toBe(true);
    expectAllHome(rig);
  });

  test("a page of another pool, a net_iov of another provider: refused, and still theirs", () => {
    const others: NetmemRef[] = [];
    const rig = setUp((good) => ({
      allocNetmems: (pool, out, max) => {
        const n = good.allocNetmems(pool, out, max - 2);
        for (const [k, ref] of others.entries()) out[n + k] = ref;
        return n + others.length;
      },
    }));
    const plain = makePool(rig.bench);
    const elsewhere = new FakeNiovProvider({ host: rig.bench.host, count: 4 });
    others.push(take(plain), elsewhere.free[0]!);
    const pool = rig.open();
    expectCode("ERR_NETMEM_PROVIDER_GARBAGE", () => pool.allocNetmem());
    expect(pool.inflight()).toBe(62);
    plain.putFullPage(others[0]!);
    expect(plain.destroy()).toBe(true);
    expect(elsewhere.free.length).toBe(4);
    expect(pool.destroy()).toBe(true);
    expectAllHome(rig);
  });
});

describe("callbacks that throw in the middle of a refill", () => {
  test.for(["pages", "provider"])(
    "initCallback throws at the 10th buffer of a refill (%s): 9 stay, the rest goes back",
    (kind) => {
      const rig = setUp({});
      let calls = 0;
      const initCallback = (): void => {
        if (++calls === 10) boom();
      };
      const before = freePages(rig.bench);
      const pool = kind === "pages" ? makePool(rig.bench, { initCallback }) : rig.open({ initCallback });
      const held = before - freePages(rig.bench);
      expect(() => pool.allocNetmem()).toThrow("boom");
      expect([pool.inflight(), books(pool)["inCache"]]).toEqual([9, 9]);
      checkPoolInvariants(pool);
      expect(freePages(rig.bench)).toBe(before - held - (kind === "pages" ? 9 : 0));
      for (const ref of takeMany(pool, 30)) pool.recycleDirect(ref);
      checkPoolInvariants(pool);
      expect(pool.destroy()).toBe(true);
      expectAllHome(rig);
      // A small block of the heap may have taken a page for good.
      expect(freePages(rig.bench)).toBeGreaterThanOrEqual(before - 1);
    },
  );

  test.for(["pages", "provider"])("a tracer's hold that throws loses nothing either (%s)", (kind) => {
    const rig = setUp({});
    const pool = kind === "pages" ? makePool(rig.bench) : rig.open();
    let calls = 0;
    pool.tracer = {
      hold: () => {
        if (++calls === 3) boom();
      },
    };
    expect(() => pool.allocNetmem()).toThrow("boom");
    expect(pool.inflight()).toBe(2);
    checkPoolInvariants(pool);
    pool.recycleDirect(take(pool));
    expect(pool.destroy()).toBe(true);
    expectAllHome(rig);
  });

  test.for([0, 2])("a device whose map throws, order %i: every page is back, no mapping is left", (order) => {
    const faults = new FaultInjector();
    const dma = new FakeDmaDevice({ faults });
    const map = dma.map.bind(dma);
    let calls = 0;
    dma.map = (ref, ofOrder, dir) => (++calls === (order === 0 ? 5 : 1) ? boom() : map(ref, ofOrder, dir));
    const bench = makeBench({ dma });
    const pool = makePool(bench, { order, flags: PagePoolFlag.DmaMap });
    const before = freePages(bench);
    expect(() => pool.allocNetmem()).toThrow("boom");
    const kept = order === 0 ? 4 : 0;
    expect([pool.inflight(), dma.live.size, freePages(bench)]).toEqual([kept, kept, before - kept]);
    checkPoolInvariants(pool);
    pool.recycleDirect(take(pool));
    expect(pool.destroy()).toBe(true);
    expect(dma.live.size).toBe(0);
  });

  test("a device whose first sync throws: the mapping that it made is taken down", () => {
    const dma = new FakeDmaDevice();
    const sync = dma.syncForDevice.bind(dma);
    let calls = 0;
    dma.syncForDevice = (pfn, offset, len, dir) => (++calls === 3 ? boom() : sync(pfn, offset, len, dir));
    const bench = makeBench({ dma });
    const flags = PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev;
    const pool = makePool(bench, { flags, maxLenBytes: 1500 });
    expect(() => pool.allocNetmem()).toThrow("boom");
    expect([pool.inflight(), dma.live.size]).toEqual([2, 2]);
    checkPoolInvariants(pool);
    expect(pool.destroy()).toBe(true);
  });
});
