import { getNetmem, type NetmemRef } from "@netmem/core";
import { describe, expect, test } from "vitest";
import { FakeNiovProvider, providerParams } from "./fake-niov-provider.ts";
import { makeBench, makePool, take, takeFrag, takeMany } from "./fixture.ts";

/** Whether a promise has settled by now: "pending", "resolved", or the error's code. */
function watch(promise: Promise<void>): () => Promise<string> {
  let state = "pending";
  promise.then(
    () => (state = "resolved"),
    (error: { code: string }) => (state = error.code),
  );
  return async () => {
    for (let n = 0; n < 5; n++) await Promise.resolve();
    return state;
  };
}

describe("2.11 drained()", () => {
  test("nothing outside: at once; cache, ring and an idle fragment page do not count", async () => {
    const pool = makePool(makeBench());
    await pool.drained();
    const [a, b] = takeMany(pool, 2) as [NetmemRef, NetmemRef];
    pool.recycleDirect(a);
    pool.putFullPage(b);
    pool.putFullPage(takeFrag(pool, 100).ref);
    await pool.drained();
    expect(pool.freed).toBe(false);
  });

  test("resolves at the put that reaches zero, for every waiter", async () => {
    const pool = makePool(makeBench());
    const [a, b] = takeMany(pool, 2) as [NetmemRef, NetmemRef];
    const states = [watch(pool.drained()), watch(pool.drained()), watch(pool.drained())];
    pool.putFullPage(a);
    expect(await states[0]!()).toBe("pending");
    pool.recycleDirect(b);
    for (const state of states) expect(await state()).toBe("resolved");
    // The pool is back on its fast path and can be waited for again.
    expect(pool.slow).toBe(0);
    const ref = take(pool);
    const again = watch(pool.drained());
    expect(await again()).toBe("pending");
    pool.putFullPage(ref);
    expect(await again()).toBe("resolved");
  });

  test.each([false, true])("a destroyed pool is gone by then, without a tick (debug: %s)", async (debug) => {
    const bench = makeBench();
    const pool = makePool(bench, { debug });
    const refs = takeMany(pool, 3);
    pool.destroy();
    const state = watch(pool.drained());
    pool.putFullPage(refs[0]!);
    pool.putNetmemBulk(Int32Array.from(refs.slice(1)), 2);
    expect(pool.freed).toBe(true);
    expect(await state()).toBe("resolved");
    await pool.drained();
    bench.clock.advance(5000);
    expect(bench.clock.pendingCount).toBe(0);
  });

  test("waiting starts before destroy, the last buffer comes after it", async () => {
    const pool = makePool(makeBench());
    const ref = take(pool);
    const state = watch(pool.drained());
    expect(pool.destroy()).toBe(false);
    pool.putFullPage(ref);
    expect([pool.freed, await state()]).toEqual([true, "resolved"]);
  });

  test("a destroyed pool whose buffers are home is freed by asking", async () => {
    const pool = makePool(makeBench());
    const ref = take(pool);
    pool.destroy();
    pool.putFullPage(ref);
    expect(pool.freed).toBe(false);
    await pool.drained();
    expect(pool.freed).toBe(true);
  });

  const lastPuts: readonly [
    string,
    Parameters<typeof makePool>[1],
    (pool: ReturnType<typeof makePool>, ref: NetmemRef) => void,
  ][] = [
    ["bulk", {}, (pool, ref) => pool.putNetmemBulk(Int32Array.of(ref), 1)],
    ["bulk, ownerThread", { directRecycle: "ownerThread" }, (pool, ref) => pool.putNetmemBulk(Int32Array.of(ref), 1)],
    ["bulk, debug", { debug: true }, (pool, ref) => pool.putNetmemBulk(Int32Array.of(ref), 1)],
    ["single, debug", { debug: true }, (pool, ref) => pool.putFullPage(ref)],
    ["unrefed", {}, (pool, ref) => pool.putUnrefed(ref, -1, true)],
    [
      "elevated page refcount",
      {},
      (pool, ref) => {
        getNetmem(pool.host, ref);
        pool.putFullPage(ref);
      },
    ],
  ];
  test.each(lastPuts)("the last put: %s", async (_name, params, put) => {
    const pool = makePool(makeBench(), params);
    const ref = take(pool);
    const state = watch(pool.drained());
    put(pool, ref);
    expect(await state()).toBe("resolved");
  });

  test.each(["put", "bulk"])("the last piece of the current fragment page, by %s", async (how) => {
    const pool = makePool(makeBench());
    const frags = [takeFrag(pool, 100), takeFrag(pool, 100)];
    const state = watch(pool.drained());
    pool.putFullPage(frags[0]!.ref);
    expect(await state()).toBe("pending");
    if (how === "put") pool.putFullPage(frags[1]!.ref);
    else pool.putNetmemBulk(Int32Array.of(frags[1]!.ref), 1);
    expect(await state()).toBe("resolved");
  });

  test("net_iovs", async () => {
    const bench = makeBench();
    const provider = new FakeNiovProvider({ host: bench.host, count: 4 });
    const pool = makePool(bench, providerParams(provider));
    const refs = takeMany(pool, 2);
    pool.destroy();
    const state = watch(pool.drained());
    for (const ref of refs) pool.putFullPage(ref);
    expect([await state(), provider.calls]).toEqual(["resolved", ["init", "destroy"]]);
  });

  test("timeout: rejects with the number outside; the others go on waiting", async () => {
    const bench = makeBench();
    const pool = makePool(bench, { name: "rx0" });
    const ref = take(pool);
    const promise = pool.drained({ timeoutMs: 500 });
    const states = [watch(promise), watch(pool.drained({ timeoutMs: 501 })), watch(pool.drained())];
    bench.clock.advance(500);
    await expect(promise).rejects.toMatchObject({ code: "ERR_NETMEM_DRAIN_TIMEOUT", param: "pool", value: pool.id });
    await expect(promise).rejects.toThrow(/500 ms: 1 buffers of rx0/);
    expect(await states[1]!()).toBe("pending");
    pool.putFullPage(ref);
    expect(await Promise.all(states.map((state) => state()))).toEqual([
      "ERR_NETMEM_DRAIN_TIMEOUT",
      "resolved",
      "resolved",
    ]);
    expect(bench.clock.pendingCount).toBe(0);
  });

  test.each([-1, Number.NaN, Number.POSITIVE_INFINITY])("timeoutMs %s is refused", async (timeoutMs) => {
    const pool = makePool(makeBench());
    const ref = take(pool);
    await expect(pool.drained({ timeoutMs })).rejects.toMatchObject({
      code: "ERR_NETMEM_INVALID_PARAM",
      param: "timeoutMs",
    });
    expect(pool.slow).toBe(0);
    pool.putFullPage(ref);
  });

  test("signal: rejects with its reason as cause, at once when it is aborted already", async () => {
    const pool = makePool(makeBench());
    const ref = take(pool);
    const control = new AbortController();
    const promise = pool.drained({ signal: control.signal });
    const state = watch(promise);
    expect(await state()).toBe("pending");
    const reason = new Error("shutting down");
    control.abort(reason);
    await expect(promise).rejects.toMatchObject({ code: "ERR_NETMEM_DRAIN_ABORTED", cause: reason });
    await expect(pool.drained({ signal: control.signal })).rejects.toMatchObject({
      code: "ERR_NETMEM_DRAIN_ABORTED",
      cause: reason,
    });
    expect(pool.slow).toBe(0);
    pool.putFullPage(ref);
    await pool.drained({ signal: control.signal });
  });

  test("Symbol.asyncDispose destroys and waits; it gives up after five seconds and names what is out", async () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const ref = take(pool);
    const state = watch(pool[Symbol.asyncDispose]());
    pool.putFullPage(ref);
    expect([await state(), pool.freed]).toEqual(["resolved", true]);
    const stuck = makePool(bench);
    const lost = take(stuck);
    const promise = stuck[Symbol.asyncDispose]();
    const settled = expect(promise).rejects.toThrow(`ref 0x${lost.toString(16)}`);
    bench.clock.advance(5000);
    await settled;
    expect(stuck.freed).toBe(false);
    stuck.putFullPage(lost);
    bench.clock.advance(1000);
    expect(stuck.freed).toBe(true);
  });
});
