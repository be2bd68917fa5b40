import { attachHost, createHost, type Host, type PageRef, XdpRxqInfo } from "@netmem/core";
import { attachPageAllocator, createPageAllocator } from "@netmem/mm";
import { installPagePools, createPagePool, type PagePool } from "@netmem/page-pool";
import { createReturns, ThreadReturns } from "@netmem/ring";
import { asFrameRef, convertBuffToFrame, returnFrame, XdpBuff } from "@netmem/skb";
import { VirtualClock } from "@netmem/testing";
import { expect, test } from "vitest";
// @boundaries-ignore a helper of mm's tests, which no package has a use for
import { asMortal, createMortalHost, type MortalHost } from "../../mm/test/mortal-host.ts";
import { FrameReceiver, FrameSender } from "../src/frame-link.ts";
import { STATE, WORKER_WORDS, WorkerState } from "../src/worker-words.ts";
import { Link } from "../src/workers/link.ts";
import { reclaimWorker } from "../src/workers/reclaim.ts";

/*
 * Worker a dies before any of its stores while it has frames of its own and of worker b, posted, received, sent. All threads
 * are played by one. The group's thread takes over; b takes what was sent to it.
 */
const OWN = 5;
const FOREIGN = 6;

class Scene {
  readonly clock = new VirtualClock();
  readonly main: Host = createHost({
    arenaBytes: 4 * 2 ** 20,
    clock: this.clock,
    pageAllocator: createPageAllocator,
    returns: createReturns,
    onWarning: (w) => this.warnings.push(w),
  });
  readonly warnings: unknown[] = [];
  readonly peer: Host = this.attach("b");
  readonly mortal: MortalHost = createMortalHost(this.attach("a"));
  readonly pool: PagePool = createPagePool(this.peer, { poolSize: 64 });
  readonly wordsAt: number = this.main.heap.allocWords(WORKER_WORDS);
  readonly peerAt: number = this.main.heap.allocWords(WORKER_WORDS);
  readonly links: readonly [Link, Link] = [
    new Link(this.main, { from: "b", to: "a", size: 16 }, 1),
    new Link(this.main, { from: "a", to: "b", size: 16 }, 2),
  ];
  /** Buffers of its own that the worker posted and never looks at again. */
  readonly posted = new Int32Array(4);
  died = false;

  constructor() {
    installPagePools(this.main);
    installPagePools(this.peer);
    const { main, peer, links, wordsAt, peerAt, pool } = this;
    for (const at of [wordsAt, peerAt]) main.i32[at + STATE] = WorkerState.Running;
    const sender = new FrameSender(peer, links[0].at, wordsAt);
    const frames = Int32Array.from({ length: FOREIGN }, (_, n) => makeFrame(peer, pool, n % 3));
    expect(sender.send(frames, FOREIGN)).toBe(FOREIGN);
  }

  /** Lets the worker live for `fuse` stores. */
  live(fuse: number): void {
    const { mortal, links, wordsAt, peerAt, posted } = this;
    mortal.fuse = fuse;
    const survived = asMortal(() => {
      const { host } = mortal;
      Object.defineProperty(host, "returns", { value: new ThreadReturns(host) });
      const own = createPagePool(host, { poolSize: 64 });
      own.allocBulk(posted, posted.length);
      const receiver = new FrameReceiver(host, links[0].at, peerAt);
      const sender = new FrameSender(host, links[1].at, wordsAt);
      const frames = new Int32Array(FOREIGN + OWN);
      receiver.receive(frames, 2);
      receiver.receive(frames.subarray(2), FOREIGN - 3);
      for (let n = 0; n < OWN; n++) frames[FOREIGN - 1 + n] = makeFrame(host, own, n % 2);
      // Kept: the first one of b's. Returned: the second. Sent on: the rest, and all but one of its own.
      returnFrame(host, asFrameRef(frames[1]!));
      sender.send(frames.subarray(2), FOREIGN + OWN - 4);
    });
    this.died = !survived;
  }

  /** Everybody does what is left to do. */
  settle(): void {
    const { main, peer, links, clock, wordsAt } = this;
    const dead = { name: "a", threadName: "a", wordsAt, error: new Error("dead") };
    const { report } = reclaimWorker(main, dead, { links, isQuiet: true });
    expect(report?.stranded).toEqual([]);
    const frames = new Int32Array(16);
    const receiver = new FrameReceiver(peer, links[1].at, wordsAt);
    const count = receiver.receive(frames, 16);
    for (let n = 0; n < count; n++) returnFrame(peer, asFrameRef(frames[n]!));
    peer.drainInbox();
    main.drainInbox();
    clock.advance(5000);
  }

  private attach(name: string): Host {
    const params = { name, clock: this.clock, returns: createReturns, pageAllocator: attachPageAllocator };
    return attachHost(this.main.share(), params);
  }
}

/** A frame of one page, and `frags` more. */
function makeFrame(host: Host, pool: PagePool, frags: number): number {
  const xdp = new XdpBuff(host, new XdpRxqInfo(), 4096);
  const head = pool.allocPages() as PageRef;
  xdp.prepare(head, host.offsetOf(head), 256, 100);
  for (let n = 0; n < frags; n++) xdp.addFrag(pool.allocPages() as PageRef, 0, 100, 4096);
  return convertBuffToFrame(xdp);
}

test("a worker dies before any store: every buffer of every frame comes home, once", () => {
  let deaths = 0;
  for (let fuse = 0; ; fuse++) {
    const scene = new Scene();
    scene.live(fuse);
    scene.settle();
    const where = `after ${fuse} stores`;
    expect(scene.pool.outside(), where).toEqual([]);
    expect(scene.main.pools.list(), where).toEqual([]);
    const { main, peer } = scene;
    expect([main.returnCounts.refused, peer.returnCounts.refused, scene.warnings], where).toEqual([0, 0, []]);
    if (!scene.died) break;
    deaths++;
  }
  console.log(`${deaths} deaths`);
  expect(deaths).toBeGreaterThan(100);
});
