import type { MemoryProviderOps, NetmemRef, PoolHandle } from "@netmem/core";
import { Prng } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import { AllocationLog, LogKind, replayLog, withLimit, withLog, withStats } from "../src/index.ts";
import { expectCode, FakeProvider, makeBench, TestPool } from "./fixture.ts";

const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);

/** Random traffic of two pools on a provider with `count` buffers; ends with some out, unless `cleanUp`. */
function record(count: number, cleanUp: boolean): AllocationLog {
  const { host } = makeBench();
  const log = new AllocationLog();
  const provider = withLog(new FakeProvider(host, count), log);
  const prng = new Prng(seed);
  const pools = [new TestPool(host, provider), new TestPool(host, provider)];
  const held: { readonly pool: TestPool; readonly ref: NetmemRef }[] = [];
  for (let step = 0; step < 300; step++) {
    const pool = prng.pick(pools);
    if (prng.bool(0.5)) for (const ref of pool.take(prng.range(1, 64))) held.push({ pool, ref });
    else
      for (let n = prng.range(1, 40); n > 0 && held.length > 0; n--) {
        const at = prng.below(held.length);
        const [one] = held.splice(at, 1);
        one!.pool.give([one!.ref]);
      }
  }
  if (!cleanUp) {
    // Whatever the seed: something is out at the end.
    if (held.length === 0) pools[0]!.take(5);
    return log;
  }
  for (const { pool, ref } of held) pool.give([ref]);
  for (const pool of pools) pool.destroy();
  return log;
}

describe("a recorded trace on another provider", () => {
  console.log(`allocation log: NETMEM_SEED=${seed}`);

  test("1.4-13 the same sequence of successes on a provider of that size, and under a limit", () => {
    const log = record(150, true);
    const { host } = makeBench();
    for (const provider of [new FakeProvider(host, 150, "same"), withLimit(new FakeProvider(host, 300, "big"), 150)]) {
      const counted = withStats(provider);
      const report = replayLog(host, log, counted);
      expect(report).toMatchObject({ shorter: 0, longer: 0, firstDifference: -1, leftBuffers: 0, leftPools: 0 });
      expect([report.granted, report.recorded]).toEqual([report.recorded, counted.stats().buffers.total]);
      expect(counted.stats()).toMatchObject({ buffers: { current: 0 }, pools: 0 });
    }
  });

  test("a smaller provider falls short, a larger one would have given more; all is home afterwards", () => {
    const log = record(150, true);
    const { host } = makeBench();
    const small = new FakeProvider(host, 100, "small");
    const less = replayLog(host, log, small);
    expect([less.shorter > 0, less.granted < less.recorded, less.firstDifference >= 0]).toEqual([true, true, true]);
    expect([small.free.length, new Set(small.free).size]).toEqual([100, 100]);
    const large = new FakeProvider(host, 400, "large");
    const more = replayLog(host, log, large);
    expect([more.longer > 0, more.shorter, more.granted]).toEqual([true, 0, more.recorded]);
    expect(large.free.length).toBe(400);
  });

  test("what the log did not bring home goes home at its end", () => {
    const log = record(150, false);
    const { host } = makeBench();
    const provider = new FakeProvider(host, 150);
    const report = replayLog(host, log, provider);
    expect([report.leftPools, report.leftBuffers > 0, provider.free.length]).toEqual([2, true, 150]);
    expect(provider.calls.filter((call) => call === "destroy").length).toBe(2);
  });

  test("a provider that refuses a pool: its records are left out", () => {
    const log = record(150, true);
    const { host } = makeBench();
    const provider = new FakeProvider(host, 150);
    provider.failing = { hook: "init", error: new RangeError("no") };
    const report = replayLog(host, log, provider);
    expect([report.refusedPools, report.granted > 0, report.shorter, provider.free.length]).toEqual([1, true, 0, 150]);
  });

  test("plain pages, which the page allocator takes back", () => {
    const log = record(150, true);
    const { host } = makeBench();
    const start = host.pages.freePageCount();
    const pages: MemoryProviderOps = {
      name: "pages",
      opsVersion: 1,
      init: () => {},
      destroy: () => {},
      allocNetmems: (_pool: PoolHandle, out: Int32Array, max: number) => host.pages.allocBulk(out, max),
      releaseNetmem: () => true,
      owns: () => false,
    };
    expect(replayLog(host, log, pages).granted).toBeGreaterThan(0);
    expect(host.pages.freePageCount()).toBe(start);
  });
});

describe("the log", () => {
  test("words out and in again: the same records", () => {
    const log = record(150, true);
    const copy = AllocationLog.fromWords(log.toWords());
    expect([...copy.records()]).toEqual([...log.records()]);
    const kinds = [...log.records()].map(({ kind }) => kind);
    expect([kinds.filter((kind) => kind === LogKind.Init).length, kinds.at(-1)]).toEqual([2, LogKind.Destroy]);
  });

  test("it stops when it is full, and says so", () => {
    const { host } = makeBench();
    const log = new AllocationLog({ maxWords: 16 });
    const pool = new TestPool(host, withLog(new FakeProvider(host, 50), log));
    for (let n = 0; n < 10; n++) pool.give(pool.take(1));
    expect([log.truncated, log.wordCount <= 16]).toEqual([true, true]);
    const other = new FakeProvider(host, 50, "other");
    replayLog(host, AllocationLog.fromWords(log.toWords()), other);
    expect(other.free.length).toBe(50);
  });

  test("words from elsewhere are refused", () => {
    const good = record(20, true).toWords();
    const change = (at: number, value: number): Int32Array => {
      const words = good.slice();
      words[at] = value;
      return words;
    };
    const bad = [new Int32Array(0), good.slice(1), good.slice(0, -1), change(1, 2), change(3, 7), change(3, 0)];
    for (const words of bad) expectCode("ERR_NETMEM_INVALID_PARAM", () => AllocationLog.fromWords(words));
    expectCode("ERR_NETMEM_INVALID_PARAM", () => new AllocationLog({ maxWords: 3 }));
  });
});
