import { getNetmem, pageRefCount, ppRefCount, type PageRef, putNetmem, refNetmem } from "@netmem/core";
import { beforeEach, describe, expect, test } from "vitest";
import {
  addSkbFrag,
  allocSkb,
  appendFragList,
  cloneSkb,
  consumeSkb,
  expandHead,
  groReceive,
  markForRecycle,
  putSkb,
  SkbFlag,
  type SkbRef,
  tryCoalesce,
} from "../src/index.ts";
import { expectCode } from "./fixture.ts";
import { need, ramp, Stand } from "./skb-fixture.ts";

let stand: Stand;

beforeEach(() => {
  stand = new Stand();
});

function clone(skb: SkbRef): SkbRef {
  return need(cloneSkb(stand.slab, skb));
}

/** An skb without linear bytes that holds `pages`, a pool's, as fragments of 1000 bytes. */
function fragsOnly(count: number): { skb: SkbRef; pages: PageRef[] } {
  const skb = stand.skb(0);
  const pages = Array.from({ length: count }, (_, n) => stand.addPage(skb, 1000, n));
  return { skb, pages };
}

describe("6 N, release", () => {
  test("#235 a pool's page in an skb without the bit: refused, where the kernel would lose it", () => {
    const { slab, poolH, log, host } = stand;
    const skb = need(allocSkb(slab, 100, 0));
    const page = stand.addPage(skb, 10);
    const free = host.pages.freePageCount();
    const error = expectCode(() => consumeSkb(slab, skb), "ERR_NETMEM_POOL_PAGE_FREED");
    expect(error.message).toContain("pool H");
    expect([stand.isLive(page), log, host.pages.freePageCount(), slab.liveCount]).toEqual([true, [], free, 1]);
    markForRecycle(slab, skb);
    consumeSkb(slab, skb);
    expect([poolH.returned, slab.liveCount]).toEqual([[page], 0]);
  });

  test("#235 the same for a net_iov of a pool, although its area counts references", () => {
    const { slab } = stand;
    const skb = need(allocSkb(slab, 100, 0));
    const iov = stand.iov();
    addSkbFrag(slab, skb, iov, 0, 10, 4096);
    getNetmem(stand.host, iov);
    expectCode(() => consumeSkb(slab, skb), "ERR_NETMEM_POOL_PAGE_FREED");
    expect([stand.isLive(iov), stand.bindingRefs]).toEqual([true, 1]);
  });

  test("#236 fragments, then fragment list, then head", () => {
    const { slab, log, view } = stand;
    const skb = stand.skb(10);
    const head = view.of(skb).head;
    const pages = [stand.addPage(skb, 1), stand.addPage(skb, 1)];
    const child = stand.skb(5);
    const childPage = stand.addPage(child, 5);
    const childHead = view.of(child).head;
    appendFragList(slab, skb, child);
    consumeSkb(slab, skb);
    expect(log).toEqual([...pages, childPage, childHead, head]);
  });

  test("#238 three clones: recycled once, at the last, in any order", () => {
    const { slab, log, view, host } = stand;
    const skb = stand.skb(10);
    const page = stand.addPage(skb, 100);
    const head = view.of(skb).head;
    const clones = [clone(skb), clone(skb)] as const;
    expect([view.of(skb).dataref, view.cloned, view.of(clones[1]).ppRecycle]).toEqual([3, true, true]);
    consumeSkb(slab, clones[1]);
    consumeSkb(slab, skb);
    expect([log, stand.isLive(head), view.of(clones[0]).cloned]).toEqual([[], true, false]);
    expect(stand.bytes(clones[0])).toEqual([...ramp(10), ...ramp(100)]);
    consumeSkb(slab, clones[0]);
    expect([log, slab.liveCount]).toEqual([[page, head], 0]);
    expectCode(() => consumeSkb(slab, clones[0]), "ERR_NETMEM_STALE_SKB");
    expect(pageRefCount(host, page)).toBe(1);
  });

  test("#239 head of pool H, fragment of device memory, plain fragment: each to its own", () => {
    const { slab, poolH, poolD, view, host } = stand;
    const free = host.pages.freePageCount();
    const skb = stand.skb(10);
    const head = view.of(skb).head;
    const iov = stand.addIov(skb, 100);
    stand.addPage(skb, 100, 0, stand.plainPage());
    consumeSkb(slab, skb);
    expect([poolH.returned, poolD.returned]).toEqual([[head], [iov]]);
    expect(host.pages.freePageCount()).toBe(free - 1);
  });

  test("#239 a token that the user holds keeps the device memory out, and nothing else", () => {
    const { slab, poolD, host } = stand;
    const skb = stand.skb(10);
    const iov = stand.addIov(skb, 100);
    refNetmem(host, iov);
    consumeSkb(slab, skb);
    expect([poolD.returned, ppRefCount(host, iov), stand.isLive(iov)]).toEqual([[], 1, true]);
  });

  test("#241 a head that was allocated for the skb is no pool's, whatever the bit says", () => {
    const { slab, poolH, host } = stand;
    const free = host.pages.freePageCount();
    const skb = need(allocSkb(slab, 1000, 64));
    markForRecycle(slab, skb);
    const page = stand.addPage(skb, 10);
    expect(stand.view.of(skb).flags & SkbFlag.HeadFrag).toBe(0);
    consumeSkb(slab, skb);
    expect(poolH.returned).toEqual([page]);
    expect(host.pages.freePageCount()).toBe(free - 1);
  });

  test("#251 one page twice in an skb: two puts, the second recycles", () => {
    const { slab, poolH, host } = stand;
    const skb = need(allocSkb(slab, 100, 0));
    markForRecycle(slab, skb);
    const page = stand.addPage(skb, 10);
    refNetmem(host, page);
    addSkbFrag(slab, skb, page, 1024, 10, 1024);
    expect(ppRefCount(host, page)).toBe(2);
    consumeSkb(slab, skb);
    expect(poolH.returned).toEqual([page]);
  });

  test("#254 who gives its data up and lives on has no bit any more, last holder or not", () => {
    const { slab, view, host, poolH } = stand;
    const skb = stand.skb(10);
    const page = stand.addPage(skb, 100);
    const head = view.of(skb).head;
    const other = clone(skb);
    expect(expandHead(slab, skb, 0, 0)).toBe(true);
    expect([view.of(skb).ppRecycle, view.flags & SkbFlag.HeadFrag, view.of(other).ppRecycle]).toEqual([false, 0, true]);
    expect([pageRefCount(host, page), ppRefCount(host, page), poolH.returned]).toEqual([2, 1, []]);
    consumeSkb(slab, skb);
    expect([pageRefCount(host, page), poolH.returned]).toEqual([1, []]);
    consumeSkb(slab, other);
    expect(poolH.returned).toEqual([page, head]);
  });

  test("#254 when the other clone goes first, its pool lets go of the page and the expanded skb frees it", () => {
    const { slab, poolH, host } = stand;
    const free = host.pages.freePageCount();
    const skb = stand.skb(10);
    const page = stand.addPage(skb, 100);
    const other = clone(skb);
    expandHead(slab, skb, 0, 0);
    consumeSkb(slab, other);
    expect([poolH.released, stand.isLive(page), pageRefCount(host, page)]).toEqual([[page], true, 1]);
    consumeSkb(slab, skb);
    // The pool keeps its head page.
    expect([stand.isLive(page), host.pages.freePageCount()]).toEqual([false, free - 1]);
  });
});

describe("6 N, expandHead", () => {
  test("#242 not cloned: the old head goes home now, the fragments at the end", () => {
    const { slab, view, poolH, host } = stand;
    const skb = stand.skb(10, 7);
    const head = view.of(skb).head;
    const page = stand.addPage(skb, 20, 90);
    const headroom = view.of(skb).headroom;
    expect(expandHead(slab, skb, 512, 0)).toBe(true);
    expect([poolH.returned, view.of(skb).ppRecycle, view.headroom]).toEqual([[head], true, headroom + 512]);
    expect(stand.bytes(skb)).toEqual([...ramp(10, 7), ...ramp(20, 90)]);
    expect([stand.isTruesizeRight(skb), ppRefCount(host, page)]).toEqual([true, 1]);
    consumeSkb(slab, skb);
    expect(poolH.returned).toEqual([head, page]);
  });

  test("of a clone with device memory: held in its pool, where the kernel would let the pool hand it out", () => {
    const { slab, view, poolD, host } = stand;
    const skb = stand.skb(10, 7);
    const iov = stand.addIov(skb, 100);
    const other = clone(skb);
    expect(expandHead(slab, skb, 0, 0)).toBe(true);
    expect([view.of(skb).ppRecycle, ppRefCount(host, iov), stand.bindingRefs]).toEqual([true, 2, 0]);
    consumeSkb(slab, other);
    expect([poolD.returned, stand.isLive(iov)]).toEqual([[], true]);
    consumeSkb(slab, skb);
    expect(poolD.returned).toEqual([iov]);
  });

  test("of a clone with device memory of no pool: its area counts, as for transmission", () => {
    const { slab, host } = stand;
    const skb = need(allocSkb(slab, 100, 0));
    const iov = stand.iov();
    stand.disown(iov);
    getNetmem(host, iov);
    addSkbFrag(slab, skb, iov, 0, 100, 4096);
    const other = clone(skb);
    expandHead(slab, skb, 0, 0);
    expect(stand.bindingRefs).toBe(2);
    consumeSkb(slab, other);
    consumeSkb(slab, skb);
    expect([stand.bindingRefs, slab.liveCount]).toEqual([0, 0]);
  });

  test("a shared fragment list is cloned; without room for that nothing changes", () => {
    const { slab, view, poolH, host } = stand;
    const skb = stand.skb(10, 0);
    const children = [stand.skb(5, 50), stand.skb(6, 60)] as const;
    for (const child of children) appendFragList(slab, skb, child);
    const page = stand.addPage(skb, 8, 30);
    const other = clone(skb);
    const fill = Array.from({ length: 64 - slab.liveCount - 1 }, () => stand.skb(1));
    const free = host.pages.freePageCount();
    expect(expandHead(slab, skb, 0, 0)).toBe(false);
    expect([pageRefCount(host, page), slab.liveCount, host.pages.freePageCount()]).toEqual([1, 63, free]);
    consumeSkb(slab, need(fill.pop() ?? 0));
    expect(expandHead(slab, skb, 0, 0)).toBe(true);
    expect(view.of(skb).fragList).not.toBe(children[0]);
    expect(stand.bytes(skb)).toEqual(stand.bytes(other));
    for (const one of fill) consumeSkb(slab, one);
    const before = poolH.returned.length;
    consumeSkb(slab, other);
    expect([poolH.returned.length, poolH.released]).toEqual([before + 1, [page]]);
    expect(stand.bytes(skb)).toEqual([...ramp(10), ...ramp(8, 30), ...ramp(5, 50), ...ramp(6, 60)]);
    consumeSkb(slab, skb);
    expect([poolH.returned.length, slab.liveCount, stand.isLive(page)]).toEqual([before + 3, 0, false]);
  });

  test("a pool's page that only the pool counts is refused before anything happens", () => {
    const { slab } = stand;
    const skb = need(allocSkb(slab, 100, 0));
    putSkb(slab, skb, 10);
    stand.addPage(skb, 10);
    const other = clone(skb);
    const { data } = stand.view.of(skb);
    expectCode(() => expandHead(slab, skb, 0, 0), "ERR_NETMEM_POOL_PAGE_FREED");
    expect([stand.view.of(skb).data, stand.view.of(other).dataref]).toEqual([data, 2]);
  });
});

describe("6 N, coalesce", () => {
  test("#244 the bit differs, or readability: false, both untouched", () => {
    const { slab } = stand;
    const to = need(allocSkb(slab, 1000, 0));
    putSkb(slab, to, 10);
    const from = stand.skb(10);
    expect(tryCoalesce(slab, to, from)).toBe(false);
    markForRecycle(slab, to);
    const gpu = stand.skb(0);
    stand.addIov(gpu, 10);
    for (const [a, b] of [
      [to, gpu],
      [gpu, from],
    ] as const) {
      const before = [stand.view.of(a).len, stand.view.of(b).len, stand.fragRefs(a), stand.fragRefs(b)];
      expect(tryCoalesce(slab, a, b)).toBe(false);
      expect([stand.view.of(a).len, stand.view.of(b).len, stand.fragRefs(a), stand.fragRefs(b)]).toEqual(before);
    }
    expect(tryCoalesce(slab, to, from)).toBe(true);
  });

  test("#245 it fits into the tailroom: copied, nothing grows, from untouched", () => {
    const { slab, view } = stand;
    const to = stand.skb(10, 1);
    const from = stand.skb(5, 50);
    const page = stand.addPage(from, 20, 100);
    const truesize = view.of(to).truesize;
    expect(tryCoalesce(slab, to, from)).toBe(true);
    expect([slab.lastTruesize, view.of(to).truesize, view.nrFrags]).toEqual([0, truesize, 0]);
    expect(stand.bytes(to)).toEqual([...ramp(10, 1), ...ramp(5, 50), ...ramp(20, 100)]);
    expect([stand.bytes(from).length, stand.fragRefs(from)]).toEqual([25, [page]]);
  });

  test("#247 from cloned: every fragment gets one holder more, at its own level", () => {
    const { slab, host, poolH } = stand;
    const to = stand.skb(10);
    stand.addPage(to, 1);
    const { skb: from, pages } = fragsOnly(2);
    const plain = stand.addPage(from, 100, 9, stand.plainPage());
    const other = clone(from);
    expect(tryCoalesce(slab, to, from)).toBe(true);
    expect(pages.map((page) => ppRefCount(host, page))).toEqual([2, 2]);
    expect([ppRefCount(host, plain), pageRefCount(host, plain)]).toEqual([1, 2]);
    expect(pages.map((page) => pageRefCount(host, page))).toEqual([1, 1]);
    const bytes = stand.bytes(to);
    consumeSkb(slab, from);
    consumeSkb(slab, other);
    expect([pages.map((page) => stand.isLive(page)), stand.bytes(to)]).toEqual([[true, true], bytes]);
    consumeSkb(slab, to);
    expect(pages.every((page) => poolH.returned.includes(page))).toBe(true);
  });

  test("#247 without the bit it is the page references", () => {
    const { slab, host } = stand;
    const to = stand.skb(10, 0, stand.plainPage());
    stand.addPage(to, 1, 0, stand.plainPage());
    const from = need(allocSkb(slab, 100, 0));
    const page = stand.addPage(from, 100, 0, stand.plainPage());
    const other = clone(from);
    expect(tryCoalesce(slab, to, from)).toBe(true);
    expect([pageRefCount(host, page), ppRefCount(host, page)]).toEqual([2, 1]);
    for (const skb of [other, from]) consumeSkb(slab, skb);
    putNetmem(host, page);
    expect(stand.isLive(page)).toBe(false);
  });

  test("#248 from not cloned: its fragments move, no count changes", () => {
    const { slab, host, view } = stand;
    const to = stand.skb(10);
    const first = stand.addPage(to, 1);
    const { skb: from, pages } = fragsOnly(3);
    const delta = view.of(from).truesize - 4096;
    expect(tryCoalesce(slab, to, from)).toBe(true);
    expect([view.of(from).nrFrags, view.len, view.truesize, slab.lastTruesize]).toEqual([0, 0, 4096, delta]);
    expect(stand.fragRefs(to)).toEqual([first, ...pages]);
    expect(pages.map((page) => [ppRefCount(host, page), pageRefCount(host, page)])).toEqual(pages.map(() => [1, 1]));
    expect([stand.isTruesizeRight(to), stand.isTruesizeRight(from)]).toEqual([true, true]);
    consumeSkb(slab, from);
    expect(pages.every((page) => stand.isLive(page))).toBe(true);
  });

  test("#253 unreadable skbs: moved, never copied, however much room there is", () => {
    const { slab, view } = stand;
    const to = stand.skb(10);
    const first = stand.addIov(to, 10);
    const from = stand.skb(0);
    const iov = stand.addIov(from, 10);
    expect(tryCoalesce(slab, to, from)).toBe(true);
    expect([stand.fragRefs(to), view.of(to).unreadable, view.headLen]).toEqual([[first, iov], true, 10]);
    const emptyHead = need(allocSkb(slab, 1000, 0));
    markForRecycle(slab, emptyHead);
    const gpu = stand.skb(0);
    stand.addIov(gpu, 10);
    expect(tryCoalesce(slab, emptyHead, gpu)).toBe(false);
  });

  test("a head that is a fragment is taken over with its bytes; only the record is left", () => {
    const { slab, view, log } = stand;
    const to = stand.skb(10, 0);
    stand.addPage(to, 5, 10);
    const from = stand.skb(20, 100);
    const head = view.of(from).head;
    const page = stand.addPage(from, 7, 200);
    const truesize = view.of(from).truesize;
    expect(tryCoalesce(slab, to, from)).toBe(true);
    expect([slab.lastTruesize, stand.fragRefs(to).slice(1), view.of(from).len]).toEqual([truesize, [head, page], 0]);
    expect(stand.bytes(to)).toEqual([...ramp(10), ...ramp(5, 10), ...ramp(20, 100), ...ramp(7, 200)]);
    for (const call of [
      () => cloneSkb(slab, from),
      () => expandHead(slab, from, 0, 0),
      () => tryCoalesce(slab, to, from),
    ]) {
      expectCode(call, "ERR_NETMEM_SKB_EMPTIED");
    }
    consumeSkb(slab, from);
    expect([log, stand.isTruesizeRight(to)]).toEqual([[], true]);
    consumeSkb(slab, to);
    expect(log).toContain(head);
  });

  test("refused: to cloned, fragment lists, a shared or allocated head, no room for fragments", () => {
    const { slab, view } = stand;
    const to = stand.skb(10);
    stand.addPage(to, 1);
    const refused = (from: SkbRef, into: SkbRef = to): void => {
      const before = [view.of(into).len, view.of(from).len, view.nrFrags];
      expect(tryCoalesce(slab, into, from)).toBe(false);
      expect([view.of(into).len, view.of(from).len, view.nrFrags]).toEqual(before);
    };
    const shared = stand.skb(10);
    clone(shared);
    refused(shared);
    refused(stand.skb(3), shared);
    const own = need(allocSkb(slab, 100, 0));
    putSkb(slab, own, 10);
    markForRecycle(slab, own);
    refused(own);
    const listed = stand.skb(0);
    stand.addPage(listed, 1);
    appendFragList(slab, listed, stand.skb(1));
    refused(listed);
    refused(fragsOnly(1).skb, listed);
    refused(fragsOnly(17).skb);
    refused(to, to);
    const withHead = stand.skb(4);
    for (let n = 0; n < 16; n++) stand.addPage(withHead, 1);
    refused(withHead);
    const full = fragsOnly(16).skb;
    expect(tryCoalesce(slab, to, full)).toBe(true);
    expect(view.of(to).nrFrags).toBe(17);
  });

  test("a copy is chosen before anything else is asked for", () => {
    const { slab } = stand;
    const to = stand.skb(10);
    const listed = stand.skb(3, 40);
    appendFragList(slab, listed, stand.skb(2, 70));
    expect(tryCoalesce(slab, to, listed)).toBe(true);
    expect(stand.bytes(to)).toEqual([...ramp(10), ...ramp(3, 40), ...ramp(2, 70)]);
  });
});

describe("6 N, GRO", () => {
  test("#250 the bit differs: not merged", () => {
    const { slab, view } = stand;
    const p = stand.skb(60);
    const skb = stand.skb(60, 0, stand.plainPage());
    expect(groReceive(slab, p, p, skb, 54)).toBe(0);
    expect([view.of(p).len, view.of(skb).len]).toEqual([60, 60]);
    markForRecycle(slab, skb);
    expect(groReceive(slab, p, p, skb, 54)).toBe(p);
    expect(view.of(p).len).toBe(66);
  });

  test("one readable, one not: not merged", () => {
    const { slab } = stand;
    const p = stand.skb(60);
    const skb = stand.skb(54);
    stand.addIov(skb, 100);
    expect(groReceive(slab, p, p, skb, 54)).toBe(0);
    expect(groReceive(slab, skb, skb, p, 54)).toBe(0);
  });
});
