import type { NetmemRef } from "@netmem/core";
import { describe, expect, test } from "vitest";
import { checkPoolInvariants } from "../src/index.ts";
import { changes, enterPoll, expectRefused, fillCache, makeBench, makePool, take, takeMany } from "./fixture.ts";
import { plainPuts } from "./put-calls.ts";

const CACHED = { cached: 1, inCache: 1 };
const RINGED = { ring: 1, inRing: 1 };

describe("the ownerThread rule", () => {
  test.each(plainPuts)(
    "2.6 ownerThread: %s uses the cache outside any poll, and the ring when it is full",
    (_name, put) => {
      const bench = makeBench();
      const pool = makePool(bench, { directRecycle: "ownerThread", napi: null, poolSize: 3 });
      const ref = take(pool);
      expect(changes(pool, () => put(pool, ref))).toEqual(CACHED);
      const late = take(pool);
      fillCache(pool, 128);
      expect(changes(pool, () => put(pool, late))).toEqual({ cacheFull: 1, ...RINGED });
      checkPoolInvariants(pool);
    },
  );

  test("2.12 ownerThread: disableDirectRecycling sends puts to the ring, a promise is still trusted", () => {
    const bench = makeBench();
    const pool = makePool(bench, { directRecycle: "ownerThread", napi: null });
    const [a, b, c] = takeMany(pool, 3) as [NetmemRef, NetmemRef, NetmemRef];
    pool.disableDirectRecycling();
    expect(changes(pool, () => pool.putFullPage(a))).toEqual(RINGED);
    expect(changes(pool, () => pool.recycleDirect(b))).toEqual(CACHED);
    pool.enableDirectRecycling(bench.napi);
    expect(changes(pool, () => pool.putFullPage(c))).toEqual(CACHED);
  });

  test("2.12 enableDirectRecycling: no-op for the same NAPI, refused for another and for none", () => {
    const bench = makeBench();
    const pool = makePool(bench, { napi: null });
    pool.enableDirectRecycling(bench.napi);
    pool.enableDirectRecycling(bench.napi);
    expectRefused(bench.host, "ERR_NETMEM_NAPI_SET", () => pool.enableDirectRecycling({ id: 8, listOwner: 1 }));
    pool.disableDirectRecycling();
    expectRefused(bench.host, "ERR_NETMEM_INVALID_PARAM", () => pool.enableDirectRecycling(null as never));
    const ref = take(pool);
    enterPoll(bench);
    expect(changes(pool, () => pool.putFullPage(ref))).toEqual(RINGED);
  });
});
