import {
  asNetmemRef,
  GEN_ONE,
  getNetmem,
  makeRef,
  type NetmemRef,
  putNetmem,
  REF_MASK,
  returnNetmem,
  returnNetmemBulk,
  returnNetmemRxNapi,
} from "@netmem/core";
import { describe, expect, test } from "vitest";
import { checkPoolInvariants, type PagePool } from "../src/index.ts";
import { FakeNiovProvider, providerParams } from "./fake-niov-provider.ts";
import {
  type Bench,
  codesOf,
  expectCode,
  expectRefused,
  freePages,
  makeBench,
  makePool,
  take,
  takeFrag,
  takeMany,
} from "./fixture.ts";

const puts: readonly [string, (pool: PagePool, ref: NetmemRef) => void][] = [
  ["put", (pool, ref) => pool.put(ref, -1, false)],
  ["recycleDirect", (pool, ref) => pool.recycleDirect(ref)],
  ["putUnrefed", (pool, ref) => pool.putUnrefed(ref, -1, true)],
  ["putFrag", (pool, ref) => pool.putFrag(ref, 0, false)],
  ["putNetmemBulk", (pool, ref) => pool.putNetmemBulk(Int32Array.of(ref), 1)],
  ["returnNetmem", (pool, ref) => returnNetmem(pool.host, ref)],
  ["returnNetmemRxNapi", (pool, ref) => returnNetmemRxNapi(pool.host, ref)],
  ["returnNetmemBulk", (pool, ref) => returnNetmemBulk(pool.host, Int32Array.of(ref), 1)],
];

describe.each(["napi", "ownerThread"] as const)("%s", (directRecycle) => {
  const setUp = (): { bench: Bench; pool: PagePool } => {
    const bench = makeBench();
    return { bench, pool: makePool(bench, { directRecycle, poolSize: 2 }) };
  };

  test.each(puts)("#55 a double put by %s is refused and changes nothing", (_name, put) => {
    const { bench, pool } = setUp();
    const ref = take(pool);
    put(pool, ref);
    expectRefused(bench.host, "ERR_NETMEM_DOUBLE_PUT", () => put(pool, ref));
    checkPoolInvariants(pool);
    // I3: the page is handed out once.
    const refs = takeMany(pool, 64);
    expect(new Set(refs.map((r) => r & 0x1fffff)).size).toBe(64);
  });

  test.each(puts)("#56 a double put by %s after release to the system is refused", (_name, put) => {
    const { bench, pool } = setUp();
    const refs = takeMany(pool, 140);
    for (const ref of refs) pool.recycleDirect(ref);
    expect(pool.getStats().recycle.ringFull).toBeGreaterThan(0);
    // Two generations on: one for coming home, one for leaving the pool.
    expectRefused(bench.host, "ERR_NETMEM_STALE_REF", () => put(pool, refs.at(-1)!));
  });

  test.each(puts)("#55 a stale reference to a page that is out again is refused by %s", (_name, put) => {
    const { bench, pool } = setUp();
    const stale = take(pool);
    pool.recycleDirect(stale);
    const live = take(pool);
    expect(live).toBe((stale + GEN_ONE) & REF_MASK);
    expectRefused(bench.host, "ERR_NETMEM_STALE_REF", () => put(pool, stale));
    put(pool, live);
  });

  test.each(puts)("#55 a reference that is in the pool is refused by %s", (_name, put) => {
    const { bench, pool } = setUp();
    take(pool);
    const cached = asNetmemRef(pool.i32[pool.at + 32]!);
    expectRefused(bench.host, "ERR_NETMEM_NOT_OUT", () => put(pool, cached));
  });

  test.each(puts.slice(0, 4))("2.6 a buffer of another pool is refused by %s", (_name, put) => {
    const { bench, pool } = setUp();
    const other = makePool(bench, { directRecycle, name: "other" });
    const ref = take(other);
    const error = expectRefused(bench.host, "ERR_NETMEM_FOREIGN_PUT", () => put(pool, ref));
    expect(error["message"]).toContain("other");
    put(other, ref);
  });

  test.each(puts.slice(0, 5))("2.6 a plain page is refused by %s", (_name, put) => {
    const { bench, pool } = setUp();
    const page = bench.host.pages.allocPages(0) as NetmemRef;
    expectRefused(bench.host, "ERR_NETMEM_FOREIGN_PUT", () => put(pool, page));
    returnNetmem(bench.host, page);
  });
});

describe("references", () => {
  test("2.5 ref and fragment of a buffer that is home, stale or nobody's are refused", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const ref = take(pool);
    pool.recycleDirect(ref);
    const bad = makeRef(1, 0, 0);
    for (const call of [
      (r: NetmemRef) => pool.refNetmem(r),
      (r: NetmemRef) => pool.fragmentNetmem(r, 2),
      (r: NetmemRef) => pool.unrefNetmem(r, 1),
      (r: NetmemRef) => getNetmem(bench.host, r),
      (r: NetmemRef) => putNetmem(bench.host, r),
    ]) {
      expectRefused(bench.host, "ERR_NETMEM_DOUBLE_PUT", () => call(ref));
      expectRefused(bench.host, "ERR_NETMEM_BAD_REF", () => call(bad));
    }
  });

  test("2.5 counts that cannot be are refused: below one, fractions, more than are held", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const ref = take(pool);
    for (const n of [0, -1, 1.5, Number.NaN, 2 ** 31, 2 ** 32 + 1]) {
      expectRefused(bench.host, "ERR_NETMEM_REF_UNDERFLOW", () => pool.fragmentNetmem(ref, n));
      expectRefused(bench.host, "ERR_NETMEM_REF_UNDERFLOW", () => pool.unrefNetmem(ref, n));
    }
    pool.fragmentNetmem(ref, 4);
    expectRefused(bench.host, "ERR_NETMEM_REF_UNDERFLOW", () => pool.unrefNetmem(ref, 5));
    expectRefused(bench.host, "ERR_NETMEM_REF_UNDERFLOW", () => pool.fragmentNetmem(ref, 2));
  });

  test("2.5 dropping the pool's own page reference is refused", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const ref = take(pool);
    expectRefused(bench.host, "ERR_NETMEM_POOL_PAGE_FREED", () => putNetmem(bench.host, ref));
  });

  test("2.5 the same fragment put too often: warned about at the next page, and the page stays listed as outside", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const { ref } = takeFrag(pool, 2048);
    pool.putFullPage(ref);
    pool.putFullPage(ref);
    const free = freePages(bench);
    expect(takeFrag(pool, 4096).ref).not.toBe(ref);
    expect(codesOf(bench)).toEqual(["WARN_NETMEM_FRAG_OVERPUT"]);
    expect(pool.outside()).toContain(ref);
    expect(freePages(bench)).toBe(free);
    checkPoolInvariants(pool);
  });

  test("2.14 getDmaAddr of a buffer that is not the pool's is 0", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const blocks = Array.from({ length: 4 }, () => bench.host.pages.allocPages(3));
    for (const block of blocks) if (block !== 0) returnNetmem(bench.host, block);
    for (const block of blocks) expect(pool.getDmaAddr(block as NetmemRef)).toBe(0);
  });
});

describe("providers that break their contract", () => {
  const setUp = (): { bench: Bench; provider: FakeNiovProvider; pool: PagePool } => {
    const bench = makeBench();
    const provider = new FakeNiovProvider({ host: bench.host, count: 200 });
    return { bench, provider, pool: makePool(bench, providerParams(provider)) };
  };

  /** Everything of the provider is either with it or in the pool's books, and the pool still works. */
  const expectUsable = (provider: FakeNiovProvider, pool: PagePool): void => {
    checkPoolInvariants(pool);
    const refs = takeMany(pool, 200);
    expect(new Set(refs).size).toBe(200);
    expect(pool.allocNetmem()).toBe(0);
    for (const ref of refs) pool.putFullPage(ref);
    expect(pool.destroy()).toBe(true);
    expect(provider.free).toHaveLength(200);
    expect(provider.calls).toEqual(["init", "destroy"]);
  };

  test.each([65, 1000, 2 ** 31])("3.1 %i buffers of 64: coded error, what it wrote is in the pool", (claim) => {
    const { provider, pool } = setUp();
    const honest = provider.allocNetmems.bind(provider);
    provider.allocNetmems = (p, out, max) => (honest(p, out, max), claim);
    const error = expectCode("ERR_NETMEM_PROVIDER_GARBAGE", () => pool.allocNetmem());
    expect(error).toMatchObject({ errno: "EFAULT", param: "provider", value: claim });
    provider.allocNetmems = honest;
    expectUsable(provider, pool);
  });

  test.each([-1, 1.5, Number.NaN, "2", undefined])("3.1 %s buffers: coded error", (claim) => {
    const { provider, pool } = setUp();
    const honest = provider.allocNetmems.bind(provider);
    provider.allocNetmems = () => claim as number;
    expectCode("ERR_NETMEM_PROVIDER_GARBAGE", () => pool.allocNetmem());
    provider.allocNetmems = honest;
    expectUsable(provider, pool);
  });

  test("3.1 a reference that is none, twice, out, a stranger's or free memory: coded error, the good ones are kept", () => {
    const { bench, provider, pool } = setUp();
    const out = take(pool);
    const strange = new FakeNiovProvider({ host: bench.host, count: 2 });
    const stray = bench.host.pages.allocPages(0) as NetmemRef;
    returnNetmem(bench.host, stray);
    const freePage = makeRef(bench.host.layout.pageCount - 1, 0, 0);
    const stale = asNetmemRef(provider.free[0]! ^ GEN_ONE);
    for (const ref of takeMany(pool, 63)) pool.recycleDirect(ref);
    const honest = provider.allocNetmems.bind(provider);
    for (const bad of [0, -5, 0x3fffffff, out, strange.free[0]!, freePage, stray, stale]) {
      takeMany(pool, pool.i32[pool.at]!).forEach((ref) => pool.putFullPage(ref));
      while (pool.ring.count > 0) takeMany(pool, pool.i32[pool.at]! + 1);
      provider.allocNetmems = (p, refs, max) => {
        const n = honest(p, refs, Math.min(max, 3));
        refs[n] = bad;
        return n + 1;
      };
      const held = pool.outside(400);
      takeMany(pool, pool.i32[pool.at]!);
      const error = expectCode("ERR_NETMEM_PROVIDER_GARBAGE", () => pool.allocNetmem());
      expect(error).toMatchObject({ errno: "EFAULT", value: bad });
      checkPoolInvariants(pool);
      provider.allocNetmems = honest;
      for (const ref of pool.outside(400)) pool.recycleDirect(ref);
      expect(held.length).toBeGreaterThan(0);
    }
    expectUsable(provider, pool);
  });

  test("3.1 allocBulk: an error in the middle puts back what it had taken", () => {
    const { provider, pool } = setUp();
    pool.recycleDirect(take(pool));
    const honest = provider.allocNetmems.bind(provider);
    provider.allocNetmems = () => -1;
    expectCode("ERR_NETMEM_PROVIDER_GARBAGE", () => pool.allocBulk(new Int32Array(100), 100));
    expect(pool.outside()).toEqual([]);
    provider.allocNetmems = honest;
    expectUsable(provider, pool);
  });

  test("3.1 a release that throws, or calls a net_iov a page: a warning, and the pool goes on to its end", () => {
    const { bench, provider, pool } = setUp();
    const refs = takeMany(pool, 4);
    pool.destroy();
    bench.warnings.length = 0;
    const honest = provider.releaseNetmem.bind(provider);
    provider.releaseNetmem = (p, ref) => {
      honest(p, ref);
      if (ref >>> 21 === 2) return true;
      throw new Error("broken");
    };
    for (const ref of refs) pool.putFullPage(ref);
    bench.clock.advance(1000);
    expect(pool.freed).toBe(true);
    expect(codesOf(bench)).toEqual(Array.from({ length: 4 }, () => "WARN_NETMEM_PROVIDER_RELEASE"));
    expect(provider.free).toHaveLength(200);
    provider.releaseNetmem = honest;
    const next = makePool(bench, providerParams(provider));
    expect(new Set(takeMany(next, 200)).size).toBe(200);
  });

  test("3.1 a provider that throws while allocating: its error comes out, the pool is as before", () => {
    const { bench, provider, pool } = setUp();
    const honest = provider.allocNetmems.bind(provider);
    provider.allocNetmems = () => {
      throw new Error("broken");
    };
    const free = freePages(bench);
    expect(() => pool.allocNetmem()).toThrow("broken");
    expect(() => pool.allocFrag(100)).toThrow("broken");
    expect([pool.inflight(), freePages(bench)]).toEqual([0, free]);
    provider.allocNetmems = honest;
    expectUsable(provider, pool);
  });
});
