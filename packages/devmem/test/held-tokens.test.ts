import { type NetmemRef, ppRefCount, returnNetmem } from "@netmem/core";
import { expect, test } from "vitest";
import { createDevmemAllocator, createTokenRing, type DevmemAllocator, HeldTokens } from "../src/index.ts";
import { makeWorld, type World } from "./fixture.ts";

function makeHeld(capacity = 16, ringAt = 0): World & { held: HeldTokens; allocator: DevmemAllocator } {
  const world = makeWorld();
  const { host, devmem, device, memory } = world;
  const allocator = createDevmemAllocator(host, devmem.bindRx({ device, queues: [0], memory }));
  return { ...world, held: new HeldTokens(devmem, capacity, 1, ringAt), allocator };
}

test("work on a page that somebody returned behind its token's back is refused, and holds none of the others", async () => {
  const { host, held, allocator } = makeHeld();
  const [first, gone] = [allocator.allocNetmem(), allocator.allocNetmem()] as NetmemRef[];
  const tokens = [held.add(first!, 0, 10), held.add(gone!, 0, 10)];
  returnNetmem(host, gone!);
  await expect(held.use(tokens, () => Promise.resolve(1))).rejects.toThrow(/ERR_NETMEM_(DOUBLE_PUT|STALE_REF)/);
  expect(ppRefCount(host, first!)).toBe(1);
  held.endAll(1, 0x7fffffff);
  expect([held.stats().lost, allocator.inflight()]).toEqual([1, 0]);
});

test("a page that is returned too often under a device loses itself and none of the others, nor the device's answer", async () => {
  const { host, held, allocator } = makeHeld();
  const [gone, other] = [allocator.allocNetmem(), allocator.allocNetmem()] as NetmemRef[];
  const tokens = [held.add(gone!, 0, 10), held.add(other!, 0, 10)];
  const answer = await held.use(tokens, async () => {
    returnNetmem(host, gone!);
    returnNetmem(host, gone!);
    return 7;
  });
  expect([answer, ppRefCount(host, other!), held.stats().lost]).toEqual([7, 1, 1]);
  held.endAll(1, 0x7fffffff);
  expect([held.stats().lost, allocator.inflight()]).toEqual([2, 0]);
});

test("a look at the return ring ends, whatever its producer claims to have put there", () => {
  const RANGES = 8;
  const world = makeWorld();
  const ringAt = createTokenRing(world.host, RANGES);
  const held = new HeldTokens(world.devmem, 16, 1, ringAt);
  // The first word of a ring is its producer's count.
  Atomics.store(world.host.i32, ringAt, 2 ** 22);
  held.drainRing();
  expect(held.stats().unknown).toBeLessThanOrEqual(RANGES);
});

test("first tokens that no token can be are refused", () => {
  const { devmem } = makeWorld();
  for (const first of [-1, 0, 1.5, 2 ** 31]) {
    expect(() => new HeldTokens(devmem, 16, first, 0)).toThrow("ERR_NETMEM_INVALID_PARAM");
  }
});
