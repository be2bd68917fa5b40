import {
  acquireLock,
  asNetmemRef,
  COMMON_LOCK,
  holdReturns,
  lockHolder,
  META_GEN_MASK,
  META_OWNER_SHIFT,
  type NetmemRef,
  NetmemState,
  OWNER_ORDER0,
  ownerTag,
  refNetmem,
  returnNetmem,
} from "@netmem/core";
import { ChannelReceiver, ChannelSender, createChannel, freeChannel } from "@netmem/ring";
import { expect, test } from "vitest";
import { checkPoolInvariants, createPagePool, installPagePools, PagePool, PagePoolFlag } from "../src/index.ts";
import { FakeDmaDevice } from "./fake-dma-device.ts";
import { FakeNiovProvider, providerParams } from "./fake-niov-provider.ts";
import { take, takeMany } from "./fixture.ts";
import { attachTo, makeThreads, type ThreadBench } from "./second-thread.ts";

/** Buffers on their way to a worker that takes `taken` of them. */
function sendTo(bench: ThreadBench, refs: readonly NetmemRef[], taken: number): { at: number; sender: ChannelSender } {
  const at = createChannel(bench.host, 64);
  const sender = new ChannelSender(bench.host, at);
  const receiver = new ChannelReceiver(bench.workers[0]!, at);
  expect(sender.sendBatch(Int32Array.from(refs), 0, refs.length)).toBe(refs.length);
  expect(receiver.receive(new Int32Array(64), taken)).toBe(taken);
  return { at, sender };
}

function refsOf(pool: PagePool): NetmemRef[] {
  return pool.outside();
}

test("what it had taken from a channel, what was waiting there, and what it had returned and not handed over", () => {
  const bench = makeThreads(2);
  const { host } = bench;
  const [dead] = bench.workers;
  const pool = createPagePool(host, { poolSize: 64 });
  const refs = takeMany(pool, 10);
  const { at, sender } = sendTo(bench, refs, 7);
  returnNetmem(dead!, refs[0]!);
  holdReturns(dead!);
  returnNetmem(dead!, refs[1]!);
  returnNetmem(dead!, refs[2]!);
  const report = host.reclaim(1);
  expect(report).toEqual({
    workerId: 1,
    name: "worker 1",
    locks: [],
    pages: expect.anything() as unknown,
    adopted: [],
    stranded: [],
    areas: 0,
    unflushed: 2,
    held: { queued: 3, taken: 4, doubtful: [] },
  });
  expect([pool.outside(), host.returnCounts]).toEqual([[], { delivered: 3, refused: 0 }]);
  expect(host.workers.list().map(({ workerId }) => workerId)).toEqual([0, 2]);
  expect(sender.isClosed).toBe(true);
  expect(sender.sendBatch(Int32Array.of(take(pool)), 0, 1)).toBe(1);
  const next = attachTo(bench);
  expect([next.workerId, new ChannelReceiver(next, at).receive(new Int32Array(4), 4), sender.isClosed]).toEqual([
    1,
    1,
    false,
  ]);
  checkPoolInvariants(pool);
});

test("a thread that is not the owner reclaims: the buffers travel on to their owner", () => {
  const bench = makeThreads(2);
  const pool = createPagePool(bench.host, { poolSize: 64 });
  sendTo(bench, takeMany(pool, 6), 4);
  const report = bench.workers[1]!.reclaim(1);
  expect(report.held).toEqual({ queued: 2, taken: 4, doubtful: [] });
  expect([bench.host.drainInbox(), refsOf(pool), bench.host.returnCounts.refused]).toEqual([6, [], 0]);
});

test("a sender that died: what it had sent arrives, what it had not shown goes home or to the receiver, never both", () => {
  const bench = makeThreads(1);
  const { host } = bench;
  const [dead] = bench.workers;
  const pool = createPagePool(host, { poolSize: 64 });
  const at = createChannel(host, 64);
  const sender = new ChannelSender(dead!, at);
  const receiver = new ChannelReceiver(host, at);
  const [a, b] = takeMany(pool, 2);
  sender.send(a!);
  sender.flush();
  sender.send(b!);
  expect(host.reclaim(1).held).toEqual({ queued: 0, taken: 0, doubtful: [] });
  const into = new Int32Array(4);
  expect([receiver.receive(into, 4), receiver.isClosed, [...into.subarray(0, 2)]]).toEqual([2, true, [a, b]]);
});

test("what it had sent on, and nobody has taken yet, is the next receiver's", () => {
  const bench = makeThreads(2);
  const [dead, other] = bench.workers;
  const pool = createPagePool(bench.host, { poolSize: 64 });
  const refs = takeMany(pool, 3);
  sendTo(bench, refs, 3);
  const at = createChannel(bench.host, 4);
  const receiver = new ChannelReceiver(other!, at);
  new ChannelSender(dead!, at).sendBatch(Int32Array.from(refs), 0, 2);
  expect(bench.host.reclaim(1).held).toEqual({ queued: 0, taken: 1, doubtful: [] });
  const into = new Int32Array(4);
  expect([receiver.receive(into, 4), [...into.subarray(0, 2)]]).toEqual([2, refs.slice(0, 2)]);
  expect(pool.outside().sort((x, y) => x - y)).toEqual(refs.slice(0, 2).sort((x, y) => x - y));
});

test("buffers that others hold as well are named and stay", () => {
  const bench = makeThreads(1);
  const pool = createPagePool(bench.host, { poolSize: 64 });
  const [shared, alone] = takeMany(pool, 2) as [NetmemRef, NetmemRef];
  refNetmem(bench.host, shared);
  sendTo(bench, [shared, alone], 2);
  expect(bench.host.reclaim(1).held).toEqual({ queued: 0, taken: 1, doubtful: [shared] });
  expect(pool.outside()).toEqual([shared]);
});

test("a stamp of an earlier life, and one of a buffer that was passed on, are no claim", () => {
  const bench = makeThreads(2);
  const [dead, other] = bench.workers;
  const pool = createPagePool(bench.host, { poolSize: 64 });
  const [back, passed, mailed] = takeMany(pool, 3) as [NetmemRef, NetmemRef, NetmemRef];
  sendTo(bench, [back, passed, mailed], 3);
  returnNetmem(dead!, back);
  bench.host.drainInbox();
  const at = createChannel(bench.host, 4);
  new ChannelSender(dead!, at).sendBatch(Int32Array.of(passed), 0, 1);
  new ChannelReceiver(other!, at).receive(new Int32Array(1), 1);
  pool.putFullPage(mailed);
  const again = take(pool);
  expect(((again ^ mailed) & 0x1fffff) === 0).toBe(true);
  expect(bench.host.reclaim(1).held).toEqual({ queued: 0, taken: 0, doubtful: [] });
  expect(pool.outside().sort((x, y) => x - y)).toEqual([passed, again].sort((x, y) => x - y));
});

test("its pools live on, destroyed, until their last buffer came home to the caller", () => {
  const bench = makeThreads(2);
  const { host, clock } = bench;
  const [dead, other] = bench.workers;
  installPagePools(host);
  const pool = createPagePool(dead!, { name: "of the dead", poolSize: 64 });
  const refs = takeMany(pool, 5);
  const frag = pool.allocFrag(100);
  const { firstPageIdx, pageCount } = host.layout;
  const pages = Array.from({ length: pageCount - firstPageIdx }, (_, n) => firstPageIdx + n).filter(
    (idx) => host.i32[idx]! >>> META_OWNER_SHIFT === pool.ownerId,
  );
  expect(pages.length).toBe(64);
  pool.putFullPage(refs[0]!);
  returnNetmem(other!, refs[1]!);
  const report = host.reclaim(1);
  expect(report.adopted).toEqual([{ ownerId: pool.ownerId, name: "of the dead", memType: 2, workerId: 1 }]);
  const adopted = host.owners.get(pool.ownerId) as unknown as PagePool;
  expect(adopted).toBeInstanceOf(PagePool);
  expect([adopted.inflight(), adopted.outside().length, adopted.id]).toEqual([4, 4, pool.id]);
  expect(host.pools.list()).toContain(adopted);
  checkPoolInvariants(adopted);
  expect(host.workers.describe(1)).toMatchObject({ isAlive: false, holderId: 0 });
  returnNetmem(other!, refs[2]!);
  returnNetmem(host, refs[3]!);
  returnNetmem(other!, refs[4]!);
  returnNetmem(other!, asNetmemRef(frag));
  clock.advance(1000);
  expect([host.owners.get(pool.ownerId), host.pools.list(), host.returnCounts.refused]).toEqual([null, [], 0]);
  expect(host.workers.list().map(({ workerId }) => workerId)).toEqual([0, 2]);
  // All of them are back with the page allocator, on this thread's list.
  const free = ownerTag(OWNER_ORDER0, NetmemState.Pooled);
  expect(pages.filter((idx) => (host.i32[idx]! & ~META_GEN_MASK) !== free)).toEqual([]);
});

test("a pool that mapped for a device: its mappings are taken down", () => {
  const device = new FakeDmaDevice();
  const bench = makeThreads(0, { dma: device });
  const dead = attachTo(bench, { dma: device });
  installPagePools(bench.host);
  const pool = createPagePool(dead, { flags: PagePoolFlag.DmaMap });
  takeMany(pool, 2);
  expect(device.live.size).toBe(64);
  bench.host.reclaim(1);
  expect(device.live.size).toBe(0);
});

test("a provider is told on the thread that takes over, if that has registered it", () => {
  const bench = makeThreads(1);
  const { host, warnings } = bench;
  const [dead] = bench.workers;
  const theirs = new FakeNiovProvider({ host: dead!, count: 16 });
  const pool = createPagePool(dead!, providerParams(theirs));
  take(pool);
  installPagePools(host);
  const report = host.reclaim(1);
  expect([report.adopted, report.stranded.map(({ ownerId }) => ownerId), report.areas]).toEqual([
    [],
    [pool.ownerId],
    1,
  ]);
  expect(warnings.map(({ code, message }) => [code, message.includes("fake-niov")])).toEqual([
    ["WARN_NETMEM_ADOPT_FAILED", true],
  ]);

  const second = makeThreads(1);
  const area = new FakeNiovProvider({ host: second.workers[0]!, count: 16 });
  const lent = createPagePool(second.workers[0]!, providerParams(area));
  const ref = take(lent);
  const came: NetmemRef[] = [];
  second.host.providers.register({
    name: "fake-niov",
    opsVersion: 1,
    init: () => {},
    destroy: () => came.push(asNetmemRef(-1)),
    allocNetmems: () => 0,
    releaseNetmem: (_pool, one) => (came.push(one), false),
    owns: () => true,
  });
  installPagePools(second.host);
  expect(second.host.reclaim(1).adopted.length).toBe(1);
  expect(came.length).toBe(15);
  returnNetmem(second.host, ref);
  second.clock.advance(1000);
  expect([came.length, came.at(-1)]).toEqual([17, -1]);
});

test("an owner whose type cannot be taken over is reported, and keeps the number of its worker", () => {
  const bench = makeThreads(1);
  const owner = { memType: 4, name: "device memory", returnSlow: () => {} };
  const ownerId = bench.workers[0]!.owners.claim(owner);
  const report = bench.host.reclaim(1);
  expect(report.stranded).toEqual([{ ownerId, name: "device memory", memType: 4, workerId: 1 }]);
  expect(bench.host.workers.describe(1).isAlive).toBe(false);
});

test("locks that it held are repaired, and the strays of a half-made area are gone", () => {
  const bench = makeThreads(1);
  const { host } = bench;
  const { commonAt, pageCount, infoAt } = host.layout;
  acquireLock(host.i32, commonAt + COMMON_LOCK, 1);
  acquireLock(host.i32, commonAt + 16, 1);
  host.i32[infoAt + pageCount + 3] = 1 << 16;
  expect(host.reclaim(1).locks).toEqual(["areas and names", "heap"]);
  expect([lockHolder(host.i32, commonAt + COMMON_LOCK), lockHolder(host.i32, commonAt + 16)]).toEqual([-1, -1]);
  expect([host.i32[infoAt + pageCount + 3], host.areas.list()]).toEqual([0, []]);
  host.heap.allocWords(16);
});

test("who took over may die as well", () => {
  const bench = makeThreads(2);
  const [first, second] = bench.workers;
  for (const host of [bench.host, second!]) installPagePools(host);
  const pool = createPagePool(first!, { poolSize: 64 });
  const ref = take(pool);
  second!.reclaim(1);
  returnNetmem(bench.host, ref);
  const report = bench.host.reclaim(2);
  expect(report.adopted.map(({ ownerId, workerId }) => [ownerId, workerId])).toEqual([[pool.ownerId, 1]]);
  bench.clock.advance(1000);
  expect(bench.host.workers.list().map(({ workerId }) => workerId)).toEqual([0]);
  expect(bench.host.returnCounts).toEqual({ delivered: 1, refused: 0 });
});

test("who cannot be reclaimed", () => {
  const bench = makeThreads(1);
  const code = (call: () => unknown): unknown => {
    try {
      return call();
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  expect([0, 1.5, 32, 7].map((id) => code(() => bench.host.reclaim(id)))).toEqual([
    "ERR_NETMEM_INVALID_PARAM",
    "ERR_NETMEM_INVALID_PARAM",
    "ERR_NETMEM_INVALID_PARAM",
    "ERR_NETMEM_WORKER_UNKNOWN",
  ]);
  bench.host.reclaim(1);
  expect(code(() => bench.host.reclaim(1))).toBe("ERR_NETMEM_WORKER_UNKNOWN");
});

test("a channel has one sender and one receiver, and gives what is inside back when it is freed", () => {
  const bench = makeThreads(1);
  const pool = createPagePool(bench.host, { poolSize: 64 });
  const at = createChannel(bench.host, 4);
  const sender = new ChannelSender(bench.host, at);
  expect(() => new ChannelSender(bench.workers[0]!, at)).toThrow(
    expect.objectContaining({ code: "ERR_NETMEM_CHANNEL_TAKEN", errno: "EBUSY" }),
  );
  const refs = Int32Array.from(takeMany(pool, 5));
  expect([sender.sendBatch(refs, 0, 5), sender.send(refs[4]!)]).toEqual([4, false]);
  sender.close();
  freeChannel(bench.host, at);
  expect(pool.outside()).toEqual([refs[4]]);
  expect(() => freeChannel(bench.host, at)).toThrow(expect.objectContaining({ code: "ERR_NETMEM_CHANNEL_UNKNOWN" }));
});
