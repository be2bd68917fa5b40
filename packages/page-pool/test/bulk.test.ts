import { getNetmem, idxOf, makeRef, type NetmemRef, putNetmem } from "@netmem/core";
import { describe, expect, test } from "vitest";
import { checkPoolInvariants, type PagePool } from "../src/index.ts";
import { FakeNiovProvider, providerParams } from "./fake-niov-provider.ts";
import { changes, enterPoll, expectCode, freePages, makeBench, makePool, take, takeMany } from "./fixture.ts";

function putAll(pool: PagePool, refs: readonly NetmemRef[]): void {
  pool.putNetmemBulk(Int32Array.from(refs), refs.length);
}

describe("putNetmemBulk", () => {
  test("#89 16 pages of one pool in R-ctx: ring+16", () => {
    const pool = makePool(makeBench());
    const refs = takeMany(pool, 16);
    expect(changes(pool, () => putAll(pool, refs))).toEqual({ ring: 16, inRing: 16 });
    expect(pool.ring.entries().map((ref) => (ref >>> 1) & 0xfffff)).toEqual(refs.map(idxOf));
  });

  test("2.7 in N-ctx they go into the cache, and what it cannot hold into the ring", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const refs = takeMany(pool, 192);
    enterPoll(bench);
    expect(changes(pool, () => putAll(pool, refs.slice(0, 120)))).toEqual({ cached: 120, inCache: 120 });
    expect(changes(pool, () => putAll(pool, refs.slice(120, 136)))).toEqual({
      cached: 8,
      inCache: 8,
      cacheFull: 8,
      ring: 8,
      inRing: 8,
    });
  });

  test("2.7 ownerThread: the same outside any poll", () => {
    const pool = makePool(makeBench(), { directRecycle: "ownerThread", napi: null });
    const refs = takeMany(pool, 140);
    const room = 128 - pool.i32[pool.at]!;
    const rest = 140 - room;
    expect(changes(pool, () => putAll(pool, refs))).toEqual({
      cached: room,
      inCache: room,
      cacheFull: rest,
      ring: rest,
      inRing: rest,
    });
    checkPoolInvariants(pool);
  });

  test("#91 ten free ring slots, 16 pages: ring+10, ring_full+1, rel+6", () => {
    const bench = makeBench();
    const pool = makePool(bench, { poolSize: 20 });
    putAll(pool, takeMany(pool, 10));
    const refs = takeMany(pool, 16);
    const free = freePages(bench);
    expect(changes(pool, () => putAll(pool, refs))).toEqual({ ring: 10, inRing: 10, ringFull: 1, rel: 6 });
    expect(freePages(bench)).toBe(free + 6);
    checkPoolInvariants(pool);
  });

  test("#92 ring completely full, 16 pages: ring+0, ring_full+1, rel+16", () => {
    const pool = makePool(makeBench(), { poolSize: 3 });
    putAll(pool, takeMany(pool, 3));
    const refs = takeMany(pool, 16);
    expect(changes(pool, () => putAll(pool, refs))).toEqual({ ringFull: 1, rel: 16 });
  });

  test("#94 one with page refcount 2 among them: released_refcnt+1 for it, the others in the ring", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const refs = takeMany(pool, 4);
    getNetmem(bench.host, refs[2]!);
    expect(changes(pool, () => putAll(pool, refs))).toEqual({ ring: 3, inRing: 3, releasedRefcnt: 1, rel: 1 });
    putNetmem(bench.host, refs[2]!);
    checkPoolInvariants(pool);
  });

  test("#95 pools interleaved A, B, A, B: each gets its two, in order", () => {
    const bench = makeBench();
    const [a, b] = [makePool(bench), makePool(bench)];
    const [a1, a2, b1, b2] = [take(a), take(a), take(b), take(b)];
    let movedB = {};
    const movedA = changes(a, () => (movedB = changes(b, () => putAll(a, [a1, b1, a2, b2]))));
    expect([movedA, movedB]).toEqual([
      { ring: 2, inRing: 2 },
      { ring: 2, inRing: 2 },
    ]);
    expect(a.ring.entries().map((ref) => (ref >>> 1) & 0xfffff)).toEqual([a1, a2].map(idxOf));
    expect(b.ring.entries().map((ref) => (ref >>> 1) & 0xfffff)).toEqual([b1, b2].map(idxOf));
  });

  test("2.7 each pool's own rule decides: N-ctx of one is not that of the other", () => {
    const bench = makeBench();
    const [a, b] = [makePool(bench), makePool(bench, { napi: null })];
    const refs = [take(a), take(b), take(a)];
    enterPoll(bench);
    let movedB = {};
    const movedA = changes(a, () => (movedB = changes(b, () => putAll(b, refs))));
    expect([movedA, movedB]).toEqual([
      { cached: 2, inCache: 2 },
      { ring: 1, inRing: 1 },
    ]);
  });

  test("#97 17 pages go in chunks of 16: ring_full counts once per chunk", () => {
    const pool = makePool(makeBench(), { poolSize: 1 });
    putAll(pool, takeMany(pool, 1));
    const refs = takeMany(pool, 17);
    expect(changes(pool, () => putAll(pool, refs))).toEqual({ ringFull: 2, rel: 17 });
    const more = takeMany(pool, 40);
    expect(changes(pool, () => putAll(pool, more))).toEqual({ ringFull: 3, rel: 40 });
  });

  test("#98 count 0 has no effect; a tail page stands for its block", () => {
    const bench = makeBench();
    const pool = makePool(bench, { order: 2 });
    expect(changes(pool, () => pool.putNetmemBulk(new Int32Array(0), 0))).toEqual({});
    for (let round = 0; round < 3; round++) {
      const head = take(pool);
      const tail = makeRef(idxOf(head) + 3, head >>> 21, 0);
      expect(changes(pool, () => putAll(pool, [tail]))).toEqual({ ring: 1, inRing: 1 });
      expect(expectCode("ERR_NETMEM_DOUBLE_PUT", () => putAll(pool, [tail]))).toMatchObject({ param: "refs[0]" });
      checkPoolInvariants(pool);
    }
  });

  test("#100 net_iovs: never released_refcnt; ring, or back to the provider", () => {
    const bench = makeBench();
    const provider = new FakeNiovProvider({ host: bench.host, count: 20 });
    const pool = makePool(bench, { ...providerParams(provider), poolSize: 10 });
    const refs = takeMany(pool, 16);
    for (const ref of refs) getNetmem(bench.host, ref);
    expect(changes(pool, () => putAll(pool, refs))).toEqual({ ring: 10, inRing: 10, ringFull: 1, rel: 6 });
    expect(provider.free).toHaveLength(6);
    expect(provider.getRefs).toBe(16);
  });

  test("2.7 entries that others still hold only lose a reference", () => {
    const pool = makePool(makeBench());
    const [a, b] = takeMany(pool, 2) as [NetmemRef, NetmemRef];
    pool.fragmentNetmem(a, 3);
    expect(changes(pool, () => putAll(pool, [a, b, a]))).toEqual({ ring: 1, inRing: 1 });
    expect(changes(pool, () => putAll(pool, [a]))).toEqual({ ring: 1, inRing: 1 });
  });
});

describe("2.7 a bad entry", () => {
  test.each(["napi", "ownerThread"] as const)(
    "%s: those before it are home, it and the rest stay with the caller",
    (directRecycle) => {
      const bench = makeBench();
      const pool = makePool(bench, { directRecycle });
      const plain = bench.host.pages.allocPages(0) as NetmemRef;
      for (const at of [0, 1, 5, 15, 16, 20, 39]) {
        for (const bad of [0 as NetmemRef, plain, "twice" as const]) {
          const refs = takeMany(pool, 40);
          const given = [...refs];
          given[at] = bad === "twice" ? (refs[at - 1] ?? plain) : bad;
          const error = expectCode(bad === 0 ? "ERR_NETMEM_BAD_REF" : /DOUBLE_PUT|FOREIGN_PUT/, () =>
            putAll(pool, given),
          );
          expect(error["param"]).toBe(`refs[${at}]`);
          expect(error["message"]).toContain(`entry ${at}`);
          checkPoolInvariants(pool);
          for (const ref of refs.slice(0, at)) expectCode(/DOUBLE_PUT|STALE/, () => pool.putFullPage(ref));
          putAll(pool, refs.slice(at));
          expect(pool.outside()).toEqual([]);
        }
      }
    },
  );

  test("a count beyond the array is refused at its end", () => {
    const pool = makePool(makeBench());
    const refs = takeMany(pool, 3);
    const error = expectCode("ERR_NETMEM_BAD_REF", () => pool.putNetmemBulk(Int32Array.from(refs), 5));
    expect(error["param"]).toBe("refs[3]");
    expect(pool.outside()).toEqual([]);
  });

  test("hard-interrupt context refuses the call as a whole", () => {
    const bench = makeBench();
    const pool = makePool(bench, { directRecycle: "ownerThread" });
    const refs = takeMany(pool, 3);
    bench.host.context.hardirq = true;
    expect(changes(pool, () => expectCode("ERR_NETMEM_HARDIRQ", () => putAll(pool, refs)))).toEqual({});
  });
});
