import {
  attachHost,
  flushReturns,
  type Host,
  holdReturns,
  type NetmemRef,
  returnNetmem,
  returnNetmemBulk,
} from "@netmem/core";
import { attachPageAllocator } from "@netmem/mm";
import { checkPoolInvariants, createPagePool, type PagePool } from "@netmem/page-pool";
import { ChannelReceiver, ChannelSender, createChannel, createReturns, ThreadReturns } from "@netmem/ring";
import { VirtualClock } from "@netmem/testing";
import { createHost } from "netmem";
import { describe, expect, test } from "vitest";
// @boundaries-ignore a helper of mm's tests, which no package has a use for
import { asMortal, createMortalHost, type MortalHost } from "../../packages/mm/test/mortal-host.ts";

/*
 * A worker dies before any of its stores while buffers are in its hands. All threads are played by one, so that each death
 * can be had. The owner of the buffers lives; it or a bystander takes over.
 */
const COUNT = 12;

interface Scene {
  readonly owner: Host;
  readonly bystander: Host;
  readonly mortal: MortalHost;
  readonly pool: PagePool;
  readonly refs: Int32Array;
  /** Into the worker, and out of it to the bystander. */
  readonly inAt: number;
  readonly outAt: number;
  /** The bystander's end of the second one. */
  readonly onward: ChannelReceiver;
  readonly received: Int32Array;
}

function attach(owner: Host, name: string): Host {
  const params = { clock: new VirtualClock(), pageAllocator: attachPageAllocator, returns: createReturns, name };
  return attachHost(owner.share(), params);
}

function createScene(ringSize: number): Scene {
  const owner = createHost({ arenaBytes: 4 * 2 ** 20, clock: new VirtualClock(), onWarning: () => {} });
  const bystander = attach(owner, "bystander");
  const mortal = createMortalHost(attach(owner, "victim"));
  asMortal(() => {
    Object.defineProperty(mortal.host, "returns", { value: new ThreadReturns(mortal.host, { ringSize }) });
  });
  const pool = createPagePool(owner, { poolSize: 64 });
  const refs = new Int32Array(COUNT);
  pool.allocBulk(refs, COUNT);
  const [inAt, outAt] = [createChannel(owner, 16), createChannel(owner, 16)];
  new ChannelSender(owner, inAt).sendBatch(refs, 0, COUNT);
  const onward = new ChannelReceiver(bystander, outAt);
  return { owner, bystander, mortal, pool, refs, inAt, outAt, onward, received: new Int32Array(COUNT) };
}

/** What the worker does with what it receives. */
const operations: Readonly<Record<string, (scene: Scene, received: Int32Array) => void>> = {
  "a bulk return": ({ mortal }, received) => returnNetmemBulk(mortal.host, received, COUNT),
  "single returns": ({ mortal }, received) => received.forEach((ref) => returnNetmem(mortal.host, ref as NetmemRef)),
  "returns held back": ({ mortal }, received) => {
    holdReturns(mortal.host);
    received.forEach((ref) => returnNetmem(mortal.host, ref as NetmemRef));
    flushReturns(mortal.host);
  },
  "sending on": ({ mortal, outAt }, received) => {
    const sender = new ChannelSender(mortal.host, outAt);
    for (const ref of received.subarray(0, 4)) sender.send(ref);
    sender.flush();
    sender.sendBatch(received, 4, COUNT - 4);
  },
};

/** Lets the worker live for `fuse` stores. False: it died. */
function live(scene: Scene, operation: string, fuse: number): boolean {
  const { mortal, inAt, received } = scene;
  mortal.fuse = fuse;
  return asMortal(() => {
    const receiver = new ChannelReceiver(mortal.host, inAt);
    receiver.receive(received, COUNT);
    operations[operation]!(scene, received);
  });
}

/** Everybody does what is left to do. Returns the buffers that are nowhere. */
function settle(scene: Scene, reclaimer: Host): number {
  const { owner, bystander, inAt, onward, pool } = scene;
  reclaimer.reclaim(2);
  const into = new Int32Array(COUNT);
  // The bystander is what the worker sent to, and what comes after it where it had not begun to receive.
  for (const receiver of [new ChannelReceiver(bystander, inAt), onward]) {
    const count = receiver.receive(into, COUNT);
    returnNetmemBulk(bystander, into, count);
  }
  owner.drainInbox();
  checkPoolInvariants(pool);
  return pool.outside().length;
}

describe.each([1024, 4])("a worker with rings of %i dies before any store of", (ringSize) => {
  test.each(Object.keys(operations))("%s: every buffer comes home, and none is taken for two", (operation) => {
    let deaths = 0;
    for (const takeOver of ["owner", "bystander"] as const) {
      for (let fuse = 0; ; fuse++) {
        const scene = createScene(ringSize);
        const survived = live(scene, operation, fuse);
        const where = `after ${fuse} stores, ${takeOver} takes over`;
        expect(settle(scene, scene[takeOver]), where).toBe(0);
        expect(scene.owner.returnCounts.refused, where).toBe(0);
        if (survived) break;
        deaths++;
      }
    }
    console.log(`${operation}, rings of ${ringSize}: ${deaths} deaths`);
    expect(deaths).toBeGreaterThan(2 * COUNT);
  });
});
