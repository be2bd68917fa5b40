import {
  asNetmemRef,
  getNetmem,
  idxOf,
  type NetmemRef,
  OWNER_ORDER0,
  metaOwner,
  pageRefCount,
  ppRefCount,
  putNetmem,
  returnNetmem,
  returnNetmemBulk,
  returnNetmemRxNapi,
  setPfmemalloc,
} from "@netmem/core";
import { describe, expect, test } from "vitest";
import { checkPoolInvariants, type PagePool } from "../src/index.ts";
import {
  type Bench,
  changes,
  enterPoll,
  expectRefused,
  fillCache,
  freePages,
  leavePoll,
  makeBench,
  makePool,
  POLL_CPU,
  take,
  takeMany,
} from "./fixture.ts";
import { directPuts, plainPuts } from "./put-calls.ts";

const CACHED = { cached: 1, inCache: 1 };
const RINGED = { ring: 1, inRing: 1 };

describe("where a buffer goes", () => {
  test.each(plainPuts)("#41 in N-ctx %s uses the cache: cached+1", (_name, put) => {
    const bench = makeBench();
    const pool = makePool(bench);
    const ref = take(pool);
    enterPoll(bench);
    expect(changes(pool, () => put(pool, ref))).toEqual(CACHED);
    checkPoolInvariants(pool);
  });

  test.each(directPuts)("#41 %s with a promise uses the cache in any context: cached+1", (_name, put) => {
    const pool = makePool(makeBench());
    const ref = take(pool);
    expect(changes(pool, () => put(pool, ref))).toEqual(CACHED);
    checkPoolInvariants(pool);
  });

  test("#43 direct, cache 128 and ring full: cache_full+1, ring_full+1, rel+1", () => {
    const bench = makeBench();
    const pool = makePool(bench, { poolSize: 1 });
    const [last, ringed] = takeMany(pool, 2) as [NetmemRef, NetmemRef];
    fillCache(pool, 128);
    pool.putFullPage(ringed);
    const free = freePages(bench);
    expect(changes(pool, () => pool.recycleDirect(last))).toEqual({ cacheFull: 1, ringFull: 1, rel: 1 });
    expect(freePages(bench)).toBe(free + 1);
  });

  test.each(plainPuts)("#44 in R-ctx %s uses the ring: ring+1", (_name, put) => {
    const bench = makeBench();
    const pool = makePool(bench);
    const ref = take(pool);
    leavePoll(bench);
    expect(changes(pool, () => put(pool, ref))).toEqual(RINGED);
    checkPoolInvariants(pool);
  });

  test("#46 129 allocated, 66 put direct: cached+65, then cache_full+1 and ring+1", () => {
    const pool = makePool(makeBench());
    const refs = takeMany(pool, 129);
    expect(pool.getStats().alloc.slow).toBe(3);
    expect([pool.inflight(), pool.i32[pool.at]]).toEqual([192, 63]);
    const put = (from: number, to: number) => () => refs.slice(from, to).forEach((ref) => pool.recycleDirect(ref));
    expect(changes(pool, put(0, 65))).toEqual({ cached: 65, inCache: 65 });
    expect(changes(pool, put(65, 66))).toEqual({ cacheFull: 1, ring: 1, inRing: 1 });
  });

  test("#47 poolSize 4, five puts in R-ctx: ring+4, ring_full+1, rel+1, inflight -1", () => {
    const bench = makeBench();
    const pool = makePool(bench, { poolSize: 4 });
    const refs = takeMany(pool, 5);
    const free = freePages(bench);
    const inflight = pool.inflight();
    const moved = changes(pool, () => refs.forEach((ref) => pool.putFullPage(ref)));
    expect(moved).toEqual({ ring: 4, inRing: 4, ringFull: 1, rel: 1 });
    expect(pool.inflight()).toBe(inflight - 1);
    expect(freePages(bench)).toBe(free + 1);
  });

  test("#65 recycleDirect and put(ref, -1, true) count the same, whatever the cache holds", () => {
    const trace = (put: (pool: PagePool, ref: NetmemRef) => void): unknown => {
      const pool = makePool(makeBench(), { poolSize: 2 });
      const refs = takeMany(pool, 140);
      return changes(pool, () => refs.forEach((ref) => put(pool, ref)));
    };
    expect(trace((pool, ref) => pool.recycleDirect(ref))).toEqual(trace((pool, ref) => pool.put(ref, -1, true)));
  });
});

describe("pages that somebody else holds", () => {
  const held = (bench: Bench, pool: PagePool): NetmemRef => {
    const ref = take(pool);
    getNetmem(bench.host, ref);
    return ref;
  };

  test.each([false, true])("#49 page refcount 2, put with allowDirect %s: released_refcnt+1, rel+1", (direct) => {
    const bench = makeBench();
    const pool = makePool(bench);
    const ref = held(bench, pool);
    const free = freePages(bench);
    expect(changes(pool, () => pool.put(ref, -1, direct))).toEqual({ releasedRefcnt: 1, rel: 1 });
    expect(metaOwner(bench.host.i32[idxOf(ref)]!)).toBe(OWNER_ORDER0);
    expect([freePages(bench), pageRefCount(bench.host, ref)]).toEqual([free, 1]);
    putNetmem(bench.host, ref);
    expect(freePages(bench)).toBe(free + 1);
  });

  test("2.6 after the other holder let go the page is recycled as usual", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const ref = held(bench, pool);
    putNetmem(bench.host, ref);
    expect(changes(pool, () => pool.putFullPage(ref))).toEqual(RINGED);
    checkPoolInvariants(pool);
  });

  test("#50 a pfmemalloc page with refcount 1: released_refcnt+1, rel+1; its next life is an ordinary one", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const ref = take(pool);
    setPfmemalloc(bench.host, ref);
    const free = freePages(bench);
    expect(changes(pool, () => pool.recycleDirect(ref))).toEqual({ releasedRefcnt: 1, rel: 1 });
    expect(freePages(bench)).toBe(free + 1);
    const again = takeMany(pool, 63 + 64).find((other) => idxOf(other) === idxOf(ref));
    expect(changes(pool, () => pool.recycleDirect(again!))).toEqual(CACHED);
  });

  test("#52 pp_ref_count 2: the first put moves nothing, the second recycles", () => {
    for (const direct of [true, false]) {
      const bench = makeBench();
      const pool = makePool(bench);
      const ref = take(pool);
      pool.refNetmem(ref);
      expect(changes(pool, () => pool.put(ref, -1, direct))).toEqual({});
      expect(pool.outside()).toEqual([ref]);
      expect(changes(pool, () => pool.put(ref, -1, direct))).toEqual(direct ? CACHED : RINGED);
      checkPoolInvariants(pool);
    }
  });

  test("#53 putUnrefed with pp_ref_count 5 is refused", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const ref = take(pool);
    pool.fragmentNetmem(ref, 5);
    expectRefused(bench.host, "ERR_NETMEM_STILL_REFERENCED", () => pool.putUnrefed(ref, -1, true));
    expect(ppRefCount(bench.host, ref)).toBe(5);
  });

  test("2.6 putPage drops one reference only: a put that is not the last moves no counter", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const ref = take(pool);
    pool.fragmentNetmem(ref, 3);
    const inDispatch = (): void => returnNetmemBulk(bench.host, Int32Array.of(ref, ref), 2);
    expect(changes(pool, inDispatch)).toEqual({});
    expect(changes(pool, () => returnNetmem(bench.host, ref))).toEqual(RINGED);
  });
});

describe("context", () => {
  const putIn = (bench: Bench, pool: PagePool, set: () => void): Record<string, number> => {
    const ref = take(pool);
    set();
    const moved = changes(pool, () => pool.putFullPage(ref));
    leavePoll(bench);
    return moved;
  };

  test("2.6 softirq on CPU 3, list_owner 3: cached+1", () => {
    const bench = makeBench();
    expect(putIn(bench, makePool(bench), () => enterPoll(bench))).toEqual(CACHED);
  });

  test("#58 list_owner on another CPU, or idle: ring+1", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    enterPoll(bench);
    expect(putIn(bench, pool, () => (bench.napi.listOwner = 4))).toEqual(RINGED);
    expect(putIn(bench, pool, () => (bench.napi.listOwner = -1))).toEqual(RINGED);
  });

  test("#59 process context on the owning CPU: ring+1", () => {
    const bench = makeBench();
    bench.host.context.cpu = POLL_CPU;
    expect(putIn(bench, makePool(bench), () => leavePoll(bench))).toEqual(RINGED);
  });

  test("2.6 a pool with a cpuid: cached+1 in softirq on that CPU, ring+1 elsewhere", () => {
    const bench = makeBench();
    const pool = makePool(bench, { napi: null, cpuid: POLL_CPU });
    expect(putIn(bench, pool, () => enterPoll(bench))).toEqual(CACHED);
    const other = (): void => void Object.assign(bench.host.context, { softirq: true, cpu: 1 });
    expect(putIn(bench, pool, other)).toEqual(RINGED);
  });

  test("#61 after disableDirectRecycling both ways give ring+1", () => {
    const bench = makeBench();
    for (const params of [{}, { napi: null, cpuid: POLL_CPU }]) {
      const pool = makePool(bench, params);
      pool.disableDirectRecycling();
      expect(putIn(bench, pool, () => enterPoll(bench))).toEqual(RINGED);
    }
  });

  test("#62 PREEMPT_RT: ring+1 for both; an explicit promise still gives cached+1", () => {
    const bench = makeBench();
    bench.host.context.preemptRt = true;
    for (const params of [{}, { napi: null, cpuid: POLL_CPU }]) {
      const pool = makePool(bench, params);
      expect(putIn(bench, pool, () => enterPoll(bench))).toEqual(RINGED);
      const ref = take(pool);
      enterPoll(bench);
      expect(changes(pool, () => pool.recycleDirect(ref))).toEqual(CACHED);
    }
  });

  test.each(["napi", "ownerThread"] as const)("#64 hard-interrupt context refuses every put (%s)", (directRecycle) => {
    const bench = makeBench();
    const pool = makePool(bench, { directRecycle });
    const ref = take(pool);
    const shared = take(pool);
    pool.refNetmem(shared);
    bench.host.context.hardirq = true;
    for (const [, put] of [...plainPuts.filter(([name]) => name !== "returnNetmemBulk"), ...directPuts]) {
      expectRefused(bench.host, "ERR_NETMEM_HARDIRQ", () => put(pool, ref));
      expectRefused(bench.host, "ERR_NETMEM_HARDIRQ", () => put(pool, shared));
    }
    bench.host.context.hardirq = false;
    enterPoll(bench);
    expect(changes(pool, () => pool.putFullPage(ref))).toEqual(CACHED);
    expect(changes(pool, () => take(pool))).toEqual({ fast: 1, inCache: -1 });
  });

  test("2.6 returnNetmemRxNapi loses its promise under the no-direct flag", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const ref = take(pool);
    bench.host.context.noDirect = true;
    expect(changes(pool, () => returnNetmemRxNapi(bench.host, ref))).toEqual(RINGED);
  });
});

test("2.6 numbers that never were references are refused", () => {
  const bench = makeBench();
  const pool = makePool(bench, { directRecycle: "ownerThread" });
  take(pool);
  for (const value of [0, 2, 1, -1, -2, 0x7fffffff, 2 ** 30, 5000, 5001, Number.NaN]) {
    const code = value === 5000 || value === 5001 ? "ERR_NETMEM_STALE_REF" : "ERR_NETMEM_BAD_REF";
    const ref = asNetmemRef(value);
    for (const [, put] of [...plainPuts, ...directPuts]) expectRefused(bench.host, code, () => put(pool, ref));
  }
});
