import {
  getNetmem,
  isNetIov,
  isPage,
  type NetmemRef,
  OWN_STACK,
  pageRefCount,
  ppRefCount,
  putNetmem,
  setPfmemalloc,
  isPfmemalloc,
} from "@netmem/core";
import { describe, expect, test } from "vitest";
import { FakeNiovProvider, providerParams } from "./fake-niov-provider.ts";
import { changes, expectCode, freePages, makeBench, makePool, take } from "./fixture.ts";

const setUp = (readable: boolean) => {
  const bench = makeBench();
  const provider = new FakeNiovProvider({ host: bench.host, count: 8, readable });
  return { bench, host: bench.host, provider, pool: makePool(bench, providerParams(provider)) };
};

describe("net_iovs from a pool", () => {
  test("#152 the tag tells pages and net_iovs apart; nothing turns one into the other", () => {
    const { bench, pool } = setUp(false);
    const [iov, page] = [take(pool), take(makePool(bench))];
    expect([isNetIov(iov), isPage(iov), isNetIov(page), isPage(page)]).toEqual([true, false, false, true]);
    expectCode("ERR_NETMEM_NOT_A_PAGE", () => pool.allocPages());
  });

  test("#154 getNetmem: a net_iov's area counts it, pp_ref_count is unchanged; a page's refcount is +1", () => {
    const { bench, host, provider, pool } = setUp(false);
    const iov = take(pool);
    getNetmem(host, iov);
    expect([provider.getRefs, ppRefCount(host, iov), pageRefCount(host, iov)]).toEqual([1, 1, 1]);
    expect(changes(pool, () => pool.recycleDirect(iov))).toEqual({ cached: 1, inCache: 1 });
    expectCode("ERR_NETMEM_DOUBLE_PUT", () => putNetmem(host, iov));
    const again = take(pool);
    putNetmem(host, again);
    expect(provider.getRefs).toBe(0);
    const page = take(makePool(bench));
    getNetmem(host, page);
    expect([pageRefCount(host, page), ppRefCount(host, page)]).toEqual([2, 1]);
    putNetmem(host, page);
    expect(pageRefCount(host, page)).toBe(1);
  });

  test("#155 the reference goes through cache, ring and provider with its tag and index", () => {
    const { host, provider, pool } = setUp(false);
    for (let round = 0; round < 20; round++) {
      const iov = take(pool);
      expect(iov & 1).toBe(1);
      expect(host.areas.of((iov >>> 1) & 0xfffff)).toBe(provider.area);
      if (round % 2 === 0) pool.putFullPage(iov);
      else pool.recycleDirect(iov);
    }
    expect(pool.destroy()).toBe(true);
    expect(provider.free.map((ref) => ref & 1)).toEqual(Array.from({ length: 8 }, () => 1));
    expect(
      provider.free.every(
        (ref) => host.areas.refAt(provider.area, ((ref >>> 1) & 0xfffff) - provider.area.firstIdx) === ref,
      ),
    ).toBe(true);
  });

  test("1.1 never pfmemalloc; unreadable ones have no bytes, readable ones lie in their area", () => {
    const hidden = setUp(false);
    const iov = take(hidden.pool);
    setPfmemalloc(hidden.host, iov);
    expect(isPfmemalloc(hidden.host, iov)).toBe(false);
    expect(changes(hidden.pool, () => hidden.pool.recycleDirect(iov))).toEqual({ cached: 1, inCache: 1 });
    expect(hidden.host.isReadable(iov)).toBe(false);
    expect(expectCode("ERR_NETMEM_UNREADABLE", () => hidden.host.offsetOf(iov as never))).toMatchObject({
      errno: "EFAULT",
    });
    const open = setUp(true);
    const readable = take(open.pool);
    if (!open.host.isReadable(readable)) throw new Error("not readable");
    const n = ((readable >>> 1) & 0xfffff) - open.provider.area.firstIdx;
    expect(open.host.offsetOf(readable)).toBe(open.provider.area.baseOffset! + n * 4096);
  });
});

describe("marks", () => {
  test("#157 a page that leaves the pool loses owner, counts and DMA address", () => {
    const bench = makeBench();
    const pool = makePool(bench, { poolSize: 1 });
    const held = take(pool);
    getNetmem(bench.host, held);
    pool.fragmentNetmem(held, 3);
    for (let n = 0; n < 3; n++) pool.putFullPage(held);
    expect(bench.host.owners.describe(bench.host.i32[(held >>> 1) & 0xfffff]! >>> 13)).toBe("page_order0");
    expect([ppRefCount(bench.host, held), pageRefCount(bench.host, held), pool.getDmaAddr(held)]).toEqual([1, 1, 0]);
    expectCode("ERR_NETMEM_FOREIGN_PUT", () => pool.putFullPage(held));
    const free = freePages(bench);
    putNetmem(bench.host, held);
    expect(freePages(bench)).toBe(free + 1);
  });

  test("1.2 everything in the cache is armed with its next generation", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const ref = take(pool);
    pool.recycleDirect(ref);
    const armed = bench.host.i32[pool.at + OWN_STACK + 63]! as NetmemRef;
    expect([armed >>> 21, (armed >>> 1) & 0xfffff]).toEqual([(ref >>> 21) + 1, (ref >>> 1) & 0xfffff]);
    expect(take(pool)).toBe(armed);
  });

  test("1.2 the generation wraps after 512 lives without touching the neighbours", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const first = take(pool);
    let ref = first;
    for (let life = 1; life <= 512; life++) {
      pool.recycleDirect(ref);
      ref = take(pool);
      expect(ref >>> 21).toBe(((first >>> 21) + life) % 512);
      expect((ref >>> 1) & 0xfffff).toBe((first >>> 1) & 0xfffff);
    }
    expect(ref).toBe(first);
  });
});
