import { attachHost, createHost, type Host, type PageRef, XdpRxqInfo } from "@netmem/core";
import { attachPageAllocator, createPageAllocator } from "@netmem/mm";
import { createPagePool, installPagePools, type PagePool } from "@netmem/page-pool";
import { ChannelStamps, createReturns } from "@netmem/ring";
import { convertBuffToFrame, returnFrame, XdpBuff } from "@netmem/skb";
import { VirtualClock } from "@netmem/testing";
import { beforeEach, describe, expect, test } from "vitest";
import { forEachBuffer, FrameReceiver, FrameSender } from "../src/frame-link.ts";
import { STATE, WORKER_WORDS, WorkerState } from "../src/worker-words.ts";
import { Link } from "../src/workers/link.ts";
import { reclaimWorker, type WorkerDeath } from "../src/workers/reclaim.ts";

/* Workers a and b, and the thread of their group, all played by one thread. */
const SIZE = 8;
let clock: VirtualClock;
let main: Host;
let a: Host;
let b: Host;
let words: { a: number; b: number };
let toB: Link;
let toA: Link;
let pool: PagePool;
const got = new Int32Array(SIZE);

function attach(name: string): Host {
  return attachHost(main.share(), { name, clock, returns: createReturns, pageAllocator: attachPageAllocator });
}

beforeEach(() => {
  clock = new VirtualClock();
  main = createHost({ arenaBytes: 4 * 2 ** 20, clock, pageAllocator: createPageAllocator, returns: createReturns });
  installPagePools(main);
  a = attach("a");
  b = attach("b");
  words = { a: main.heap.allocWords(WORKER_WORDS), b: main.heap.allocWords(WORKER_WORDS) };
  for (const at of Object.values(words)) setState(at, WorkerState.Running);
  toB = new Link(main, { from: "a", to: "b", size: SIZE }, 1);
  toA = new Link(main, { from: "b", to: "a", size: SIZE }, 2);
  pool = createPagePool(a, { poolSize: 64 });
});

function setState(at: number, state: WorkerState): void {
  main.i32[at + STATE] = state;
}

/** A frame of `host`'s pool with two fragments. */
function makeFrame(host: Host, from: PagePool): number {
  const xdp = new XdpBuff(host, new XdpRxqInfo(), 4096);
  const head = from.allocPages() as PageRef;
  xdp.prepare(head, host.offsetOf(head), 256, 100);
  for (let n = 0; n < 2; n++) xdp.addFrag(from.allocPages() as PageRef, 0, 100, 4096);
  return convertBuffToFrame(xdp);
}

const makeFrames = (count: number, host = a, from = pool): Int32Array =>
  Int32Array.from({ length: count }, () => makeFrame(host, from));

function giveBack(host: Host, frames: Int32Array, count: number): void {
  for (let n = 0; n < count; n++) returnFrame(host, frames[n]! as Parameters<typeof returnFrame>[1]);
}

function die(): WorkerDeath {
  const dead = { name: "a", threadName: "a", wordsAt: words.a, error: new Error("dead") };
  return reclaimWorker(main, dead, { links: [toA, toB], isQuiet: true });
}

/** After everybody gave back what came: the pool that was taken over is gone, and nothing was returned twice. */
function expectHome(): void {
  main.drainInbox();
  clock.advance(5000);
  expect(main.pools.list()).toEqual([]);
  expect([main.returnCounts.refused, b.returnCounts.refused]).toEqual([0, 0]);
}

describe("a link", () => {
  test("takes frames as far as there is room, in order, and gives them to the other thread", () => {
    const sender = new FrameSender(a, toB.at, words.b);
    const receiver = new FrameReceiver(b, toB.at, words.a);
    const frames = makeFrames(SIZE + 2);
    expect([sender.room(), sender.send(frames, SIZE + 2), sender.room()]).toEqual([SIZE, SIZE, 0]);
    expect(sender.refusedCount).toBe(2);
    expect([receiver.hasWork(), receiver.receive(got, 3)]).toEqual([true, 3]);
    expect([...got.subarray(0, 3)]).toEqual([...frames.subarray(0, 3)]);
    expect([sender.room(), receiver.receive(got, SIZE), receiver.hasWork()]).toEqual([3, SIZE - 3, false]);
  });

  test.each([
    ["is down", WorkerState.Down, 0],
    ["pauses", WorkerState.Paused, 1],
    ["leaves", WorkerState.Leaving, 0],
  ] as const)("to a worker that %s takes %i", (_what, state, taken) => {
    setState(words.b, state);
    expect(new FrameSender(a, toB.at, words.b).send(makeFrames(1), 1)).toBe(taken);
  });

  test("has one sender and one receiver at a time", () => {
    const sender = new FrameSender(a, toB.at, words.b);
    expect(() => new FrameSender(b, toB.at, words.b)).toThrow("ERR_NETMEM_CHANNEL_TAKEN");
    sender.close();
    expect(() => new FrameSender(b, toB.at, words.b)).not.toThrow();
  });

  test("stamps every buffer with who took it", () => {
    const frame = makeFrame(a, pool);
    const stamps = new ChannelStamps(main);
    const holders = (): number[] => {
      const found: number[] = [];
      forEachBuffer(main, frame as Parameters<typeof forEachBuffer>[1], (ref) => found.push(stamps.holderOf(ref)));
      return found;
    };
    expect(holders()).toEqual([-1, -1, -1]);
    new FrameSender(a, toB.at, words.b).send(Int32Array.of(frame), 1);
    new FrameReceiver(b, toB.at, words.a).receive(got, 1);
    expect(holders()).toEqual([b.workerId, b.workerId, b.workerId]);
  });
});

describe("when a worker dies", () => {
  test("what it had itself goes home, posted or in packets", () => {
    makeFrames(3);
    pool.allocBulk(got, 5);
    expect(die()).toMatchObject({ inLinks: 0, taken: 14, doubtful: [] });
    expectHome();
  });

  test("frames that it sent are its receiver's", () => {
    new FrameSender(a, toB.at, words.b).send(makeFrames(3), 3);
    const receiver = new FrameReceiver(b, toB.at, words.a);
    receiver.receive(got, 1);
    expect(die()).toMatchObject({ inLinks: 0, taken: 0 });
    expect(main.pools.list().length).toBe(1);
    giveBack(b, got, 1);
    giveBack(b, got, receiver.receive(got, SIZE));
    expectHome();
  });

  test("frames on their way to it go home, also those that it was about to take", () => {
    const own = createPagePool(b, { poolSize: 64 });
    const frames = makeFrames(3, b, own);
    new FrameSender(b, toA.at, words.a).send(frames, 3);
    // It stamped the first, and did not come to give the slot back.
    const stamps = new ChannelStamps(a);
    forEachBuffer(a, frames[0]! as Parameters<typeof forEachBuffer>[1], (ref) => stamps.set(ref));
    expect(die()).toMatchObject({ inLinks: 3, report: { held: { taken: 0 } } });
    b.drainInbox();
    expect(own.outside()).toEqual([]);
    expectHome();
  });

  test("frames of others that it took go home by their stamps; those that it sent on do not", () => {
    const own = createPagePool(b, { poolSize: 64 });
    new FrameSender(b, toA.at, words.a).send(makeFrames(4, b, own), 4);
    new FrameReceiver(a, toA.at, words.b).receive(got, 4);
    new FrameSender(a, toB.at, words.b).send(got, 1);
    expect(die()).toMatchObject({ inLinks: 0, report: { held: { taken: 9 } } });
    b.drainInbox();
    expect(own.outside().length).toBe(3);
    giveBack(b, got, new FrameReceiver(b, toB.at, words.a).receive(got, SIZE));
    expect(own.outside()).toEqual([]);
    expectHome();
  });

  test("a buffer that several hold is named, and stays as it is", () => {
    const ref = pool.allocPages() as PageRef;
    pool.fragmentNetmem(ref, 2);
    expect(die()).toMatchObject({ taken: 0, doubtful: [ref] });
  });

  test("while others cannot be paused, only what is written down is taken", () => {
    makeFrames(1);
    const dead = { name: "a", threadName: "a", wordsAt: words.a, error: new Error("dead") };
    expect(reclaimWorker(main, dead, { links: [toA, toB], isQuiet: false })).toMatchObject({ taken: 0 });
    expect(main.pools.list().length).toBe(1);
  });
});
