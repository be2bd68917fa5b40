import { asPageRef, isNetmemError, type NetmemRef, returnNetmem } from "@netmem/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { checkPoolInvariants, createPagePool, type PagePool, type PagePoolParams } from "../src/index.ts";
import { makeBench, take, takeMany } from "./fixture.ts";
import { makeThreads } from "./second-thread.ts";

const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);

/** A pool that can have `count` buffers and no more. */
function scarcePool(
  count: number,
  params: PagePoolParams = {},
): { bench: ReturnType<typeof makeBench>; pool: PagePool } {
  const bench = makeBench();
  const pool = createPagePool(bench.host, { poolSize: 64, reclaim: false, ...params });
  const refs = takeMany(pool, count);
  while (bench.host.pages.allocPages(0) !== 0);
  for (const ref of refs) pool.putFullPage(ref);
  takeMany(pool, pool.inflight() - count);
  return { bench, pool };
}

function waiters(pool: PagePool): number {
  return pool.life.allocQueue?.size ?? 0;
}

/** What became of a promise: its value, a code, or "waiting". */
async function outcome(promise: Promise<NetmemRef>): Promise<NetmemRef | string> {
  const settled = promise.catch((error: unknown) => (isNetmemError(error) ? error.code : String(error)));
  return Promise.race([settled, Promise.resolve().then(() => Promise.resolve("waiting"))]);
}

test("a buffer that is there is handed over at once, and puts stay fast", async () => {
  const { pool } = scarcePool(2);
  const ref = await pool.allocWait();
  expect([waiters(pool), pool.slow]).toEqual([0, 0]);
  pool.putFullPage(ref);
  checkPoolInvariants(pool);
});

test("the put that frees a buffer hands it to whoever asked first", async () => {
  const { pool } = scarcePool(1);
  const held = take(pool);
  const [first, second] = [pool.allocWait(), pool.allocWait()];
  expect([await outcome(first), waiters(pool)]).toEqual(["waiting", 2]);
  pool.putFullPage(held);
  expect(pool.allocNetmem()).toBe(0);
  const ref = await first;
  expect([waiters(pool), await outcome(second)]).toEqual([1, "waiting"]);
  pool.recycleDirect(ref);
  expect([await second, waiters(pool), pool.slow]).toEqual([expect.any(Number), 0, 0]);
  checkPoolInvariants(pool);
});

test("a higher priority goes first, equals in the order they asked", async () => {
  const { pool } = scarcePool(1);
  let ref = take(pool);
  const served: string[] = [];
  const wait = (name: string, priority?: number): Promise<void> =>
    pool.allocWait(priority === undefined ? {} : { priority }).then((got) => {
      served.push(name);
      ref = got;
    });
  const all = [wait("a"), wait("low", -1), wait("b"), wait("high", 5), wait("c", 0), wait("high too", 5)];
  for (let n = 0; n < all.length; n++) {
    pool.putFullPage(ref);
    await Promise.resolve();
    await Promise.resolve();
  }
  expect(served).toEqual(["high", "high too", "a", "b", "c", "low"]);
});

test.each<[string, (pool: PagePool, ref: NetmemRef) => void]>([
  ["put", (pool, ref) => pool.put(ref, -1, false)],
  ["recycleDirect", (pool, ref) => pool.recycleDirect(ref)],
  ["returnNetmem", (pool, ref) => returnNetmem(pool.host, ref)],
  ["putNetmemBulk", (pool, ref) => pool.putNetmemBulk(Int32Array.of(ref), 1)],
  ["putUnrefed", (pool, ref) => pool.putUnrefed(ref, -1, false)],
  [
    "the last of two fragments",
    (pool, ref) => {
      pool.fragmentNetmem(ref, 2);
      pool.putFullPage(ref);
      pool.putFullPage(ref);
    },
  ],
])("every way home wakes: %s", async (_name, put) => {
  const { pool } = scarcePool(1);
  const ref = take(pool);
  const waiting = pool.allocWait();
  put(pool, ref);
  expect(waiters(pool)).toBe(0);
  expect(((await waiting) ^ ref) & 0x1fffff).toBe(0);
});

test("a put that another holder survives wakes nobody", async () => {
  const { pool } = scarcePool(1);
  const ref = take(pool);
  const waiting = pool.allocWait();
  pool.fragmentNetmem(ref, 2);
  pool.putFullPage(ref);
  expect([await outcome(waiting), waiters(pool)]).toEqual(["waiting", 1]);
  pool.putFullPage(ref);
  expect(waiters(pool)).toBe(0);
});

test("an allocation that brings a buffer home for one waiter finds what the next one left in the cache", async () => {
  const bench = makeThreads(1);
  const pool = createPagePool(bench.host, { poolSize: 64, reclaim: false });
  const ref = take(pool);
  const hoard = takeMany(pool, pool.inflight() - 1);
  for (let page = bench.host.pages.allocPages(0); page !== 0; page = bench.host.pages.allocPages(0)) hoard.push(page);
  const waiting = Promise.all([pool.allocWait(), pool.allocWait()]);
  for (const page of hoard.slice(-200)) bench.host.pages.freePage(asPageRef(page));
  returnNetmem(bench.workers[0]!, ref);
  // The first gets the worker's buffer, the second a fresh one, and there are 63 left for this call.
  expect(pool.allocNetmem()).not.toBe(0);
  checkPoolInvariants(pool);
  expect([waiters(pool), pool.getStats().alloc.slow]).toEqual([0, 2]);
  await waiting;
});

test("timeout, abort, destroy, bad parameters", async () => {
  const { bench, pool } = scarcePool(1);
  const held = take(pool);
  const controller = new AbortController();
  const timed = pool.allocWait({ timeoutMs: 50 });
  const aborted = pool.allocWait({ signal: controller.signal });
  const endless = pool.allocWait();
  bench.clock.advance(49);
  expect(await outcome(timed)).toBe("waiting");
  bench.clock.advance(1);
  await expect(timed).rejects.toMatchObject({ code: "ERR_NETMEM_ALLOC_TIMEOUT", errno: "ETIMEDOUT", value: 50 });
  const reason = new Error("enough");
  controller.abort(reason);
  await expect(aborted).rejects.toMatchObject({ code: "ERR_NETMEM_ALLOC_ABORTED", errno: "ECANCELED", cause: reason });
  await expect(pool.allocWait({ signal: controller.signal })).rejects.toMatchObject({ cause: reason });
  for (const bad of [{ timeoutMs: -1 }, { priority: 0.5 }, { priority: 1001 }]) {
    await expect(pool.allocWait(bad)).rejects.toMatchObject({ code: "ERR_NETMEM_INVALID_PARAM", errno: "EINVAL" });
  }
  expect(waiters(pool)).toBe(1);
  pool.destroy();
  await expect(endless).rejects.toMatchObject({ code: "ERR_NETMEM_POOL_DESTROYED" });
  await expect(pool.allocWait()).rejects.toMatchObject({ code: "ERR_NETMEM_POOL_DESTROYED" });
  pool.putFullPage(held);
});

test("a page that becomes free elsewhere is noticed within 10 ms", async () => {
  const bench = makeBench();
  const pool = createPagePool(bench.host, { reclaim: false });
  let page = bench.host.pages.allocPages(0);
  for (let next = page; next !== 0; next = bench.host.pages.allocPages(0)) page = next;
  const waiting = pool.allocWait();
  expect(await outcome(waiting)).toBe("waiting");
  if (page !== 0) bench.host.pages.freePage(page);
  bench.clock.advance(10);
  expect(await waiting).not.toBe(0);
});

test("a return from another thread wakes this one out of its event loop", async () => {
  const bench = makeThreads(1);
  const pool = createPagePool(bench.host, { poolSize: 64, reclaim: false });
  const held = take(pool);
  while (bench.host.pages.allocPages(0) !== 0);
  takeMany(pool, pool.inflight() - 1);
  const waiting = pool.allocWait();
  expect(await outcome(waiting)).toBe("waiting");
  returnNetmem(bench.workers[0]!, held);
  expect(((await waiting) ^ held) & 0x1fffff).toBe(0);
  expect(bench.host.returns?.hasWork()).toBe(false);
});

type Command =
  | { readonly kind: "wait"; readonly priority: number; readonly timeoutMs: number | undefined }
  | { readonly kind: "alloc" | "put" | "abort" | "advance"; readonly n: number };

const command: fc.Arbitrary<Command> = fc.oneof(
  fc.record({
    kind: fc.constant("wait" as const),
    priority: fc.integer({ min: -2, max: 2 }),
    timeoutMs: fc.option(fc.integer({ min: 0, max: 40 }), { nil: undefined }),
  }),
  fc.record({ kind: fc.constantFrom("alloc" as const, "put", "put", "abort", "advance"), n: fc.nat(30) }),
);

/** One caller of `allocWait`, and what it was told. */
interface Caller {
  readonly controller: AbortController;
  readonly priority: number;
  told: NetmemRef | string | null;
}

/** Lets every promise that is settled tell. */
async function settle(): Promise<void> {
  for (let n = 0; n < 4; n++) await Promise.resolve();
}

test("random waits, puts, aborts and timeouts: every buffer is somewhere, nobody waits beside a free one", async () => {
  console.log(`allocWait: NETMEM_SEED=${seed}`);
  let served = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(command, { maxLength: 60, size: "max" }),
      async (size, commands) => {
        const { bench, pool } = scarcePool(size);
        const { clock } = bench;
        const callers: Caller[] = [];
        const held: NetmemRef[] = [];
        for (const one of commands) {
          if (one.kind === "wait") callers.push(startCaller(pool, one.priority, one.timeoutMs, held));
          else if (one.kind === "alloc") {
            const ref = pool.allocNetmem();
            if (ref !== 0) held.push(ref);
          } else if (one.kind === "put" && held.length > 0) pool.putFullPage(held.splice(one.n % held.length, 1)[0]!);
          else if (one.kind === "abort" && callers.length > 0) callers[one.n % callers.length]!.controller.abort();
          else if (one.kind === "advance") clock.advance(one.n);
          await settle();
          const waiting = callers.filter(({ told }) => told === null);
          expect(waiters(pool)).toBe(waiting.length);
          expect(pool.slow === 0).toBe(waiting.length === 0);
          if (waiting.length > 0) expect(held.length).toBe(size);
          expect(new Set(held).size).toBe(held.length);
          checkPoolInvariants(pool);
        }
        served += callers.filter(({ told }) => typeof told === "number").length;
        for (const ref of held) pool.putFullPage(ref);
        pool.destroy();
        await settle();
        expect(callers.filter(({ told }) => told === null)).toEqual([]);
      },
    ),
    { seed, numRuns: 60 },
  );
  expect(served).toBeGreaterThan(100);
});

function startCaller(pool: PagePool, priority: number, timeoutMs: number | undefined, held: NetmemRef[]): Caller {
  const controller = new AbortController();
  const caller: Caller = { controller, priority, told: null };
  const options = { signal: controller.signal, priority, ...(timeoutMs === undefined ? {} : { timeoutMs }) };
  void pool.allocWait(options).then(
    (ref) => {
      caller.told = ref;
      held.push(ref);
    },
    (error: unknown) => (caller.told = isNetmemError(error) ? error.code : String(error)),
  );
  return caller;
}
