import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { createHost } from "@netmem/core";
import { createPageAllocator } from "@netmem/mm";
import { createReturns } from "@netmem/ring";
import { VirtualClock } from "@netmem/testing";
import { expect, test } from "vitest";
import { addSkbFrag, allocSkb, cloneSkb, consumeSkb, DropReason, putSkb, SkbSlab, type SkbRef } from "../src/index.ts";
import type { SkbThreadInput, SkbThreadReport } from "./skb-thread.ts";

const ROUNDS = 100;
const BURST = 256;
/** Two inbox rings at most; one lost page per burst would be more. */
const KEPT_PAGES = 16;

test("skbs are consumed on another thread while this one consumes their clones: each goes home once, from either", async () => {
  const host = createHost({
    arenaBytes: 32 * 2 ** 20,
    clock: new VirtualClock(),
    pageAllocator: createPageAllocator,
    returns: createReturns,
  });
  const slab = new SkbSlab(host, { skbCount: 2 * BURST });
  const shared = host.share();
  const worker = new Worker(new URL("./skb-thread.ts", import.meta.url), {
    workerData: { shared, slab: slab.share() } satisfies SkbThreadInput,
  });
  await once(worker, "online");
  const free = host.pages.freePageCount();
  let made = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const skbs = new Int32Array(BURST);
    const clones: SkbRef[] = [];
    for (let n = 0; n < BURST; n++) {
      const skb = make(n);
      const clone = cloneSkb(slab, skb);
      if (clone === 0) throw new Error("the slab is full");
      skbs[n] = clone;
      clones.push(skb);
      made += 2;
    }
    worker.postMessage(skbs);
    const answer = once(worker, "message");
    for (const skb of clones) consumeSkb(slab, skb);
    const [{ sum, codes }] = (await answer) as [SkbThreadReport];
    expect(sum).toBe((BURST * (BURST - 1)) / 2);
    expect(codes).toEqual(["ERR_NETMEM_WRONG_THREAD", "ERR_NETMEM_WRONG_THREAD", "ERR_NETMEM_STALE_SKB"]);
    host.drainInbox();
    expect(slab.liveCount).toBe(0);
  }
  worker.postMessage(new Int32Array(0));
  await once(worker, "exit");
  host.drainInbox();
  expect([made, slab.dropCount(DropReason.NoSocket)]).toEqual([2 * ROUNDS * BURST, (ROUNDS * BURST) / 2]);
  // What the threads keep for their returns.
  expect(free - host.pages.freePageCount()).toBeLessThanOrEqual(KEPT_PAGES);
  slab.dispose();

  function make(n: number): SkbRef {
    const skb = allocSkb(slab, 100, 0);
    const page = host.pages.allocPages(0);
    if (skb === 0 || page === 0) throw new Error("exhausted");
    host.u8[putSkb(slab, skb, 100)] = n;
    addSkbFrag(slab, skb, page, 0, 1000, 4096);
    return skb;
  }
});
