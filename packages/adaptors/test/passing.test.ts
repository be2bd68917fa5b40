import type { MemoryProviderOps } from "@netmem/core";
import { FaultInjector } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import {
  AllocationLog,
  createBudget,
  withBudget,
  withFallback,
  withFault,
  withLimit,
  withLog,
  withStats,
  withTrace,
} from "../src/index.ts";
import { expectCode, FakeProvider, infoOf, makeBench, TestPool } from "./fixture.ts";

describe("withTrace", () => {
  test("shows every call after upstream's", () => {
    const { host } = makeBench();
    const upstream = new FakeProvider(host, 5);
    const seen: unknown[] = [];
    const traced = withTrace(upstream, {
      init: (pool) => seen.push(["init", pool.id]),
      destroy: (pool) => seen.push(["destroy", pool.id]),
      alloc: (_pool, refs, count, max) => seen.push(["alloc", [...refs.subarray(0, count)], max]),
      release: (_pool, ref, put) => seen.push(["release", ref >>> 1, put]),
    });
    const pool = new TestPool(host, traced);
    const refs = pool.take(3);
    pool.give(refs.slice(0, 1));
    pool.destroy();
    const home = (refs[0]! + (1 << 21)) >>> 1;
    expect(seen).toEqual([
      ["init", 1],
      ["alloc", refs, 3],
      ["release", home, false],
      ["destroy", 1],
    ]);
  });

  test("a trace that throws is reported, and nothing is lost", () => {
    const { host, warnings } = makeBench();
    const upstream = new FakeProvider(host, 5);
    const boom = (): never => {
      throw new Error("boom");
    };
    const traced = withTrace(upstream, { init: boom, destroy: boom, alloc: boom, release: boom });
    const pool = new TestPool(host, traced);
    pool.give(pool.take(5));
    pool.destroy();
    expect(upstream.free.length).toBe(5);
    expect(new Set(warnings.map(({ code }) => code))).toEqual(new Set(["WARN_NETMEM_TRACE_FAILED"]));
    expect(warnings.length).toBe(1 + 1 + 5 + 1);
  });
});

describe("withFault", () => {
  test("the kit's injector plugs in: init throws, refills come empty or short", () => {
    const { host } = makeBench();
    const upstream = new FakeProvider(host, 50);
    const faults = new FaultInjector();
    const faulty = withFault(upstream, faults);
    faults.failNth("provider.init", 1);
    expect(expectCode("ERR_NETMEM_FAULT_INJECTED", () => new TestPool(host, faulty))).toMatchObject({ errno: "EIO" });
    expect(upstream.calls).toEqual([]);
    const pool = new TestPool(host, faulty);
    faults.failNth("provider.alloc", 2);
    expect([pool.take(8).length, pool.take(8).length, pool.take(8).length]).toEqual([8, 0, 8]);
    faults.limitBulk("provider.alloc", 3);
    expect([pool.take(8).length, faulty.injected, infoOf(faulty)["faults-injected"]]).toEqual([3, 3, 3]);
  });
});

describe("withFallback", () => {
  const setUp = () => {
    const { host, warnings } = makeBench();
    const [first, second] = [new FakeProvider(host, 10, "first"), new FakeProvider(host, 10, "second")];
    return { host, warnings, first, second, both: withFallback(first, second) };
  };

  test("the second steps in when the first has nothing; the reason is counted", () => {
    const { host, both, second } = setUp();
    const pool = new TestPool(host, both);
    expect(pool.take(8).every((ref) => !second.owns(ref))).toBe(true);
    expect(pool.take(8).length).toBe(2);
    expect(pool.take(8).every((ref) => second.owns(ref))).toBe(true);
    expect([pool.take(8).length, pool.take(8).length]).toEqual([2, 0]);
    expect(both.stats()).toMatchObject({ exhausted: 3, failed: 0, empty: 1, fallbackOut: 10, fallbackTotal: 10 });
  });

  test("every buffer goes home to its own", () => {
    const { host, both, first, second } = setUp();
    const pool = new TestPool(host, both);
    const refs = [...pool.take(10), ...pool.take(10)];
    pool.give(refs.toReversed());
    expect([first.free.length, second.free.length, both.stats().fallbackOut]).toEqual([10, 10, 0]);
    expect(first.free.every((ref) => first.owns(ref)) && second.free.every((ref) => second.owns(ref))).toBe(true);
  });

  test("a first that throws is stepped in for, and its error kept", () => {
    const { host, both, first, second } = setUp();
    const pool = new TestPool(host, both);
    first.failing = { hook: "alloc", error: new RangeError("boom") };
    expect(pool.take(3).every((ref) => second.owns(ref))).toBe(true);
    expect(both.stats()).toMatchObject({ exhausted: 0, failed: 1, fallbackOut: 3 });
    expect(both.stats().lastError).toMatchObject({ message: "boom" });
    second.failing = { hook: "alloc", error: new RangeError("both") };
    first.failing = { hook: "alloc", error: new RangeError("boom") };
    expect(() => pool.take(3)).toThrow("both");
    expect(both.stats().empty).toBe(1);
  });

  test("a second that refuses the pool undoes the first's init", () => {
    const { host, both, first, second } = setUp();
    second.failing = { hook: "init", error: new RangeError("no") };
    expect(() => new TestPool(host, both)).toThrow("no");
    expect([first.calls, second.calls]).toEqual([["init", "destroy"], ["init"]]);
  });

  test("providers that differ in DMA syncs are refused", () => {
    const { host, both, first, second } = setUp();
    first.init = (pool) => {
      first.calls.push("init");
      pool.dmaSync = false;
    };
    expect(expectCode("ERR_NETMEM_FALLBACK_MISMATCH", () => new TestPool(host, both))).toMatchObject({
      errno: "EINVAL",
    });
    expect([first.calls, second.calls]).toEqual([
      ["init", "destroy"],
      ["init", "destroy"],
    ]);
    second.init = (pool) => first.init(pool);
    expect(new TestPool(host, both).pool.dmaSync).toBe(false);
  });

  test("one that throws at the end does not keep the other from hearing of it", () => {
    const { host, both, first, second } = setUp();
    const pool = new TestPool(host, both);
    first.failing = { hook: "destroy", error: new RangeError("boom") };
    expect(() => pool.destroy()).toThrow("boom");
    first.failing = { hook: "uninstall", error: new RangeError("boom") };
    expect(() => both.uninstall({ ifindex: 1, queueIdx: 0, provider: both })).toThrow("boom");
    expect(second.calls).toEqual(["init", "destroy", "uninstall"]);
  });

  test("both may describe themselves alike", () => {
    const { both } = setUp();
    expect(infoOf(both)).toEqual({
      fake: "first",
      "fallback.fake": "second",
      "fallback-exhausted": 0,
      "fallback-failed": 0,
      "fallback-out": 0,
    });
  });
});

test("what an adaptor says of its buffers is what they are", () => {
  const { host } = makeBench();
  const dark = new FakeProvider(host, 5);
  const light = Object.assign(new FakeProvider(host, 5), { isReadable: true });
  const wrapAll = (upstream: FakeProvider): MemoryProviderOps[] => [
    withLimit(upstream, 1),
    withStats(upstream),
    withTrace(upstream, {}),
    withFault(upstream, new FaultInjector()),
    withBudget(upstream, createBudget({ pages: 1 }).tenant({ name: "t" })),
    withLog(upstream, new AllocationLog()),
  ];
  expect(wrapAll(dark).map(({ isReadable }) => isReadable)).toEqual(Array.from({ length: 6 }, () => false));
  expect(wrapAll(light).map(({ isReadable }) => isReadable)).toEqual(Array.from({ length: 6 }, () => true));
  expect([withFallback(light, dark), withFallback(light, light)].map((both) => both.isReadable)).toEqual([false, true]);
});

test("adaptors stack: each sees what passes it, names say how", () => {
  const { host } = makeBench();
  const [first, second] = [new FakeProvider(host, 40, "a"), new FakeProvider(host, 40, "b")];
  const inner = withStats(withLimit(first, 10));
  const outer = withStats(withFallback(inner, second));
  const pool = new TestPool(host, outer);
  pool.give([...pool.take(8), ...pool.take(8), ...pool.take(8)]);
  expect(outer.name).toBe("stats(fallback(stats(limit(a)), b))");
  expect([inner.stats().buffers.total, outer.stats().buffers.total]).toEqual([10, 18]);
  expect([inner.stats().buffers.current, outer.stats().buffers.current]).toEqual([0, 0]);
});
