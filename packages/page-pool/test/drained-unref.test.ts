import { unrefNetmem } from "@netmem/core";
import { describe, expect, test } from "vitest";
import { makeBench, makePool, take, takeFrag } from "./fixture.ts";

describe("2.11 drained() when the last piece goes without a put", () => {
  test("2.11 drained: the pool's own unrefNetmem tells at once", async () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const { ref } = takeFrag(pool, 100);
    const promise = pool.drained();
    expect(pool.unrefNetmem(ref, 1)).toBeGreaterThan(0);
    await promise;
    expect([pool.slow, bench.clock.pendingCount]).toEqual([0, 0]);
  });

  test("2.11 drained: core's unrefNetmem tells nobody, and is noticed within a second", async () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const { ref } = takeFrag(pool, 100);
    takeFrag(pool, 100);
    let done = false;
    const promise = pool.drained().then(() => (done = true));
    bench.clock.advance(2500);
    unrefNetmem(bench.host, ref, 2);
    await Promise.resolve();
    expect(done).toBe(false);
    bench.clock.advance(1000);
    await promise;
    expect([pool.slow, bench.clock.pendingCount]).toEqual([0, 0]);
  });

  test("2.11 drained: waiting itself does not slow allocations down", () => {
    const pool = makePool(makeBench());
    take(pool);
    void pool.drained();
    expect(pool.slow).not.toBe(0);
    const before = pool.getStats().alloc.fast;
    take(pool);
    expect([pool.getStats().alloc.fast - before, pool.i32[pool.at + 2]! > 0]).toEqual([1, true]);
  });
});
