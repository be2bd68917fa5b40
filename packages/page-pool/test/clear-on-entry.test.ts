import { type Host, idxOf, type NetmemRef, type ReadableRef } from "@netmem/core";
import { describe, expect, test } from "vitest";
import { PagePoolFlag } from "../src/index.ts";
import { FakeDmaDevice } from "./fake-dma-device.ts";
import { FakeNiovProvider, providerParams } from "./fake-niov-provider.ts";
import { type Bench, makeBench, makePool, take, takeMany } from "./fixture.ts";

const DIRT = 0xee;

/** A host whose free pages are full of somebody else's bytes. */
function dirtyBench(params: Parameters<typeof makeBench>[0] = {}): Bench {
  const bench = makeBench(params);
  const { host } = bench;
  host.u8.fill(DIRT, host.layout.firstPageIdx << host.pageShift);
  return bench;
}

function isClear(host: Host, ref: NetmemRef, bytes: number): boolean {
  const from = host.offsetOf(ref as ReadableRef);
  return host.u8.subarray(from, from + bytes).every((byte) => byte === 0);
}

describe("8.10 clearOnEntry", () => {
  test.each([0, 2])("order %i: initCallback and the first user see zeros, all of them", (order) => {
    const bench = dirtyBench();
    const bytes = 4096 << order;
    const seen: boolean[] = [];
    const initCallback = (ref: NetmemRef): unknown => seen.push(isClear(bench.host, ref, bytes));
    const pool = makePool(bench, { clearOnEntry: true, order, initCallback });
    const refs = takeMany(pool, 3);
    expect(refs.every((ref) => isClear(bench.host, ref, bytes))).toBe(true);
    expect([seen.length, seen.every(Boolean)]).toEqual([order === 0 ? 64 : 3, true]);
    // The neighbour's bytes are left alone.
    expect(bench.host.u8.at(-1)).toBe(DIRT);
    expect(isClear(bench.host, take(makePool(bench)), 1)).toBe(false);
  });

  test("8.10 clearOnEntry: not again when a buffer is recycled; again when it comes back from the allocator", () => {
    const { host, ...bench } = dirtyBench();
    const pool = makePool({ host, ...bench }, { clearOnEntry: true });
    const ref = take(pool);
    host.u8[host.offsetOf(ref as ReadableRef)] = 7;
    pool.recycleDirect(ref);
    const again = take(pool);
    expect([idxOf(again), host.u8[host.offsetOf(again as ReadableRef)]]).toEqual([idxOf(ref), 7]);
    pool.recycleDirect(again);
    pool.destroy();
    const other = makePool({ host, ...bench }, { clearOnEntry: true });
    expect(takeMany(other, 64).every((page) => isClear(host, page, 4096))).toBe(true);
  });

  test("8.10 clearOnEntry: before the device sees it", () => {
    const dma = new FakeDmaDevice();
    const bench = dirtyBench({ dma });
    const seen: boolean[] = [];
    const map = dma.map.bind(dma);
    dma.map = (ref, order, dir) => {
      seen.push(isClear(bench.host, ref, 4096));
      return map(ref, order, dir);
    };
    take(makePool(bench, { flags: PagePoolFlag.DmaMap, clearOnEntry: true }));
    expect([seen.length, seen.every(Boolean)]).toEqual([64, true]);
  });

  test("8.10 clearOnEntry: readable net_iovs as well, unreadable ones are nobody's business", () => {
    const bench = dirtyBench();
    const readable = new FakeNiovProvider({ host: bench.host, count: 8, readable: true });
    bench.host.u8.fill(DIRT, bench.host.layout.firstPageIdx << bench.host.pageShift);
    const ref = take(makePool(bench, { ...providerParams(readable), clearOnEntry: true }));
    expect(isClear(bench.host, ref, 4096)).toBe(true);
    const secret = new FakeNiovProvider({ host: bench.host, count: 8 });
    expect(take(makePool(bench, { ...providerParams(secret), clearOnEntry: true }))).not.toBe(0);
  });

  test("8.10 clearOnEntry: off by default, and a boolean", () => {
    const bench = dirtyBench();
    expect(isClear(bench.host, take(makePool(bench)), 1)).toBe(false);
    expect(() => makePool(bench, { clearOnEntry: 1 as never })).toThrow(/clearOnEntry/);
  });
});
