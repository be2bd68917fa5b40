import { type NetmemRef, type QueueAllocator } from "@netmem/core";
import { beforeEach, describe, expect, test } from "vitest";
import {
  allocSkb,
  appendFragList,
  buildSkb,
  cloneSkb,
  consumeSkb,
  copySkbHead,
  cowHead,
  cowSkb,
  expandHead,
  markForRecycle,
  pullTail,
  putSkb,
  type SkbRef,
  SkbSlab,
  splitSkb,
  trimSkb,
} from "../src/index.ts";
import { expectCode } from "./fixture.ts";
import { need, NOTHING, ramp, Stand } from "./skb-fixture.ts";

let stand: Stand;

beforeEach(() => {
  stand = new Stand();
});

/** An allocator of pool H that gives `gpuAt`-th buffers of device memory. */
function pages(gpuAt = -1): QueueAllocator {
  const { poolH, poolD } = stand;
  let count = 0;
  return {
    allocNetmem: (): NetmemRef => (count++ === gpuAt ? stand.iov() : poolH.allocPage()),
    allocBulk: () => 0,
    put: (ref) => ((ref & 1) === 0 ? poolH : poolD).returnSlow(ref, false),
  };
}

/** An skb of its own, not marked for recycling: plain pages of 10 bytes, then one of pool H, and a head with no room. */
function unmarked(): SkbRef {
  const { slab, host } = stand;
  const skb = need(allocSkb(slab, 100, 0));
  host.u8.set(ramp(10), putSkb(slab, skb, 10));
  stand.addPage(skb, 10, 10, stand.plainPage());
  stand.addPage(skb, 10, 20);
  return skb;
}

/** What a refused call must leave as it was. */
function picture(skb: SkbRef): unknown {
  const { slab, host, log, view } = stand;
  view.of(skb);
  return [stand.bytes(skb), view.nrFrags, view.truesize, slab.liveCount, host.pages.freePageCount(), [...log]];
}

/** Takes every page that there is. */
function exhaust(): void {
  while (stand.host.pages.allocPages(0) !== 0);
}

describe("a copy that fails in the middle", () => {
  test("the allocator turns to memory that the CPU cannot write: what was copied goes home", () => {
    const { slab, poolD } = stand;
    const skb = stand.skb(3000);
    stand.addPage(skb, 3000, 3000);
    expectCode(() => cowSkb(slab, skb, pages(1), 256), "ERR_NETMEM_UNREADABLE");
    expect([slab.liveCount, poolD.returned.length, stand.bytes(skb)]).toEqual([1, 1, ramp(6000)]);
    consumeSkb(slab, skb);
    expect(stand.lost()).toEqual(NOTHING);
  });

  test("the original cannot be given back: the copy goes home", () => {
    const { slab } = stand;
    const skb = unmarked();
    expectCode(() => cowSkb(slab, skb, pages(), 256), "ERR_NETMEM_POOL_PAGE_FREED");
    expect([slab.liveCount, stand.bytes(skb)]).toEqual([1, ramp(30)]);
    markForRecycle(slab, skb);
    consumeSkb(slab, skb);
    expect(stand.lost()).toEqual(NOTHING);
  });

  test("a headroom that cannot be: the buffer is back with its allocator", () => {
    const { slab } = stand;
    const skb = stand.skb(10);
    expectCode(() => cowSkb(slab, skb, pages(), -4), "ERR_NETMEM_SKB_NO_ROOM");
    consumeSkb(slab, skb);
    expect(stand.lost()).toEqual(NOTHING);
  });
});

describe("room that cannot be", () => {
  test("below zero: refused, and nothing is written anywhere", () => {
    const { slab, host } = stand;
    const skb = stand.skb(10);
    const before = picture(skb);
    const copy = host.u8.slice();
    expectCode(() => allocSkb(slab, 100, -4), "ERR_NETMEM_SKB_NO_ROOM");
    expectCode(() => allocSkb(slab, -1, 64), "ERR_NETMEM_SKB_NO_ROOM");
    expectCode(() => expandHead(slab, skb, -4, 0), "ERR_NETMEM_SKB_NO_ROOM");
    expectCode(() => expandHead(slab, skb, 0, -4), "ERR_NETMEM_SKB_NO_ROOM");
    expect(picture(skb)).toEqual(before);
    expect(Buffer.compare(host.u8, copy)).toBe(0);
  });

  test.each([2 ** 22, 2 ** 32, 2 ** 32 + 4, 2 ** 40])("%i bytes: more than there is", (bytes) => {
    const { slab } = stand;
    const skb = stand.skb(10);
    const before = picture(skb);
    expect([allocSkb(slab, 100, bytes), allocSkb(slab, bytes, 64), cowHead(slab, skb, bytes)]).toEqual([0, 0, false]);
    expect([expandHead(slab, skb, bytes, 0), expandHead(slab, skb, 0, bytes)]).toEqual([false, false]);
    expect(picture(skb)).toEqual(before);
  });
});

describe("a pool's page in an skb that is not marked for recycling", () => {
  test.each<[string, (skb: SkbRef) => unknown]>([
    ["trimSkb", (skb) => trimSkb(stand.slab, skb, 5)],
    ["pullTail", (skb) => pullTail(stand.slab, skb, 20)],
  ])("%s refuses it before anything happens, and works when it is marked", (_, call) => {
    const { slab } = stand;
    const skb = unmarked();
    const before = picture(skb);
    expectCode(() => call(skb), "ERR_NETMEM_POOL_PAGE_FREED");
    expect(picture(skb)).toEqual(before);
    markForRecycle(slab, skb);
    expect(call(skb)).toBe(true);
    consumeSkb(slab, skb);
    expect(stand.lost()).toEqual(NOTHING);
  });

  test.each<[string, (skb: SkbRef) => unknown]>([
    ["splitSkb", (skb) => splitSkb(stand.slab, skb, 15)],
    ["copySkbHead", (skb) => copySkbHead(stand.slab, skb)],
  ])("%s of a clone leaves no packet that nobody knows", (_, call) => {
    const { slab } = stand;
    const skb = unmarked();
    const other = need(cloneSkb(slab, skb));
    const before = picture(skb);
    expectCode(() => call(skb), "ERR_NETMEM_POOL_PAGE_FREED");
    expect(picture(skb)).toEqual(before);
    for (const one of [skb, other]) markForRecycle(slab, one);
    for (const one of [skb, other]) consumeSkb(slab, one);
    expect(stand.lost()).toEqual(NOTHING);
  });

  test("in the fragment list: the parent's buffers stay, too", () => {
    const { slab, log } = stand;
    const skb = stand.skb(10);
    const page = stand.addPage(skb, 10);
    const child = need(allocSkb(slab, 100, 0));
    const childPage = stand.addPage(child, 5);
    appendFragList(slab, skb, stand.skb(5));
    appendFragList(slab, skb, child);
    expectCode(() => consumeSkb(slab, skb), "ERR_NETMEM_POOL_PAGE_FREED");
    expect([log, slab.liveCount]).toEqual([[], 3]);
    markForRecycle(slab, child);
    consumeSkb(slab, skb);
    expect([log.includes(page), log.includes(childPage)]).toEqual([true, true]);
    expect(stand.lost()).toEqual(NOTHING);
  });
});

test("a slab without memory for its header gives its records back", () => {
  const { host } = stand;
  const page = stand.plainPage();
  exhaust();
  // Blocks of the header's size that are left in pages of the heap.
  expectCode(() => {
    for (;;) host.heap.allocWords(96);
  }, "ERR_NETMEM_NO_MEMORY");
  host.pages.freePage(page);
  // The records are this page.
  expectCode(() => new SkbSlab(host, { skbCount: 128 }), "ERR_NETMEM_NO_MEMORY");
  expect(host.pages.allocPages(0)).not.toBe(0);
});

test("a slab that is disposed of twice gives back its own memory alone", () => {
  const { host } = stand;
  const slab = new SkbSlab(host, { skbCount: 8 });
  slab.dispose();
  const at = host.heap.allocWords(8 * 8);
  expect(at).toBe(slab.recordsAt);
  slab.dispose();
  expect(host.heap.allocWords(8 * 8)).not.toBe(at);
});

describe("on a thread that the slab was shared with, which makes no skbs", () => {
  test("what takes memory for a new one first takes nothing", () => {
    const { host } = stand;
    const there = new SkbSlab(host, stand.slab.share());
    const skb = stand.skb(10);
    stand.addPage(skb, 10, 10);
    const before = picture(skb);
    expectCode(() => allocSkb(there, 100, 0), "ERR_NETMEM_WRONG_THREAD");
    expectCode(() => splitSkb(there, skb, 15), "ERR_NETMEM_WRONG_THREAD");
    expectCode(() => cowSkb(there, skb, pages(), 256), "ERR_NETMEM_WRONG_THREAD");
    expect(picture(skb)).toEqual(before);
    consumeSkb(there, skb);
    expect(stand.lost()).toEqual(NOTHING);
  });

  test.each<[string, (slab: SkbSlab, skb: SkbRef) => unknown]>([
    ["expandHead", (slab, skb) => expandHead(slab, skb, 4, 0)],
    ["trimSkb", (slab, skb) => trimSkb(slab, skb, 5)],
    ["pullTail", (slab, skb) => pullTail(slab, skb, 5)],
  ])("%s of a clone would have to clone the fragment list: refused, and no fragment is held twice", (_, call) => {
    const { slab, host } = stand;
    const there = new SkbSlab(host, slab.share());
    const skb = stand.mixed();
    const other = need(cloneSkb(slab, skb));
    const before = picture(skb);
    expectCode(() => call(there, skb), "ERR_NETMEM_WRONG_THREAD");
    expect(picture(skb)).toEqual(before);
    for (const one of [skb, other]) consumeSkb(slab, one);
    expect(stand.lost()).toEqual(NOTHING);
  });
});

describe("without memory in the middle of a nested list", () => {
  /** A list in a list; who is asked to cut or pull the innermost gives the middle one a new, larger head first. */
  function nested(): SkbRef {
    const { slab, host } = stand;
    const page = stand.plainPage();
    const skb = stand.skb(10);
    const middle = need(buildSkb(slab, page, 0, 2048, 64));
    host.u8.set(ramp(10, 10), putSkb(slab, middle, 10));
    const inner = stand.skb(10, 20);
    stand.addPage(inner, 20, 30);
    appendFragList(slab, middle, inner);
    need(cloneSkb(slab, middle));
    appendFragList(slab, skb, middle);
    return skb;
  }

  test.each<[string, (skb: SkbRef) => unknown]>([
    ["trimSkb", (skb) => trimSkb(stand.slab, skb, 35)],
    ["pullTail", (skb) => pullTail(stand.slab, skb, 25)],
  ])("%s changes nothing but heads, and truesize says so", (_, call) => {
    const skb = nested();
    const page = stand.plainPage();
    exhaust();
    stand.host.pages.freePage(page);
    expect(call(skb)).toBe(false);
    expect([stand.bytes(skb), stand.isTruesizeRight(skb)]).toEqual([ramp(50), true]);
  });
});
