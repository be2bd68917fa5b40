import { createHost as createCoreHost, type Host } from "@netmem/core";
import { createPageAllocatorWith, createPageFrag, pinReport, truesizeOf } from "@netmem/mm";
import { createPagePool } from "@netmem/page-pool";
import { VirtualClock } from "@netmem/testing";
import { expect, test } from "vitest";

/*
 * The memory pin-down attack on drivers that cut large blocks: keep one small piece of every block. Each way to receive
 * packets of 64 bytes serves one attacker who keeps the first packet of every block.
 */
const PIECE_BYTES = 64;
const LIMIT_PAGES = 2048;

function createHost(): Host {
  return createCoreHost({
    arenaBytes: 64 * 2 ** 20,
    clock: new VirtualClock(),
    pageAllocator: createPageAllocatorWith({ limitPages: LIMIT_PAGES }),
  });
}

interface Receiver {
  readonly alloc: () => number;
  readonly free: (ref: number) => void;
}

/** Delivers packets until memory is refused; returns the references that the attacker keeps. */
function attack({ alloc, free }: Receiver, packets: number): number[] {
  const held = new Set<number>();
  for (let k = 0; k < packets; k++) {
    const ref = alloc();
    if (ref === 0) break;
    if (held.has(ref)) free(ref);
    else held.add(ref);
  }
  return [...held];
}

function slices(host: Host): Receiver {
  const frag = createPageFrag(host);
  return { alloc: () => frag.alloc(PIECE_BYTES), free: (ref) => frag.put(ref as never, -1, false) };
}

function poolFragments(host: Host): Receiver {
  const pool = createPagePool(host, { poolSize: 64 });
  return { alloc: () => pool.allocFrag(PIECE_BYTES), free: (ref) => pool.putFullPage(ref as never) };
}

function wholePages(host: Host): Receiver {
  return { alloc: () => host.pages.allocPages(0), free: (ref) => host.pages.freePage(ref as never) };
}

test.each([
  ["slices of 32 KiB blocks", slices, 512],
  ["fragments of a page pool", poolFragments, 64],
  ["a page for each packet", wholePages, 64],
])("%s: bytes pinned for each byte held", (_, receiver, factor) => {
  const host = createHost();
  const held = attack(receiver(host), 100 * factor);
  const pinned = held.reduce((sum, ref) => sum + truesizeOf(host, ref as never), 0);
  expect(pinned / (held.length * PIECE_BYTES)).toBe(factor);
});

test.each([
  ["slices of 32 KiB blocks", slices],
  ["fragments of a page pool", poolFragments],
  ["a page for each packet", wholePages],
])("%s: limitPages bounds it", (_, receiver) => {
  const host = createHost();
  const held = attack(receiver(host), 1e7);
  const out = host.pages.totalPageCount - host.pages.freePageCount();
  expect(out).toBe(LIMIT_PAGES);
  // A pool's ring takes a page or two of the limit.
  const pinnedPages = held.reduce((sum, ref) => sum + truesizeOf(host, ref as never), 0) / 4096;
  expect(LIMIT_PAGES - pinnedPages).toBeLessThanOrEqual(2);
});

test("the report names a pool whose pages are pinned by fragments", () => {
  const host = createHost();
  const held = attack(poolFragments(host), 64 * 200);
  const { worst, blockCount, usedBytes } = pinReport(host, { fragBytes: PIECE_BYTES });
  expect(blockCount).toBe(held.length);
  expect(usedBytes).toBe((held.length - 1) * PIECE_BYTES);
  expect(worst[0]).toMatchObject({ owner: expect.stringContaining("pool"), bytes: 4096 });
  expect(worst.filter(({ holders }) => holders === 1).length).toBe(16 - 1);
});
