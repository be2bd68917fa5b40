import { ppRefCount } from "@netmem/core";
import { createPageFrag } from "@netmem/mm";
import { beforeEach, describe, expect, test } from "vitest";
import {
  addSkbFrag,
  allocSkb,
  appendFragList,
  buildSkb,
  checksumSkb,
  cloneSkb,
  consumeSkb,
  copyBitsWithin,
  copySkb,
  copySkbHead,
  cowHead,
  expandHead,
  headroomOf,
  isSkbCloned,
  linearizeSkb,
  mayPull,
  pullSkb,
  pullTail,
  pushSkb,
  putSkb,
  SkbSlab,
  SkbView,
  type SkbRef,
  splitSkb,
  storeBits,
  tailroomOf,
  trimSkb,
} from "../src/index.ts";
import { expectCode } from "./fixture.ts";
import { need, NOTHING, ramp, Stand } from "./skb-fixture.ts";

let stand: Stand;

beforeEach(() => {
  stand = new Stand();
});

describe("heads", () => {
  test("an allocated skb has what was asked for, also across pages", () => {
    const { slab, view } = stand;
    for (const size of [1, 3776, 3777, 20_000]) {
      const skb = need(allocSkb(slab, size, 64));
      expect([view.of(skb).len, view.headroom, view.tailroom >= size, tailroomOf(slab, skb)]).toEqual([
        0,
        64,
        true,
        view.tailroom,
      ]);
      expect(stand.isTruesizeRight(skb)).toBe(true);
      putSkb(slab, skb, size);
      consumeSkb(slab, skb);
    }
    expect(allocSkb(slab, 2 ** 23, 0)).toBe(0);
    expect(stand.lost()).toEqual(NOTHING);
  });

  test("a head in a piece of page_frag: the piece goes back to its block", () => {
    const { slab, host, view } = stand;
    const frag = createPageFrag(host, { order: 0 });
    const skbs = [1, 2].map(() => {
      const ref = need(frag.alloc(2048));
      return need(buildSkb(slab, ref, frag.lastOffset, 2048, 128));
    });
    expect(skbs.map((skb) => view.of(skb).data % 4096)).toEqual([128, 2176]);
    expect(view.of(skbs[0]!).ppRecycle).toBe(false);
    frag.destroy();
    expect(host.pages.freePageCount()).toBe(stand.freeAtStart - 1);
    for (const skb of skbs) consumeSkb(slab, skb);
    expect(stand.lost()).toEqual(NOTHING);
  });

  test("buildSkb refuses a place without room, or off a word, and takes nothing when the slab is full", () => {
    const { slab } = stand;
    const page = stand.plainPage();
    for (const [offset, size, headroom] of [
      [0, 4096, 3777],
      [2, 1024, 0],
      [0, 1022, 0],
      [0, 1024, -1],
    ] as const) {
      expectCode(() => buildSkb(slab, page, offset, size, headroom), "ERR_NETMEM_SKB_NO_ROOM");
    }
    while (slab.liveCount < slab.capacity) need(slab.alloc());
    expect([buildSkb(slab, page, 0, 4096, 0), allocSkb(slab, 1, 0), stand.isLive(page)]).toEqual([0, 0, true]);
    expect(stand.host.pages.freePageCount()).toBe(stand.freeAtStart - 1);
  });

  test("put, push and pull move the ends of the linear part and stop at its walls", () => {
    const { slab, view, host } = stand;
    const skb = stand.skb(10, 5);
    const { tailroom } = view.of(skb);
    expect(putSkb(slab, skb, 4)).toBe(view.data + 10);
    expect(pushSkb(slab, skb, 6)).toBe(view.data);
    expect([view.len, headroomOf(slab, skb), tailroomOf(slab, skb)]).toEqual([20, 250, tailroom - 4]);
    expect([pullSkb(slab, skb, 21), pullSkb(slab, skb, -1), pullSkb(slab, skb, 6)]).toEqual([false, false, true]);
    expect(stand.bytes(skb).slice(0, 10)).toEqual(ramp(10, 5));
    expectCode(() => putSkb(slab, skb, tailroom - 3), "ERR_NETMEM_SKB_NO_ROOM");
    expectCode(() => pushSkb(slab, skb, 257), "ERR_NETMEM_SKB_NO_ROOM");
    stand.addPage(skb, 1);
    expectCode(() => putSkb(slab, skb, 1), "ERR_NETMEM_SKB_NO_ROOM");
    expect(host.u8[view.of(skb).data]).toBe(5);
  });

  test("cowHead: a head of one's own, only when there is reason for one", () => {
    const { slab, view } = stand;
    const skb = stand.skb(10, 1);
    const { data } = view.of(skb);
    expect([cowHead(slab, skb, 256), view.data]).toEqual([true, data]);
    expect(cowHead(slab, skb, 300)).toBe(true);
    expect([view.headroom >= 300, stand.bytes(skb)]).toEqual([true, ramp(10, 1)]);
    const other = need(cloneSkb(slab, skb));
    const shared = view.of(other).data;
    expect(cowHead(slab, skb, 0)).toBe(true);
    expect([view.of(skb).data === shared, isSkbCloned(slab, skb), isSkbCloned(slab, other)]).toEqual([
      false,
      false,
      false,
    ]);
    storeBits(slab, skb, 0, Uint8Array.of(99), 1);
    expect(stand.bytes(other)).toEqual(ramp(10, 1));
  });
});

describe("pull", () => {
  test.each([1, 19, 20, 21, 50, 51, 55, 58, 61, 65, 69])("pulls %i bytes out of fragments and list", (delta) => {
    const { slab, view } = stand;
    const skb = stand.mixed();
    expect(pullTail(slab, skb, delta)).toBe(true);
    expect([view.of(skb).headLen, view.len]).toEqual([10 + delta, 79]);
    expect(stand.bytes(skb)).toEqual(ramp(79));
    expect(stand.isTruesizeRight(skb)).toBe(true);
    consumeSkb(slab, skb);
    expect(stand.lost()).toEqual(NOTHING);
  });

  test("a clone keeps its bytes when the other pulls or trims", () => {
    const { slab } = stand;
    const changes: ((skb: SkbRef) => boolean)[] = [
      (skb) => pullTail(slab, skb, 57),
      (skb) => trimSkb(slab, skb, 63),
      (skb) => linearizeSkb(slab, skb),
    ];
    for (const change of changes) {
      const skb = stand.mixed();
      const other = need(cloneSkb(slab, skb));
      expect(change(skb)).toBe(true);
      expect(stand.bytes(other)).toEqual(ramp(79));
      consumeSkb(slab, other);
      expect(stand.bytes(skb)).toEqual(ramp(stand.view.of(skb).len));
      consumeSkb(slab, skb);
    }
    expect(slab.liveCount).toBe(0);
  });

  test("a head without room is replaced", () => {
    const { slab, view } = stand;
    const skb = stand.skb(3500, 0);
    stand.addPage(skb, 600, 3500);
    const old = view.of(skb).head;
    expect(pullTail(slab, skb, 500)).toBe(true);
    expect([view.of(skb).head === old, view.headLen, stand.poolH.returned]).toEqual([false, 4000, [old]]);
    expect(stand.bytes(skb)).toEqual(ramp(4100));
  });

  test("mayPull says what is linear, and why not without an error", () => {
    const { slab, view } = stand;
    const skb = stand.mixed();
    expect([mayPull(slab, skb, 10), view.of(skb).headLen]).toEqual([true, 10]);
    expect([mayPull(slab, skb, 25), view.of(skb).headLen]).toEqual([true, 25]);
    expect([mayPull(slab, skb, 80), view.of(skb).headLen]).toEqual([false, 25]);
    expectCode(() => pullTail(slab, skb, 55), "ERR_NETMEM_OUT_OF_RANGE");
    expect([linearizeSkb(slab, skb), view.of(skb).dataLen, stand.bytes(skb)]).toEqual([true, 0, ramp(79)]);
  });
});

describe("trim", () => {
  test.each([78, 72, 71, 70, 66, 65, 61, 60, 59, 31, 30, 11, 10, 9, 0])("cuts to %i bytes", (len) => {
    const { slab } = stand;
    const skb = stand.mixed();
    expect(trimSkb(slab, skb, len)).toBe(true);
    expect(stand.bytes(skb)).toEqual(ramp(len));
    expect(stand.isTruesizeRight(skb)).toBe(true);
    consumeSkb(slab, skb);
    expect(stand.lost()).toEqual(NOTHING);
  });

  test("fragments that are cut off go home at once, in order; a longer length does nothing", () => {
    const { slab, log } = stand;
    const skb = stand.skb(10);
    const pages = [stand.addPage(skb, 10), stand.addPage(skb, 10), stand.addPage(skb, 10)] as const;
    expect(trimSkb(slab, skb, 41)).toBe(true);
    expect(log).toEqual([]);
    trimSkb(slab, skb, 15);
    expect(log).toEqual([pages[1], pages[2]]);
  });

  test("down to the header makes the packet readable again", () => {
    const { slab, view, poolD } = stand;
    const skb = stand.skb(10, 4);
    const iov = stand.addIov(skb, 100);
    trimSkb(slab, skb, 11);
    expect(view.of(skb).unreadable).toBe(true);
    trimSkb(slab, skb, 10);
    expect([view.of(skb).unreadable, poolD.returned, stand.bytes(skb)]).toEqual([false, [iov], ramp(10, 4)]);
  });

  test("of a clone without memory for a head: false, and as long as before", () => {
    const { slab, host } = stand;
    const skb = stand.skb(10);
    stand.addPage(skb, 10, 10);
    need(cloneSkb(slab, skb));
    while (host.pages.allocPages(0) !== 0);
    expect([trimSkb(slab, skb, 15), expandHead(slab, skb, 0, 0), copySkb(slab, skb), copySkbHead(slab, skb)]).toEqual([
      false,
      false,
      0,
      0,
    ]);
    expect([splitSkb(slab, skb, 15), linearizeSkb(slab, skb)]).toEqual([0, false]);
    expect(stand.bytes(skb)).toEqual(ramp(20));
  });
});

describe("split", () => {
  test.each([0, 4, 10, 11, 29, 30, 31, 60])("at %i: both parts have their bytes, whoever goes first", (cut) => {
    const { slab, view } = stand;
    for (const firstToGo of [0, 1]) {
      const skb = stand.skb(10, 0);
      stand.addPage(skb, 20, 10);
      stand.addPage(skb, 30, 30, stand.plainPage());
      const rest = need(splitSkb(slab, skb, cut));
      expect([view.of(skb).len, view.of(rest).len]).toEqual([cut, 60 - cut]);
      expect([stand.bytes(skb), stand.bytes(rest)]).toEqual([ramp(cut), ramp(60 - cut, cut)]);
      expect([stand.isTruesizeRight(skb), stand.isTruesizeRight(rest)]).toEqual([true, true]);
      const parts = [skb, rest] as const;
      consumeSkb(slab, parts[firstToGo as 0 | 1]);
      const left = parts[(1 - firstToGo) as 0 | 1];
      expect(stand.bytes(left)).toEqual(left === skb ? ramp(cut) : ramp(60 - cut, cut));
      consumeSkb(slab, left);
    }
    expect(stand.lost()).toEqual(NOTHING);
  });

  test("device memory is split without being read: both hold it", () => {
    const { slab, view, host, poolD } = stand;
    const skb = stand.skb(10);
    const iov = stand.addIov(skb, 100);
    const rest = need(splitSkb(slab, skb, 50));
    expect([view.of(rest).unreadable, view.fragOffset(0), view.fragLen(0), ppRefCount(host, iov)]).toEqual([
      true,
      40,
      60,
      2,
    ]);
    const header = need(splitSkb(slab, rest, 60));
    expect([view.of(header).len, view.unreadable]).toEqual([0, false]);
    for (const one of [skb, rest, header]) consumeSkb(slab, one);
    expect(poolD.returned).toEqual([iov]);
    const plain = stand.skb(10);
    stand.addIov(plain, 10);
    const gpu = need(splitSkb(slab, plain, 10));
    expect([view.of(plain).unreadable, view.of(gpu).unreadable]).toEqual([false, true]);
  });

  test("of a clone, and refused with a fragment list", () => {
    const { slab } = stand;
    const skb = stand.skb(10, 0);
    stand.addPage(skb, 20, 10);
    const other = need(cloneSkb(slab, skb));
    const rest = need(splitSkb(slab, skb, 15));
    consumeSkb(slab, skb);
    expect([stand.bytes(other), stand.bytes(rest)]).toEqual([ramp(30), ramp(15, 15)]);
    expectCode(() => splitSkb(slab, stand.mixed(), 5), "ERR_NETMEM_FRAG_LIST");
    expectCode(() => splitSkb(slab, other, 31), "ERR_NETMEM_OUT_OF_RANGE");
  });
});

test("fragments that clones share are not changed behind their back", () => {
  const { slab } = stand;
  const skb = stand.skb(10);
  const other = need(cloneSkb(slab, skb));
  const page = stand.plainPage();
  const child = stand.skb(5);
  expect(expectCode(() => addSkbFrag(slab, skb, page, 0, 10, 4096), "ERR_NETMEM_SKB_SHARED").errno).toBe("EBUSY");
  expectCode(() => appendFragList(slab, other, child), "ERR_NETMEM_SKB_SHARED");
  consumeSkb(slab, other);
  expect(addSkbFrag(slab, skb, page, 0, 10, 4096)).toBe(true);
});

test("another view of the slab gives records back to the thread that made them", () => {
  const { host } = stand;
  const small = new SkbSlab(host, { skbCount: 4 });
  const made = [1, 2, 3, 4].map((len) => {
    const skb = need(allocSkb(small, 100, 0));
    putSkb(small, skb, len);
    return skb;
  });
  host.share();
  const foreign = new SkbSlab(host, small.share());
  expect(new SkbView(foreign).of(made[2]!).len).toBe(3);
  expectCode(() => foreign.alloc(), "ERR_NETMEM_WRONG_THREAD");
  expectCode(() => foreign.dispose(), "ERR_NETMEM_WRONG_THREAD");
  for (const skb of made.slice(1)) consumeSkb(foreign, skb);
  expect([small.liveCount, foreign.liveCount]).toEqual([1, 1]);
  for (const slab of [foreign, small]) expectCode(() => consumeSkb(slab, made[1]!), "ERR_NETMEM_STALE_SKB");
  const again = [1, 2, 3].map(() => need(allocSkb(small, 100, 0)));
  expect([new Set([...again, ...made]).size, allocSkb(small, 100, 0)]).toEqual([7, 0]);
  for (const skb of [made[0]!, ...again]) consumeSkb(small, skb);
  small.dispose();
});

test("an unreadable skb refuses everything that would read its payload, and is whole afterwards", () => {
  const { slab, view } = stand;
  const skb = stand.skb(10, 1);
  const iov = stand.addIov(skb, 100);
  const dst = new Uint8Array(110);
  const readers: (() => unknown)[] = [
    () => copySkb(slab, skb),
    () => linearizeSkb(slab, skb),
    () => pullTail(slab, skb, 1),
    () => checksumSkb(slab, skb, 0, 10, 0),
    () => storeBits(slab, skb, 5, dst, 20),
    () => copyBitsWithin(slab, skb, 5, view.of(skb).data - 100, 20),
  ];
  for (const read of readers) expect(expectCode(read, "ERR_NETMEM_UNREADABLE").errno).toBe("EFAULT");
  expect(mayPull(slab, skb, 11)).toBe(false);
  expect([mayPull(slab, skb, 10), view.of(skb).len, stand.fragRefs(skb)]).toEqual([true, 110, [iov]]);
});
