import {
  asNetmemRef,
  flushReturns,
  getNetmem,
  type Host,
  holdReturns,
  metaStateName,
  type NetmemRef,
  OWNER_ORDER0,
  pageRefCount,
  putNetmem,
  refNetmem,
  returnNetmem,
  returnNetmemBulk,
  returnNetmemRxNapi,
} from "@netmem/core";
import { createReturnsWith } from "@netmem/ring";
import { expect, test } from "vitest";
import { checkPoolInvariants, createPagePool, type PagePool, type PagePoolParams } from "../src/index.ts";
import { FakeNiovProvider, providerParams } from "./fake-niov-provider.ts";
import { take } from "./fixture.ts";
import { attachTo, makeThreads, type ThreadBench } from "./second-thread.ts";

function makePool(bench: ThreadBench, params: PagePoolParams = {}): PagePool {
  return createPagePool(bench.host, { poolSize: 8, ...params });
}

function stateOf(host: Host, ref: NetmemRef): string {
  return metaStateName(host.i32[(ref >>> 1) & 0xfffff]!);
}

/** Refuses with `code`, and changes nothing that any thread can see. */
function expectRefused(bench: ThreadBench, code: string, call: () => unknown): void {
  const before = bench.host.i32.slice();
  expect(call).toThrow(expect.objectContaining({ code }));
  expect(before.findIndex((word, at) => word !== bench.host.i32[at])).toBe(-1);
}

test("a buffer returned by a worker is out until the owner looks, and is a put from remote context then", () => {
  const bench = makeThreads(1);
  const pool = makePool(bench);
  const ref = take(pool);
  returnNetmem(bench.workers[0]!, ref);
  expect([stateOf(bench.host, ref), pool.getStats().recycle.ring]).toEqual(["out", 0]);
  expect(pool.drainInbox()).toBe(1);
  expect(stateOf(bench.host, ref)).toBe("pooled");
  expect(pool.getStats().recycle).toMatchObject({ cached: 0, ring: 1 });
  checkPoolInvariants(pool);
});

test("the ring of the pool is full: the rest goes back to the page allocator, counted one by one", () => {
  const bench = makeThreads(1);
  const pool = makePool(bench);
  const refs = Int32Array.from({ length: 11 }, () => take(pool));
  returnNetmemBulk(bench.workers[0]!, refs, 11);
  expect(pool.drainInbox()).toBe(11);
  expect(pool.getStats().recycle).toMatchObject({ ring: 8, ringFull: 3 });
  checkPoolInvariants(pool);
});

test("a pool whose cache is empty looks into the inbox before it asks for new pages", () => {
  const bench = makeThreads(1);
  const pool = makePool(bench, { poolSize: 128 });
  const refs = Int32Array.from({ length: 64 }, () => take(pool));
  returnNetmemBulk(bench.workers[0]!, refs, 64);
  const again = new Set(Array.from({ length: 64 }, () => (take(pool) >>> 1) & 0xfffff));
  expect(again).toEqual(new Set([...refs].map((ref) => (ref >>> 1) & 0xfffff)));
  expect(pool.getStats().alloc).toMatchObject({ slow: 1, refill: 1, empty: 1 });
});

test("in hard-interrupt context nothing comes in", () => {
  const bench = makeThreads(1);
  const pool = makePool(bench);
  returnNetmem(bench.workers[0]!, take(pool));
  bench.host.context.hardirq = true;
  expect(pool.drainInbox()).toBe(0);
  bench.host.context.hardirq = false;
  expect(pool.drainInbox()).toBe(1);
});

test("one batch for many pools and both page owners", () => {
  const bench = makeThreads(1);
  const [worker] = bench.workers;
  const pools = [makePool(bench), makePool(bench, { order: 1 }), makePool(bench)];
  const free = bench.host.pages.freePageCount();
  const page = bench.host.pages.allocPages(0);
  const refs = Int32Array.from([take(pools[0]!), take(pools[1]!), page, take(pools[2]!), take(pools[0]!)]);
  returnNetmemBulk(worker!, refs, refs.length);
  expect(bench.host.drainInbox()).toBe(4);
  expect(pools.map((pool) => pool.getStats().recycle.ring)).toEqual([2, 1, 1]);
  expect(bench.host.pages.freePageCount() + worker!.pages.freePageCount()).toBeGreaterThanOrEqual(free - 64 * 2);
  for (const pool of pools) checkPoolInvariants(pool);
});

test("nothing is handed over between holdReturns and the last flushReturns", () => {
  const bench = makeThreads(1);
  const worker = bench.workers[0]!;
  const pool = makePool(bench);
  const refs = Array.from({ length: 3 }, () => take(pool));
  holdReturns(worker);
  returnNetmem(worker, refs[0]!);
  holdReturns(worker);
  returnNetmem(worker, refs[1]!);
  flushReturns(worker);
  expect(pool.drainInbox()).toBe(0);
  flushReturns(worker);
  expect(pool.drainInbox()).toBe(2);
  returnNetmem(worker, refs[2]!);
  expect(pool.drainInbox()).toBe(1);
});

test("a promise to be the owner's poll is refused on another thread", () => {
  const bench = makeThreads(1);
  const pool = makePool(bench);
  const ref = take(pool);
  expectRefused(bench, "ERR_NETMEM_WRONG_THREAD", () => returnNetmemRxNapi(bench.workers[0]!, ref));
  returnNetmem(bench.workers[0]!, ref);
  expect(pool.drainInbox()).toBe(1);
});

test("a worker that was given no way home is told so", () => {
  const bench = makeThreads(0);
  const pool = makePool(bench);
  const worker = attachTo(bench, { returns: undefined as never });
  const ref = take(pool);
  expectRefused(bench, "ERR_NETMEM_WRONG_THREAD", () => returnNetmem(worker, ref));
});

test.each([
  ["the owner, then a worker", (_owner: Host, a: Host): Host[] => [a]],
  ["two workers", (_owner: Host, a: Host, b: Host): Host[] => [a, b]],
  ["one worker twice", (_owner: Host, a: Host): Host[] => [a, a]],
])("double put by %s: the second is dropped, counted and reported with its worker", (_who, returners) => {
  const bench = makeThreads(2);
  const { host, warnings } = bench;
  const pool = makePool(bench);
  const ref = take(pool);
  const threads = returners(host, bench.workers[0]!, bench.workers[1]!);
  for (const thread of threads) returnNetmem(thread, ref);
  if (threads.length === 1) pool.putFullPage(ref);
  expect(host.drainInbox()).toBe(threads.length);
  expect(host.returnCounts).toEqual({ delivered: threads.length, refused: 1 });
  const { workerId } = threads.at(-1)!;
  expect(warnings).toEqual([
    {
      code: "WARN_NETMEM_RETURN_REFUSED",
      message: expect.stringMatching(
        new RegExp(`^worker ${workerId} \\(worker ${workerId}\\) returned .*ERR_NETMEM_DOUBLE_PUT: `),
      ) as string,
    },
  ]);
  checkPoolInvariants(pool);
});

test("a worker returns what the owner has returned and allocated again: stale, and the new user keeps it", () => {
  const bench = makeThreads(1);
  const pool = makePool(bench);
  const old = take(pool);
  returnNetmem(bench.workers[0]!, old);
  pool.putFullPage(old);
  const next = take(pool);
  expect((next ^ old) & 0x1fffff).toBe(0);
  bench.host.drainInbox();
  expect([bench.host.returnCounts.refused, stateOf(bench.host, next)]).toEqual([1, "out"]);
  expectRefused(bench, "ERR_NETMEM_STALE_REF", () => returnNetmem(bench.workers[0]!, old));
});

test("a buffer on an overflow list is on one only, whoever returns it again", () => {
  const bench = makeThreads(2, { returns: createReturnsWith({ ringSize: 1 }) });
  const [a, b] = Array.from({ length: 2 }, () => attachTo(bench, { returns: createReturnsWith({ ringSize: 1 }) }));
  const pool = makePool(bench);
  const refs = Array.from({ length: 4 }, () => take(pool));
  for (const ref of refs.slice(0, 3)) returnNetmem(a!, ref);
  expect(refs.map((ref) => stateOf(bench.host, ref))).toEqual(["out", "returning", "returning", "out"]);
  expectRefused(bench, "ERR_NETMEM_DOUBLE_PUT", () => returnNetmem(b!, refs[1]!));
  expectRefused(bench, "ERR_NETMEM_DOUBLE_PUT", () => pool.putFullPage(refs[2]!));
  returnNetmem(b!, refs[3]!);
  expect(bench.host.drainInbox()).toBe(4);
  expect([pool.outside(), bench.host.returnCounts.refused]).toEqual([[], 0]);
  checkPoolInvariants(pool);
});

test("fragments freed on three threads: the last one brings the buffer home, whichever it is", () => {
  for (const last of [0, 1, 2]) {
    const bench = makeThreads(2);
    const pool = makePool(bench);
    const threads = [bench.host, ...bench.workers];
    const order = [...threads.filter((_, n) => n !== last), threads[last]!];
    const ref = take(pool);
    pool.fragmentNetmem(ref, 3);
    for (const [n, thread] of order.entries()) {
      expect(pool.outside()).toEqual([ref]);
      returnNetmemBulk(thread, Int32Array.of(ref), 1);
      expect(bench.host.drainInbox()).toBe(n === 2 && thread !== bench.host ? 1 : 0);
    }
    expect([pool.outside(), bench.host.returnCounts.refused]).toEqual([[], 0]);
    checkPoolInvariants(pool);
  }
});

test("a clone that a worker made keeps the buffer out until it is gone", () => {
  const bench = makeThreads(2);
  const [a, b] = bench.workers;
  const pool = makePool(bench);
  const ref = take(pool);
  refNetmem(a!, ref);
  returnNetmem(b!, ref);
  expect([bench.host.drainInbox(), pool.outside()]).toEqual([0, [ref]]);
  returnNetmem(a!, ref);
  expect([bench.host.drainInbox(), pool.outside()]).toEqual([1, []]);
});

test("a page reference that a worker took outlives the pool's: the page leaves the pool and is freed with it", () => {
  const bench = makeThreads(1);
  const [worker] = bench.workers;
  const pool = makePool(bench);
  const ref = take(pool);
  getNetmem(worker!, ref);
  returnNetmem(worker!, ref);
  expect(pool.drainInbox()).toBe(1);
  expect([pool.getStats().recycle.releasedRefcnt, pageRefCount(bench.host, ref)]).toEqual([1, 1]);
  const before = worker!.pages.freePageCount();
  putNetmem(worker!, ref);
  expect(worker!.pages.freePageCount()).toBe(before + 1);
  checkPoolInvariants(pool);
});

test("net_iovs that no CPU reads come home too", () => {
  const bench = makeThreads(1);
  const provider = new FakeNiovProvider({ host: bench.host, count: 16 });
  const pool = makePool(bench, providerParams(provider));
  const ref = take(pool);
  returnNetmem(bench.workers[0]!, ref);
  expect([pool.drainInbox(), pool.outside()]).toEqual([1, []]);
});

test("a worker's own pool: its buffers come back from the creator", () => {
  const bench = makeThreads(1);
  const [worker] = bench.workers;
  const pool = createPagePool(worker!, { name: "of the worker", poolSize: 8 });
  const [kept, sent] = [take(pool), take(pool)];
  returnNetmem(bench.host, sent);
  expect(bench.host.owners.list(1)).toContainEqual({
    ownerId: pool.ownerId,
    name: "of the worker",
    memType: 2,
    workerId: 1,
  });
  expect(bench.host.drainInbox()).toBe(0);
  expect([worker!.drainInbox(), pool.getStats().recycle.ring, pool.outside()]).toEqual([1, 1, [kept]]);
  expect(() => worker!.detach()).toThrow(expect.objectContaining({ code: "ERR_NETMEM_BUSY", value: 1 }));
  returnNetmem(bench.host, kept);
  expect(pool.destroy()).toBe(true);
  worker!.detach();
  expect(bench.host.workers.list().map(({ workerId }) => workerId)).toEqual([0]);
  expect(attachTo(bench).workerId).toBe(1);
});

test("a bulk put of a pool takes buffers of other threads' pools along", () => {
  const bench = makeThreads(1);
  const [worker] = bench.workers;
  const mine = makePool(bench);
  const theirs = createPagePool(worker!, { poolSize: 8 });
  const refs = Int32Array.from([take(mine), take(theirs), take(mine), take(theirs)]);
  mine.putNetmemBulk(refs, 4);
  expect([mine.outside(), worker!.drainInbox(), theirs.outside()]).toEqual([[], 2, []]);
});

test("a pool destroyed with buffers on their way: its tick finds them", () => {
  const bench = makeThreads(1);
  const pool = makePool(bench);
  const ref = take(pool);
  expect(pool.destroy()).toBe(false);
  returnNetmem(bench.workers[0]!, ref);
  bench.clock.advance(1000);
  expect(bench.host.pools.list()).toEqual([]);
});

test("drained() ends with the return that a worker made, without anybody looking", async () => {
  const bench = makeThreads(1);
  const pool = makePool(bench);
  const ref = take(pool);
  const drained = pool.drained({ timeoutMs: 60_000 });
  returnNetmem(bench.workers[0]!, ref);
  await drained;
  expect(pool.outside()).toEqual([]);
});

test("owners that say nothing about other threads get an ordinary return", () => {
  const bench = makeThreads(1, {});
  const [worker] = bench.workers;
  const bare = attachTo(bench, { pageAllocator: undefined as never });
  const page = bench.host.pages.allocPages(0);
  const free = bench.host.pages.freePageCount();
  expect(bare.owners.get(OWNER_ORDER0)).toBe(null);
  returnNetmem(bare, asNetmemRef(page));
  expect([bench.host.drainInbox(), bench.host.pages.freePageCount()]).toEqual([1, free + 1]);
  expect(worker!.drainInbox()).toBe(0);
});
