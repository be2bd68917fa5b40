import { getNetmem, type Host, MemType, type NetmemRef, type PageRef } from "@netmem/core";
import { fillPattern, findPatternMismatch } from "@netmem/testing";
import { beforeEach, describe, expect, test } from "vitest";
import {
  addSkbFrag,
  appendFragList,
  buildSkbFromFrame,
  buildSkbFromXdp,
  consumeSkb,
  consumeSkbBulk,
  convertBuffToFrame,
  copyBits,
  DROP_REASON_COUNT,
  DropReason,
  dropReasonName,
  dropSkb,
  type FrameRef,
  markForRecycle,
  SKB_FLAGS,
  SkbFlag,
  type SkbRef,
  SkbSlab,
  SkbView,
  XdpBuff,
} from "../src/index.ts";
import { expectCode, makeHost, makeRxq, NotingOwner, markReserve } from "./fixture.ts";

let host: Host;
let slab: SkbSlab;
let view: SkbView;
let log: number[];
let pool: NotingOwner;
let xdp: XdpBuff;

beforeEach(() => {
  host = makeHost();
  slab = new SkbSlab(host, { skbCount: 8 });
  view = new SkbView(slab);
  log = [];
  pool = new NotingOwner(host, "pool H", log);
  xdp = new XdpBuff(host, makeRxq(MemType.PagePool), 4096);
});

function prepare(ref: PageRef, len = 100): PageRef {
  xdp.prepare(ref, host.offsetOf(ref), 256, len);
  return ref;
}

function plainPage(): PageRef {
  const page = host.pages.allocPages(0);
  if (page === 0) throw new Error("out of pages");
  return page;
}

function build(ref: PageRef, len = 100): SkbRef {
  prepare(ref, len);
  const skb = buildSkbFromXdp(slab, xdp);
  if (skb === 0) throw new Error("slab full");
  return skb;
}

describe("SkbSlab", () => {
  test("hands out exactly its capacity and takes everything back", () => {
    const skbs = Int32Array.from({ length: 8 }, () => build(pool.allocPage()));
    expect([new Set(skbs).size, slab.liveCount, slab.capacity]).toEqual([8, 8, 8]);
    const spare = prepare(pool.allocPage());
    expect(buildSkbFromXdp(slab, xdp)).toBe(0);
    expect(pool.returned).not.toContain(spare);
    expectCode(() => slab.dispose(), "ERR_NETMEM_BUSY");
    consumeSkbBulk(slab, skbs, 8);
    expect(slab.liveCount).toBe(0);
    slab.dispose();
  });

  test("a slot's reference changes with every use, for 1024 uses", () => {
    const one = new SkbSlab(host, { skbCount: 1 });
    const seen = new Set<number>();
    for (let n = 0; n < 1024; n++) {
      const skb = one.alloc() as SkbRef;
      seen.add(skb);
      one.free(skb, one.check(skb));
    }
    expect(seen.size).toBe(1024);
    expect(seen.has(one.alloc())).toBe(true);
    expect([...seen].every((ref) => ref > 0 && ref < 2 ** 30)).toBe(true);
  });

  test("refuses an skb that is gone, foreign or nothing", () => {
    const skb = build(pool.allocPage());
    consumeSkb(slab, skb);
    expectCode(() => consumeSkb(slab, skb), "ERR_NETMEM_STALE_SKB");
    const next = build(pool.allocPage());
    expect(next).not.toBe(skb);
    expect(expectCode(() => view.of(skb), "ERR_NETMEM_STALE_SKB").message).toContain("live as");
    for (const bad of [0, -5, 0x3fffffff, next + 8]) {
      expectCode(() => consumeSkb(slab, bad as SkbRef), "ERR_NETMEM_STALE_SKB");
    }
    expect(slab.liveCount).toBe(1);
  });

  test("checks its size", () => {
    expectCode(() => new SkbSlab(host, { skbCount: 0 }), "ERR_NETMEM_INVALID_PARAM");
    expect(new SkbSlab(host, { skbCount: 5 }).capacity).toBe(8);
  });
});

describe("build", () => {
  test("from an xdp_buff: no copy, the packet's place, queue and hash", () => {
    const head = prepare(pool.allocPage(), 120);
    xdp.hash = -17;
    const skb = buildSkbFromXdp(slab, xdp) as SkbRef;
    view.of(skb);
    expect([view.len, view.dataLen, view.headLen, view.data, view.head]).toEqual([120, 0, 120, xdp.data, head]);
    expect([view.hash, view.queueIdx, view.ifindex, view.truesize, view.nrFrags]).toEqual([-17, 3, 7, 4096, 0]);
    expect([view.dataref, view.fragList, view.next, view.ppRecycle]).toEqual([1, 0, 0, true]);
  });

  test("from a frame: the same, fragments included", () => {
    prepare(pool.allocPage());
    xdp.hash = 99;
    const frag = pool.allocPage();
    xdp.addFrag(frag, 16, 1000, 2048);
    const skb = buildSkbFromFrame(slab, convertBuffToFrame(xdp) as FrameRef) as SkbRef;
    view.of(skb);
    expect([view.len, view.dataLen, view.truesize, view.nrFrags]).toEqual([1100, 1000, 6144, 1]);
    expect([view.fragRef(0), view.fragOffset(0), view.fragLen(0), view.fragTruesize(0)]).toEqual([
      frag,
      16,
      1000,
      2048,
    ]);
    expect([view.hash, view.queueIdx, view.ifindex, view.data]).toEqual([99, 3, 7, xdp.data]);
    consumeSkb(slab, skb);
    expect(log).toEqual([frag, xdp.headRef]);
  });

  test("what the last packet of a buffer left in the shared info does not leak into the next", () => {
    const head = plainPage();
    prepare(head);
    for (let n = 0; n < 3; n++) xdp.addFrag(plainPage(), 0, 100, 4096);
    prepare(head);
    const skb = buildSkbFromXdp(slab, xdp) as SkbRef;
    expect([view.of(skb).nrFrags, view.len, view.dataLen]).toEqual([0, 100, 0]);
    consumeSkb(slab, skb);
    const again = prepare(plainPage());
    host.i32.fill(0x77, xdp.sharedInfoAt(), xdp.sharedInfoAt() + 80);
    view.of(buildSkbFromXdp(slab, xdp) as SkbRef);
    expect([view.head, view.nrFrags, view.fragList, view.dataref]).toEqual([again, 0, 0, 1]);
  });

  test("ppRecycle says that some buffer belongs to a pool, head or fragment", () => {
    expect(view.of(build(plainPage())).ppRecycle).toBe(false);
    expect(view.of(build(pool.allocPage())).ppRecycle).toBe(true);
    prepare(plainPage());
    xdp.addFrag(pool.allocPage(), 0, 8, 8);
    expect(view.of(buildSkbFromXdp(slab, xdp) as SkbRef).ppRecycle).toBe(true);
  });

  test("carries pfmemalloc and unreadable over", () => {
    prepare(plainPage());
    const reserve = plainPage();
    markReserve(host, reserve);
    xdp.addFrag(reserve, 0, 8, 8);
    const area = host.areas.add({ name: "gpu", count: 1, pageShift: 12 });
    xdp.addFrag(pool.claimIov(area, 0), 0, 8, 8);
    const flags = view.of(buildSkbFromXdp(slab, xdp) as SkbRef).flags;
    expect(flags).toBe(SkbFlag.HeadFrag | SkbFlag.PpRecycle | SkbFlag.PfMemalloc | SkbFlag.Unreadable);
  });

  test("addSkbFrag takes 17 and adds up", () => {
    const skb = build(pool.allocPage());
    for (let n = 0; n < 17; n++) expect(addSkbFrag(slab, skb, pool.allocPage(), n, 10, 20)).toBe(true);
    const left = pool.allocPage();
    expect(addSkbFrag(slab, skb, left, 0, 10, 20)).toBe(false);
    view.of(skb);
    expect([view.len, view.dataLen, view.truesize, view.nrFrags, view.fragOffset(16)]).toEqual([
      270, 170, 4436, 17, 16,
    ]);
    consumeSkb(slab, skb);
    expect(log).not.toContain(left);
  });
});

describe("release", () => {
  test("mixed owners: fragments 0 to n-1, fragment list, head, each to its own", () => {
    const devmem = new NotingOwner(host, "pool D", log, MemType.Devmem);
    const area = host.areas.add({ name: "gpu", count: 4, pageShift: 12 });
    const free = host.pages.freePageCount();
    const head = prepare(pool.allocPage());
    const iov = devmem.claimIov(area, 2);
    xdp.addFrag(iov, 0, 100, 4096);
    xdp.addFrag(plainPage(), 0, 100, 4096);
    const skb = buildSkbFromXdp(slab, xdp) as SkbRef;
    const children = [build(pool.allocPage()), build(pool.allocPage(), 50)] as const;
    const childHeads = children.map((child) => view.of(child).head);
    for (const child of children) appendFragList(slab, skb, child);
    expect([view.of(skb).len, view.dataLen, view.fragList]).toEqual([450, 350, children[0]]);
    consumeSkb(slab, skb);
    expect(log).toEqual([iov, ...childHeads, head]);
    expect(devmem.returned).toEqual([iov]);
    expect(host.pages.freePageCount()).toBe(free - 3);
    expect(slab.liveCount).toBe(0);
  });

  test("without the bit a pool's buffer is refused, and nothing is lost", () => {
    const free = host.pages.freePageCount();
    const skb = build(plainPage());
    addSkbFrag(slab, skb, plainPage(), 0, 8, 8);
    const pooled = pool.allocPage();
    addSkbFrag(slab, skb, pooled, 0, 8, 8);
    expectCode(() => consumeSkb(slab, skb), "ERR_NETMEM_POOL_PAGE_FREED");
    expect([slab.liveCount, host.pages.freePageCount()]).toEqual([1, free - 3]);
    markForRecycle(slab, skb);
    consumeSkb(slab, skb);
    expect([slab.liveCount, log, host.pages.freePageCount()]).toEqual([0, [pooled], free - 1]);
  });

  test("without the bit a pool's head is refused too", () => {
    const skb = build(pool.allocPage());
    host.i32[slab.check(skb) + SKB_FLAGS] = SkbFlag.HeadFrag;
    const frag = plainPage();
    addSkbFrag(slab, skb, frag, 0, 8, 8);
    const free = host.pages.freePageCount();
    expectCode(() => consumeSkb(slab, skb), "ERR_NETMEM_POOL_PAGE_FREED");
    expect([log, host.pages.freePageCount()]).toEqual([[], free]);
  });

  test("without the bit a pool's page with a page reference of the skb's own is fine", () => {
    const skb = build(plainPage());
    const pooled = pool.allocPage();
    getNetmem(host, pooled);
    addSkbFrag(slab, skb, pooled, 0, 8, 8);
    consumeSkb(slab, skb);
    expect(log).toEqual([]);
    pool.returnSlow(pooled, false);
  });

  test("dropSkb counts its reason", () => {
    dropSkb(slab, build(pool.allocPage()), DropReason.NoSocket);
    dropSkb(slab, build(pool.allocPage()), DropReason.NoSocket);
    dropSkb(slab, build(pool.allocPage()), DropReason.HdrTrunc);
    expect([DropReason.NoSocket, DropReason.HdrTrunc, DropReason.Xdp].map((r) => slab.dropCount(r))).toEqual([2, 1, 0]);
    expect(log).toHaveLength(3);
  });

  test("a reason has the kernel's name, one of the user's own a number", () => {
    const names = [DropReason.NotSpecified, DropReason.NoMem, DropReason.PktTooSmall, DropReason.TcpOfomerge, 63];
    expect(names.map(dropReasonName)).toEqual(["NOT_SPECIFIED", "NOMEM", "PKT_TOO_SMALL", "TCP_OFOMERGE", "REASON_63"]);
    expect(new Set(Object.values(DropReason)).size).toBe(Object.keys(DropReason).length);
    expect(Math.max(...Object.values(DropReason))).toBeLessThan(DROP_REASON_COUNT);
    for (const reason of [40, 63]) dropSkb(slab, build(pool.allocPage()), reason);
    expect([slab.dropCount(40), slab.dropCount(63)]).toEqual([1, 1]);
  });
});

describe("copyBits", () => {
  function scattered(): { skb: SkbRef; bytes: Uint8Array } {
    const bytes = new Uint8Array(1000);
    fillPattern(bytes, 0, 1000, 5);
    prepare(pool.allocPage(), 100);
    host.u8.set(bytes.subarray(0, 100), xdp.data);
    let pos = 100;
    for (const len of [300, 1, 399]) {
      const page = pool.allocPage();
      host.u8.set(bytes.subarray(pos, pos + len), host.offsetOf(page) + 64);
      xdp.addFrag(page, 64, len, 4096);
      pos += len;
    }
    const skb = buildSkbFromXdp(slab, xdp) as SkbRef;
    const child = build(pool.allocPage(), 200);
    host.u8.set(bytes.subarray(800), view.of(child).data);
    appendFragList(slab, skb, child);
    return { skb, bytes };
  }

  test("any range of head, fragments and fragment list", () => {
    const { skb, bytes } = scattered();
    const whole = new Uint8Array(1000);
    copyBits(slab, skb, 0, whole, 1000);
    expect(findPatternMismatch(whole, 0, 1000, 5)).toBe(-1);
    for (const [from, len] of [
      [0, 1],
      [99, 2],
      [100, 300],
      [399, 3],
      [400, 1],
      [750, 100],
      [999, 1],
      [1000, 0],
    ] as const) {
      const part = new Uint8Array(len);
      copyBits(slab, skb, from, part, len);
      expect(part).toEqual(bytes.slice(from, from + len));
    }
  });

  test("refuses ranges outside the packet or the destination", () => {
    const { skb } = scattered();
    const dst = new Uint8Array(100);
    for (const [from, len] of [
      [-1, 1],
      [1000, 1],
      [0, 101],
      [950, 51],
      [0, -1],
    ] as const) {
      expect(expectCode(() => copyBits(slab, skb, from, dst, len), "ERR_NETMEM_OUT_OF_RANGE").errno).toBe("EFAULT");
    }
  });

  test("unreadable bytes: refused with EFAULT, the readable rest can be had", () => {
    prepare(pool.allocPage(), 100);
    const area = host.areas.add({ name: "gpu", count: 1, pageShift: 12 });
    const token: NetmemRef = pool.claimIov(area, 0);
    xdp.addFrag(token, 0, 50, 4096);
    const skb = buildSkbFromXdp(slab, xdp) as SkbRef;
    expect(view.of(skb).unreadable).toBe(true);
    copyBits(slab, skb, 0, new Uint8Array(100), 100);
    expect(expectCode(() => copyBits(slab, skb, 90, new Uint8Array(20), 20), "ERR_NETMEM_UNREADABLE").errno).toBe(
      "EFAULT",
    );
    expectCode(() => view.of(skb).fragData(0), "ERR_NETMEM_UNREADABLE");
  });
});
