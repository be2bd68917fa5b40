import { getNetmem, IDX_MASK, metaState, type NetmemRef, NetmemState, pageRefCount, putNetmem } from "@netmem/core";
import { describe, expect, test } from "vitest";
import { checkPoolInvariants } from "../src/index.ts";
import { FakeDmaDevice } from "./fake-dma-device.ts";
import { FakeNiovProvider, providerParams } from "./fake-niov-provider.ts";
import { books, changes, enterPoll, freePages, makeBench, makePool, take, takeMany } from "./fixture.ts";
import { PlainProvider } from "./plain-provider.ts";
import { StashProvider } from "./stash-provider.ts";

const dmaColumn = (host: { i32: Int32Array; dmaAt: number }, ref: NetmemRef): number =>
  host.i32[host.dmaAt + ((ref >>> 1) & IDX_MASK)]!;

describe("what a pool does around a provider", () => {
  test("#158 release_netmem false: the buffer stays with the provider, marks untouched; rel + 1", () => {
    const bench = makeBench({ dma: new FakeDmaDevice() });
    const { host } = bench;
    const provider = new StashProvider(host, 100);
    host.providers.register(provider);
    const pool = makePool(bench, { ...providerParams(provider), poolSize: 1 });
    const [first, second] = takeMany(pool, 2);
    pool.put(first!, -1, false);
    const free = freePages(bench);
    const address = dmaColumn(host, second!);
    expect(changes(pool, () => pool.put(second!, -1, false))).toEqual({ ringFull: 1, rel: 1 });
    expect([freePages(bench), dmaColumn(host, second!), pageRefCount(host, second!)]).toEqual([free, address, 1]);
    expect(metaState(host.i32[(second! >>> 1) & IDX_MASK]!)).toBe(NetmemState.Free);
    expect(pool.getDmaAddr(second!)).toBe(0);
  });

  test("#158 release_netmem true: the core clears the marks and gives the page to the page allocator; rel + 1", () => {
    const bench = makeBench({ dma: new FakeDmaDevice() });
    const { host } = bench;
    const provider = new PlainProvider(host);
    host.providers.register(provider);
    const pool = makePool(bench, { ...providerParams(provider), poolSize: 1 });
    const [first, second] = takeMany(pool, 2);
    pool.put(first!, -1, false);
    const free = freePages(bench);
    expect(changes(pool, () => pool.put(second!, -1, false))).toEqual({ ringFull: 1, rel: 1 });
    expect([freePages(bench), dmaColumn(host, second!)]).toEqual([free + 1, 0]);
  });

  test("#158 a held page goes to the provider as it is; its reference stays good for its holder", () => {
    const bench = makeBench({ dma: new FakeDmaDevice() });
    const { host } = bench;
    const provider = new StashProvider(host, 100);
    host.providers.register(provider);
    const pool = makePool(bench, providerParams(provider));
    const ref = take(pool);
    getNetmem(host, ref);
    expect(changes(pool, () => pool.putFullPage(ref))).toEqual({ releasedRefcnt: 1, rel: 1 });
    expect(pageRefCount(host, ref)).toBe(2);
    putNetmem(host, ref);
    expect(pageRefCount(host, ref)).toBe(1);
    checkPoolInvariants(pool);
  });

  test("3.1 the provider is asked when cache and ring are empty, for a refill; core bumps no statistics", () => {
    const bench = makeBench();
    const provider = new FakeNiovProvider({ host: bench.host, count: 200 });
    const asked: number[] = [];
    const alloc = provider.allocNetmems.bind(provider);
    provider.allocNetmems = (pool, out, max) => {
      asked.push(max);
      return alloc(pool, out, max);
    };
    const pool = makePool(bench, providerParams(provider));
    enterPoll(bench);
    expect(changes(pool, () => void take(pool))).toEqual({ empty: 1, hold: 64, inCache: 63 });
    expect(changes(pool, () => void takeMany(pool, 63))).toEqual({ fast: 63, inCache: -63 });
    expect(asked).toEqual([64]);
    const ref = take(pool);
    pool.recycleDirect(ref);
    for (let n = 0; n < 1000; n++) pool.recycleDirect(take(pool));
    expect(asked).toEqual([64, 64]);
    expect(books(pool)).toMatchObject({ slow: 0, slowHighOrder: 0 });
  });

  test("3.1 what a provider cannot give is 0, and asked again next time", () => {
    const bench = makeBench();
    const provider = new FakeNiovProvider({ host: bench.host, count: 10 });
    const pool = makePool(bench, providerParams(provider));
    const refs = takeMany(pool, 10);
    expect([pool.allocNetmem(), pool.allocNetmem(), books(pool)["empty"]]).toEqual([0, 0, 3]);
    pool.putFullPage(refs[0]!);
    expect(take(pool) >>> 0).toBeGreaterThan(0);
  });
});
