import { describe, expect, test } from "vitest";
import {
  AllocationLog,
  createBudget,
  LogKind,
  withBudget,
  withFallback,
  withLimit,
  withLog,
  withStats,
} from "../src/index.ts";
import { ReplayPool } from "../src/replay-pool.ts";
import { expectCode, FakeProvider, infoOf, makeBench, TestPool } from "./fixture.ts";

function setUp(count = 100) {
  const { host } = makeBench();
  return { host, upstream: new FakeProvider(host, count) };
}

describe("withLimit", () => {
  test("below, exactly at and beyond the limit; room again after returns", () => {
    const { host, upstream } = setUp();
    const limited = withLimit(upstream, 10);
    const pool = new TestPool(host, limited);
    const first = pool.take(4);
    expect([first.length, limited.out, limited.limited]).toEqual([4, 4, 0]);
    expect([pool.take(6).length, limited.out, limited.limited]).toEqual([6, 10, 0]);
    expect([pool.take(1).length, limited.out, limited.limited]).toEqual([0, 10, 1]);
    expect(upstream.calls.filter((call) => call.startsWith("alloc"))).toEqual(["alloc 4", "alloc 6"]);
    pool.give(first.slice(0, 3));
    expect([limited.out, pool.take(64).length, limited.limited]).toEqual([7, 3, 2]);
    expect(infoOf(limited)).toEqual({ fake: "fake", limit: 10, "limit-out": 10 });
  });

  test("upstream that has less or throws: only what came is counted", () => {
    const { host, upstream } = setUp(5);
    const limited = withLimit(upstream, 10);
    const pool = new TestPool(host, limited);
    upstream.failing = { hook: "alloc", error: new RangeError("boom") };
    expect(() => pool.take(8)).toThrow("boom");
    expect([limited.out, pool.take(8).length, limited.out]).toEqual([0, 5, 5]);
  });

  test("a count that is none is refused, and the books stay right", () => {
    const { host, upstream } = setUp();
    const limited = withLimit(upstream, 10);
    const pool = new TestPool(host, limited);
    for (const lie of [-1, 0.5, Number.NaN, 65]) {
      upstream.lie = lie;
      expect(expectCode("ERR_NETMEM_PROVIDER_GARBAGE", () => pool.take(4))).toMatchObject({ errno: "EFAULT" });
      expect(limited.out).toBe(0);
    }
  });

  test("all pools together, and a limit that moves", () => {
    const { host, upstream } = setUp();
    const limited = withLimit(upstream, 10);
    const [a, b] = [new TestPool(host, limited), new TestPool(host, limited)];
    const refs = a.take(8);
    expect(b.take(8).length).toBe(2);
    limited.setLimit(5);
    expect(b.take(1).length).toBe(0);
    a.give(refs);
    expect([limited.out, b.take(8).length]).toEqual([2, 3]);
    for (const bad of [-1, 0.5, 2 ** 20 + 1]) expectCode("ERR_NETMEM_INVALID_PARAM", () => withLimit(upstream, bad));
  });
});

describe("withStats", () => {
  test("calls and buffers: now, at most, altogether", () => {
    const { host, upstream } = setUp(20);
    const counted = withStats(upstream);
    const pool = new TestPool(host, counted);
    const refs = pool.take(15);
    pool.give(refs.slice(0, 10));
    pool.take(64);
    pool.take(1);
    upstream.failing = { hook: "alloc", error: new RangeError("boom") };
    expect(() => pool.take(1)).toThrow("boom");
    expect(counted.stats()).toEqual({
      buffers: { current: 20, peak: 20, total: 30 },
      allocCalls: 4,
      shortCalls: 1,
      emptyCalls: 1,
      failedCalls: 1,
      released: 10,
      freed: 0,
      pools: 1,
    });
    expect(infoOf(counted)).toEqual({ fake: "fake", "buffers-out": 20, "buffers-peak": 20, "buffers-total": 30 });
  });

  test("scopes nest; an inner one that sees old buffers come home goes below 0", () => {
    const { host, upstream } = setUp();
    const counted = withStats(upstream);
    const pool = new TestPool(host, counted);
    const old = pool.take(10);
    counted.push();
    pool.give(old.slice(0, 4));
    counted.push();
    const inner = pool.take(7);
    pool.give(inner);
    expect(counted.stats().buffers).toEqual({ current: 6, peak: 13, total: 17 });
    expect(counted.pop()).toEqual({ current: 0, peak: 7, total: 7 });
    expect(counted.pop()).toEqual({ current: -4, peak: 3, total: 7 });
    expect(counted.stats().buffers).toEqual({ current: 6, peak: 13, total: 17 });
    expect(expectCode("ERR_NETMEM_NO_SCOPE", () => counted.pop())).toMatchObject({ errno: "EINVAL" });
    expect(counted.stats().buffers.total).toBe(17);
  });
});

describe("withBudget", () => {
  test("8.6 below its soft mark a tenant finds room, however much the others take", () => {
    const { host, upstream } = setUp();
    const budget = createBudget({ pages: 60 });
    const [web, dns] = [budget.tenant({ name: "web", softPages: 10 }), budget.tenant({ name: "dns", softPages: 20 })];
    const greedy = new TestPool(host, withBudget(upstream, web));
    const other = new TestPool(host, withBudget(upstream, dns));
    // 60 less the 20 that are promised.
    expect([greedy.take(64).length, greedy.take(1).length, web.overSoft]).toEqual([40, 0, 2]);
    expect([other.take(64).length, dns.overSoft, budget.usedPages]).toEqual([20, 1, 60]);
  });

  test("what is promised and used counts once: the rest may be borrowed", () => {
    const { host, upstream } = setUp();
    const budget = createBudget({ pages: 60 });
    const [a, b] = [budget.tenant({ name: "a", softPages: 20 }), budget.tenant({ name: "b", softPages: 20 })];
    const [poolA, poolB] = [new TestPool(host, withBudget(upstream, a)), new TestPool(host, withBudget(upstream, b))];
    const borrowed = poolB.take(30);
    expect([borrowed.length, poolA.take(64).length]).toEqual([30, 30]);
    poolB.give(borrowed);
    expect([b.usedPages, poolA.take(64).length]).toEqual([0, 10]);
  });

  test("never above the hard mark, over all its pools and providers", () => {
    const { host, upstream } = setUp();
    const second = new FakeProvider(host, 50, "second");
    const tenant = createBudget({ pages: 100 }).tenant({ name: "t", hardPages: 25 });
    const a = new TestPool(host, withBudget(upstream, tenant));
    const b = new TestPool(host, withBudget(second, tenant));
    const refs = a.take(20);
    expect([b.take(20).length, a.take(1).length, tenant.overHard, tenant.overSoft]).toEqual([5, 0, 2, 0]);
    a.give(refs);
    expect([tenant.usedPages, b.take(64).length]).toEqual([5, 20]);
    expect(infoOf(withBudget(upstream, tenant))).toMatchObject({ "budget-tenant": "t", "budget-hard-pages": 25 });
  });

  test("blocks count as their pages", () => {
    const { host, upstream } = setUp();
    const tenant = createBudget({ pages: 100 }).tenant({ name: "t", hardPages: 30 });
    const pool = new TestPool(host, withBudget(upstream, tenant), 3);
    expect([pool.take(64).length, tenant.usedPages]).toEqual([3, 24]);
  });

  test("a late promise is kept as borrowed pages come home; the budget itself is never exceeded", () => {
    const { host, upstream } = setUp();
    const budget = createBudget({ pages: 40 });
    const early = new TestPool(host, withBudget(upstream, budget.tenant({ name: "early" })));
    const refs = early.take(64);
    const late = new TestPool(host, withBudget(upstream, budget.tenant({ name: "late", softPages: 15 })));
    expect([refs.length, late.take(5).length, budget.usedPages]).toEqual([40, 0, 40]);
    early.give(refs.slice(0, 10));
    expect([early.take(1).length, late.take(64).length, budget.usedPages]).toEqual([0, 10, 40]);
  });

  test("nonsense and promises beyond the budget are refused", () => {
    const budget = createBudget({ pages: 10 });
    budget.tenant({ name: "a", softPages: 6 });
    expectCode("ERR_NETMEM_INVALID_PARAM", () => budget.tenant({ name: "b", softPages: 5 }));
    expectCode("ERR_NETMEM_INVALID_PARAM", () => budget.tenant({ name: "b", hardPages: 11 }));
    expectCode("ERR_NETMEM_INVALID_PARAM", () => budget.tenant({ name: "b", softPages: 3, hardPages: 2 }));
    expectCode("ERR_NETMEM_INVALID_PARAM", () => createBudget({ pages: 0 }));
    expect(budget.tenant({ name: "b", softPages: 4 }).softPages).toBe(4);
  });
});

test("a pool of a thread that died, which was never accepted here: its buffers pass, and no book counts them", () => {
  const { host, upstream } = setUp();
  const limited = withLimit(upstream, 10);
  const tenant = createBudget({ pages: 20 }).tenant({ name: "t" });
  const counted = withStats(withBudget(limited, tenant));
  const none = new FakeProvider(host, 1, "none");
  none.free.length = 0;
  const both = withFallback(none, counted);
  const log = new AllocationLog();
  const outer = withLog(both, log);
  const pool = new TestPool(host, outer);
  const held = pool.take(6);
  const orphans = new ReplayPool(host, outer, 2, 0);
  for (const ref of new FakeProvider(host, 4, "of the dead").free) orphans.give(ref);
  outer.destroy(orphans);
  expect([limited.out, tenant.usedPages, both.stats().fallbackOut]).toEqual([6, 6, 6]);
  expect(counted.stats()).toMatchObject({ buffers: { current: 6 }, released: 4, pools: 1 });
  expect([...log.records()].map(({ kind }) => kind)).toEqual([LogKind.Init, LogKind.Alloc]);
  expect([pool.take(64).length, limited.limited]).toEqual([4, 1]);
  pool.give(held);
  pool.destroy();
  expect([limited.out, tenant.usedPages, counted.stats().pools]).toEqual([4, 4, 0]);
});
