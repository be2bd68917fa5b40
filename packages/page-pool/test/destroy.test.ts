import { getNetmem, OWN_RELEASE, type PoolEventKind, putNetmem, type NetmemRef, pageRefCount } from "@netmem/core";
import { describe, expect, test } from "vitest";
import { checkPoolInvariants, DEFER_WARN_INTERVAL_MS, pagePoolDump, pagePoolGet, type PagePool } from "../src/index.ts";
import { FakeNiovProvider, providerParams } from "./fake-niov-provider.ts";
import {
  type Bench,
  changes,
  codesOf,
  enterPoll,
  expectRefused,
  freePages,
  makeBench,
  makePool,
  take,
  takeFrag,
  takeMany,
} from "./fixture.ts";

const RINGED = { ring: 1, inRing: 1 };

function listen(bench: Bench): [PoolEventKind, number, number | undefined][] {
  const events: [PoolEventKind, number, number | undefined][] = [];
  bench.host.pools.subscribe((kind, record) => events.push([kind, record.inflight, record.detachTime]));
  return events;
}

/** A pool that is destroyed with one buffer outside. */
function detached(bench: Bench, params = {}): { pool: PagePool; ref: NetmemRef } {
  const pool = makePool(bench, params);
  const ref = take(pool);
  expect(pool.destroy()).toBe(false);
  return { pool, ref };
}

describe("nothing outside", () => {
  test("#125 destroying twice, and a pool that never allocated, are fine", () => {
    const bench = makeBench();
    const events = listen(bench);
    const pool = makePool(bench);
    expect(pool.destroy()).toBe(true);
    expect(pool.destroy()).toBe(true);
    expect(events.map(([kind]) => kind)).toEqual(["add", "del"]);
    expect(bench.clock.pendingCount).toBe(0);
  });

  test("2.11 cache, ring and fragment page go back to the allocator at once", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const free = freePages(bench);
    const refs = takeMany(pool, 70);
    takeFrag(pool, 100);
    pool.putFullPage(take(pool));
    for (const ref of refs) pool.putFullPage(ref);
    pool.putFullPage(pool.outside()[0]!);
    expect(pool.destroy()).toBe(true);
    expect(freePages(bench)).toBeGreaterThanOrEqual(free);
    expect(bench.warnings).toEqual([]);
  });

  test("2.11 a DEL record of a pool that drained at once has no detach time", () => {
    const bench = makeBench();
    const events = listen(bench);
    makePool(bench).destroy();
    expect(events).toEqual([
      ["add", 0, undefined],
      ["del", 0, undefined],
    ]);
  });
});

describe("one page outside", () => {
  test("#127 detached: CHANGE with a detach time, listed; a late put goes to the ring and the next tick frees the pool", () => {
    const bench = makeBench();
    const events = listen(bench);
    bench.clock.advance(5000);
    const { pool, ref } = detached(bench);
    expect(events).toEqual([
      ["add", 0, undefined],
      ["change", 1, 5],
    ]);
    expect(pagePoolGet(bench.host, pool.id)).toMatchObject({ inflight: 1, detachTime: 5 });
    bench.clock.advance(1500);
    expect(changes(pool, () => pool.putFullPage(ref))).toEqual(RINGED);
    expect(pool.freed).toBe(false);
    bench.clock.advance(499);
    expect([pool.freed, events.length]).toEqual([false, 2]);
    bench.clock.advance(1);
    expect(pool.freed).toBe(true);
    expect(events[2]).toEqual(["del", 0, 5]);
    expect(pagePoolDump(bench.host)).toEqual([]);
    expect(bench.clock.pendingCount).toBe(0);
  });

  test("#128 with page refcount 2: a late put releases it at once, the next tick frees the pool", () => {
    const bench = makeBench();
    const { pool, ref } = detached(bench);
    getNetmem(bench.host, ref);
    const free = freePages(bench);
    expect(changes(pool, () => pool.putFullPage(ref))).toEqual({ releasedRefcnt: 1, rel: 1 });
    expect(pool.freed).toBe(false);
    bench.clock.advance(1000);
    expect(pool.freed).toBe(true);
    putNetmem(bench.host, ref);
    expect(freePages(bench)).toBeGreaterThan(free);
  });

  test.each(["napi", "ownerThread"] as const)(
    "2.11 a late put with allowDirect goes to the ring too: nothing is stranded (%s)",
    (directRecycle) => {
      const bench = makeBench();
      const { pool, ref } = detached(bench, { directRecycle });
      expect(changes(pool, () => pool.recycleDirect(ref))).toEqual(RINGED);
      bench.clock.advance(1000);
      expect(pool.freed).toBe(true);
    },
  );

  test("#136 a late put in what was N-ctx: ring", () => {
    const bench = makeBench();
    const { pool, ref } = detached(bench);
    enterPoll(bench);
    expect(changes(pool, () => pool.putFullPage(ref))).toEqual(RINGED);
  });

  test("2.11 pieces of the current fragment page keep it alive; the last one brings it home", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const frags = [takeFrag(pool, 100), takeFrag(pool, 100)];
    expect(pool.destroy()).toBe(false);
    expect(pool.inflight()).toBe(1);
    expect(changes(pool, () => pool.putFullPage(frags[0]!.ref))).toEqual({});
    expect(changes(pool, () => pool.putFullPage(frags[1]!.ref))).toEqual(RINGED);
    bench.clock.advance(1000);
    expect(pool.freed).toBe(true);
  });

  test("2.11 the ring still fills up: what does not fit is released at once", () => {
    const bench = makeBench();
    const pool = makePool(bench, { poolSize: 3 });
    const refs = takeMany(pool, 8);
    pool.destroy();
    expect(changes(pool, () => pool.putNetmemBulk(Int32Array.from(refs), 8))).toEqual({
      ring: 3,
      inRing: 3,
      ringFull: 1,
      rel: 5,
    });
    bench.clock.advance(1000);
    expect(pool.freed).toBe(true);
  });

  test("#131 never returned: retried every second; a warning every 60 s, only without a device", () => {
    const bench = makeBench();
    const { pool, ref } = detached(bench);
    const visible = detached(bench, { ifindex: 4 });
    bench.clock.advance(DEFER_WARN_INTERVAL_MS - 1);
    expect(bench.warnings).toEqual([]);
    bench.clock.advance(1);
    expect(codesOf(bench)).toEqual(["WARN_NETMEM_STALLED_SHUTDOWN"]);
    expect(bench.warnings[0]!.message).toContain("1 in flight for 60 s");
    bench.clock.advance(DEFER_WARN_INTERVAL_MS);
    expect(codesOf(bench)).toHaveLength(2);
    expect(bench.warnings[1]!.message).toContain("120 s");
    expect(pagePoolGet(bench.host, visible.pool.id)).toMatchObject({ ifindex: 4, inflight: 1, detachTime: 0 });
    pool.putFullPage(ref);
    visible.pool.putFullPage(visible.ref);
    bench.clock.advance(1000);
    expect(pagePoolDump(bench.host)).toEqual([]);
    expect(bench.warnings).toHaveLength(2);
  });
});

describe("users", () => {
  test("#130 get() and destroy(): a second destroy is needed", () => {
    const bench = makeBench();
    const pool = makePool(bench).get();
    expect(pool.destroy()).toBe(false);
    expect(pool.inflight()).toBe(0);
    expect(take(pool)).not.toBe(0);
    pool.putFullPage(pool.outside()[0]!);
    expect(pool.destroy()).toBe(true);
  });

  test("#137 alloc after destroy is refused, whatever the call; so are get() and registration", () => {
    const bench = makeBench();
    const { pool, ref } = detached(bench);
    const other = detached(bench, { debug: true });
    for (const gone of [pool, other.pool]) {
      for (const call of [
        () => gone.allocNetmem(),
        () => gone.allocPages(),
        () => gone.allocBulk(new Int32Array(4), 4),
        () => gone.allocFrag(100),
        () => gone.alloc(100),
        () => gone.alloc(4096),
        () => gone.allocVa(100),
        () => gone.get(),
        () => bench.host.mem.register(gone),
      ]) {
        expectRefused(bench.host, "ERR_NETMEM_POOL_DESTROYED", call);
      }
    }
    pool.putFullPage(ref);
    other.pool.putFullPage(other.ref);
    bench.clock.advance(1000);
    for (const gone of [pool, other.pool])
      expectRefused(bench.host, "ERR_NETMEM_POOL_DESTROYED", () => gone.allocNetmem());
    expect(bench.host.pools.list()).toEqual([]);
  });

  test("2.11 Symbol.dispose destroys, detaches, and never throws", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const ref = take(pool);
    pool[Symbol.dispose]();
    pool[Symbol.dispose]();
    expect(pagePoolDump(bench.host)).toMatchObject([{ inflight: 1 }]);
    pool.putFullPage(ref);
    bench.clock.advance(1000);
    expect(pool.freed).toBe(true);
  });
});

describe("the books at the end", () => {
  test("#133 negative inflight: a strict read warns, introspection shows 0, the pool is neither freed nor tried again", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    bench.host.i32[pool.at + OWN_RELEASE]! += 1;
    expect([pool.inflight(), pool.describe().inflight, pool.describe().inflightMem]).toEqual([-1, 0, 0]);
    expect(pool.destroy()).toBe(false);
    expect(codesOf(bench)).toEqual(["WARN_NETMEM_NEGATIVE_INFLIGHT"]);
    expect(bench.warnings[0]!.message).toContain("(-1)");
    bench.clock.advance(1000);
    expect(bench.clock.pendingCount).toBe(0);
    expect([pool.freed, pagePoolDump(bench.host).length]).toEqual([false, 1]);
  });

  test("2.10 the counters are 32 bits and wrap", () => {
    const bench = makeBench();
    const pool = makePool(bench, { poolSize: 1 });
    const { i32 } = bench.host;
    i32[pool.at + OWN_RELEASE] = -2;
    i32[pool.at + OWN_RELEASE - 1] = -2;
    const refs = takeMany(pool, 200);
    expect(pool.inflight()).toBe(256);
    for (const ref of refs) pool.putFullPage(ref);
    checkPoolInvariants(pool);
    expect(pool.destroy()).toBe(true);
    expect(bench.warnings).toEqual([]);
  });

  test("#134 a ring entry with page refcount 2 at scrub: a warning, and it goes back anyway", () => {
    const bench = makeBench();
    const { pool, ref } = detached(bench);
    pool.putFullPage(ref);
    bench.host.i32[bench.host.pageRefAt + ((ref >>> 1) & 0xfffff)] = 1;
    bench.clock.advance(1000);
    expect(codesOf(bench)).toEqual(["WARN_NETMEM_RING_REFCNT"]);
    expect([pool.freed, pageRefCount(bench.host, ref)]).toEqual([true, 1]);
  });

  test("#142 inflight counts what is cached and ringed: alloc 1, put 1, still 64", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    pool.putFullPage(take(pool));
    expect(pool.inflight()).toBe(64);
    pool.recycleDirect(take(pool));
    expect(pool.inflight()).toBe(64);
  });

  test("#140 provider.destroy runs after the last net_iov came back, not at destroy()", () => {
    const bench = makeBench();
    const provider = new FakeNiovProvider({ host: bench.host, count: 8 });
    const { pool, ref } = detached(bench, providerParams(provider));
    expect([provider.calls, provider.free.length]).toEqual([["init"], 7]);
    pool.putFullPage(ref);
    expect(provider.calls).toEqual(["init"]);
    bench.clock.advance(1000);
    expect([provider.calls, provider.free.length]).toEqual([["init", "destroy"], 8]);
    bench.clock.advance(10_000);
    expect(provider.calls).toEqual(["init", "destroy"]);
  });
});
