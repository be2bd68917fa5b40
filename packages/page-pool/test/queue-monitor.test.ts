import { describe, expect, test } from "vitest";
import { QueueMonitor, type QueueMonitorParams, type QueueReport } from "../src/index.ts";
import { expectCode, makeBench, makePool, take, takeMany } from "./fixture.ts";

const SHARE = 32;

function watch(params: Partial<QueueMonitorParams> = {}, debug = false) {
  const bench = makeBench();
  const pool = makePool(bench, { poolSize: SHARE, debug });
  const reports: QueueReport[] = [];
  const monitor = new QueueMonitor(pool, {
    windowMs: 100,
    windowCount: 3,
    markCount: 4,
    onChange: (report) => reports.push(report),
    ...params,
  });
  const posted = takeMany(pool, SHARE);
  return { bench, pool, monitor, reports, posted };
}

describe("8.10 standing queues", () => {
  test("8.10 a burst that drains is no standing queue, however deep and however often", () => {
    const { bench, pool, monitor, reports } = watch();
    monitor.start(10);
    for (let burst = 0; burst < 20; burst++) {
      const queue = takeMany(pool, 200);
      bench.clock.advance(230);
      for (const ref of queue) pool.putFullPage(ref);
      bench.clock.advance(20);
    }
    expect([reports, monitor.isStanding]).toEqual([[], false]);
    monitor.stop();
    expect(bench.clock.pendingCount).toBe(0);
  });

  test("8.10 a standing queue: one report with its least depth and since when; one event when it ends", () => {
    const { bench, pool, monitor, reports } = watch();
    monitor.start(10);
    bench.clock.advance(1000);
    const sinceMs = bench.clock.nowMs();
    const queue = takeMany(pool, 40);
    // It moves all the time, and never gets below 25 beyond the share.
    for (let n = 0; n < 60; n++) {
      for (const ref of queue.splice(0, 15)) pool.putFullPage(ref);
      bench.clock.advance(10);
      queue.push(...takeMany(pool, 15));
      bench.clock.advance(10);
    }
    expect(reports).toHaveLength(1);
    expect([reports[0]!.kind, reports[0]!.depth, reports[0]!.pool === pool]).toEqual(["standing", 25, true]);
    expect(Math.abs(reports[0]!.sinceMs - sinceMs)).toBeLessThanOrEqual(10);
    expect(reports[0]!.holders).toHaveLength(16);
    bench.clock.advance(5000);
    expect([reports.length, monitor.isStanding]).toEqual([1, true]);
    for (const ref of queue) pool.putFullPage(ref);
    bench.clock.advance(10);
    const { kind, depth, holders, sinceMs: since } = reports[1]!;
    expect([kind, depth, holders, since]).toEqual(["cleared", 0, [], reports[0]!.sinceMs]);
    bench.clock.advance(5000);
    expect([reports.length, monitor.isStanding]).toEqual([2, false]);
    monitor.stop();
  });

  test("8.10 the mark itself is a good queue, one more is not", () => {
    for (const [beyond, expected] of [
      [4, 0],
      [5, 1],
    ] as const) {
      const { bench, pool, monitor, reports } = watch();
      takeMany(pool, beyond);
      for (let n = 0; n <= 3; n++) {
        monitor.sample();
        bench.clock.advance(100);
      }
      expect([monitor.depthNow(), reports.length]).toEqual([beyond, expected]);
    }
  });

  test("8.10 it takes windowCount windows in a row", () => {
    const { bench, pool, monitor, reports } = watch({ windowCount: 4 });
    const queue = takeMany(pool, 20);
    for (let round = 0; round < 5; round++) {
      for (let n = 0; n < 4; n++) {
        monitor.sample();
        bench.clock.advance(100);
      }
      for (const ref of queue) pool.putFullPage(ref);
      monitor.sample();
      queue.splice(0, queue.length, ...takeMany(pool, 20));
    }
    expect(reports).toEqual([]);
    for (let n = 0; n <= 4; n++) monitor.sample(bench.clock.nowMs() + n * 100);
    expect(reports.map(({ kind }) => kind)).toEqual(["standing"]);
  });

  test("8.10 the holders say who touched the buffers last, at the debug level", () => {
    const { bench, pool, monitor, reports, posted } = watch({ shareCount: 0 }, true);
    for (const ref of posted) pool.touch(ref, "rx ring");
    pool.touch(posted[3]!, "socket 7");
    for (let n = 0; n <= 3; n++) {
      monitor.sample();
      bench.clock.advance(100);
    }
    expect(reports[0]?.holders).toContain(`ref 0x${posted[3]!.toString(16)} (socket 7)`);
    expect(reports[0]?.depth).toBe(SHARE);
  });

  test("8.10 a pool that is gone has no queue, and its timer ends", () => {
    const { bench, pool, monitor, reports, posted } = watch({ shareCount: 0 });
    monitor.start();
    bench.clock.advance(500);
    for (const ref of posted) pool.putFullPage(ref);
    expect(pool.destroy()).toBe(true);
    bench.clock.advance(500);
    expect(reports.map(({ kind }) => kind)).toEqual(["standing", "cleared"]);
    expect([monitor.depthNow(), bench.clock.pendingCount]).toEqual([0, 0]);
  });

  test("8.10 whoever gets the report may stop the monitor; one that throws does not", () => {
    let calls = 0;
    const onChange = (): void => {
      calls++;
      throw new Error("the receiver's own");
    };
    const { bench, pool, monitor } = watch({ onChange });
    const queue = takeMany(pool, 20);
    monitor.start(10);
    expect(() => bench.clock.advance(1000)).toThrow("the receiver's own");
    for (const ref of queue) pool.putFullPage(ref);
    expect(() => bench.clock.advance(1000)).toThrow("the receiver's own");
    expect([calls, monitor.isStanding, bench.clock.pendingCount]).toEqual([2, false, 1]);
    monitor.stop();

    const stopping = watch({ onChange: () => stopping.monitor.stop() });
    takeMany(stopping.pool, 20);
    stopping.monitor.start(10);
    stopping.bench.clock.advance(1000);
    expect([stopping.monitor.isStanding, stopping.bench.clock.pendingCount]).toEqual([true, 0]);
  });

  test("8.10 parameters", () => {
    const pool = makePool(makeBench());
    const onChange = (): void => {};
    take(pool);
    for (const bad of [{ shareCount: -1 }, { markCount: 0.5 }, { windowMs: 0 }, { windowCount: 0 }]) {
      expectCode("ERR_NETMEM_INVALID_PARAM", () => new QueueMonitor(pool, { ...bad, onChange }));
    }
    expectCode("ERR_NETMEM_INVALID_PARAM", () => new QueueMonitor(pool, { onChange }).start(0));
  });
});
