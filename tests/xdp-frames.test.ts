import {
  type Host,
  MemType,
  type Napi,
  type PageRef,
  returnNetmemRxNapi,
  withNoDirect,
  XdpRxqInfo,
} from "@netmem/core";
import { type PagePool } from "@netmem/page-pool";
import {
  convertBuffToFrame,
  FrameBulk,
  type FrameRef,
  returnFrame,
  returnFrameRxNapi,
  SkbSlab,
  buildSkbFromFrame,
  consumeSkb,
  type SkbRef,
  XdpBuff,
} from "@netmem/skb";
import { VirtualClock } from "@netmem/testing";
import { createHost, createPagePool } from "netmem";
import { beforeEach, describe, expect, test } from "vitest";

/** Frames of real page pools: what the counters of the pools say. Everything else is in packages/skb. */
let clock: VirtualClock;
let host: Host;
let napi: Napi;
let pool: PagePool;
let other: PagePool;
let rxq: XdpRxqInfo;

beforeEach(() => {
  clock = new VirtualClock();
  host = createHost({ arenaBytes: 16 * 2 ** 20, clock });
  napi = { id: 1, listOwner: -1 };
  // The kernel's rule: a return is direct when promised, or inside the poll of the pool's NAPI.
  pool = createPagePool(host, { directRecycle: "napi", napi });
  other = createPagePool(host, { directRecycle: "napi" });
  rxq = new XdpRxqInfo();
  host.mem.regRxqInfo(rxq, 1, 0, 0);
  host.mem.regMemModel(rxq, MemType.PagePool, pool);
});

function makeFrame(head: PageRef | 0, ...frags: (PageRef | 0)[]): FrameRef {
  const xdp = new XdpBuff(host, rxq, 4096);
  xdp.prepare(head as PageRef, host.offsetOf(head as PageRef), 256, 60);
  for (const ref of frags) xdp.addFrag(ref as PageRef, 0, 100, 4096);
  return convertBuffToFrame(xdp) as FrameRef;
}

const recycled = (one: PagePool): [cached: number, ring: number] => {
  const { cached, ring } = one.getStats().recycle;
  return [cached, ring];
};

/** Runs `work` as a poll of the pool's NAPI on this CPU. */
function inPoll(work: () => void): void {
  host.context.softirq = true;
  host.context.napi = napi;
  napi.listOwner = host.context.cpu;
  work();
  napi.listOwner = -1;
  host.context.napi = null;
  host.context.softirq = false;
}

describe("registration", () => {
  test("#212 unregistered with frames outside: the id is taken until the last one is home", () => {
    const { id } = rxq.mem;
    const frames = [makeFrame(pool.allocPages()), makeFrame(pool.allocPages())] as const;
    pool.destroy();
    host.mem.unregRxqInfo(rxq);
    expect([host.mem.lookup(id), rxq.mem.id]).toEqual([pool, 0]);
    returnFrame(host, frames[0]);
    clock.advance(5000);
    expect(host.mem.lookup(id)).toBe(pool);
    returnFrame(host, frames[1]);
    clock.advance(5000);
    expect(host.mem.lookup(id)).toBeNull();
  });

  test("#214 one pool on two queues: both ids vanish when the pool does", () => {
    const second = new XdpRxqInfo();
    host.mem.regRxqInfo(second, 1, 1, 0);
    host.mem.regMemModel(second, MemType.PagePool, pool);
    const ids = [rxq.mem.id, second.mem.id];
    expect(new Set(ids).size).toBe(2);
    const frame = makeFrame(pool.allocPages());
    host.mem.unregRxqInfo(rxq);
    host.mem.unregRxqInfo(second);
    expect(pool.allocPages()).not.toBe(0);
    expect(ids.map((id) => host.mem.lookup(id))).toEqual([pool, pool]);
    pool.destroy();
    returnFrame(host, frame);
    clock.advance(5000);
    expect(ids.map((id) => host.mem.lookup(id))).toEqual([pool, pool]);
  });
});

describe("single returns", () => {
  test("#215 to the page's pool, although queue and record name another", () => {
    const frame = makeFrame(other.allocPages());
    expect(rxq.mem.id).not.toBe(0);
    returnFrame(host, frame);
    expect([recycled(other), recycled(pool)]).toEqual([
      [0, 1],
      [0, 0],
    ]);
  });

  test("#217 rx_napi out of context is trusted: cached + 1", () => {
    returnFrameRxNapi(host, makeFrame(pool.allocPages()));
    expect(recycled(pool)).toEqual([1, 0]);
  });

  test("#218 with the no-direct flag it is ring + 1, unless the context is the pool's poll", () => {
    withNoDirect(host.context, () => returnFrameRxNapi(host, makeFrame(pool.allocPages())));
    expect(recycled(pool)).toEqual([0, 1]);
    inPoll(() => withNoDirect(host.context, () => returnFrameRxNapi(host, makeFrame(pool.allocPages()))));
    expect(recycled(pool)).toEqual([1, 1]);
    returnNetmemRxNapi(host, pool.allocPages() as PageRef);
    expect(recycled(pool)).toEqual([2, 1]);
  });

  test("#220 head and fragments of different pools: each to its own", () => {
    returnFrame(host, makeFrame(pool.allocPages(), other.allocPages(), pool.allocPages(), other.allocPages()));
    expect([recycled(pool), recycled(other)]).toEqual([
      [0, 2],
      [0, 2],
    ]);
  });

  test("#221 an order0 frame is a free page, and no pool counts it", () => {
    const free = host.pages.freePageCount();
    returnFrame(host, makeFrame(host.pages.allocPages(0)));
    expect([host.pages.freePageCount(), recycled(pool), recycled(other)]).toEqual([free, [0, 0], [0, 0]]);
  });

  test("#232 an skb built from the frame recycles into the frame's pool", () => {
    const slab = new SkbSlab(host, { skbCount: 1 });
    const skb = buildSkbFromFrame(slab, makeFrame(pool.allocPages())) as SkbRef;
    consumeSkb(slab, skb);
    expect(recycled(pool)).toEqual([0, 1]);
  });
});

describe("bulk returns", () => {
  test("#223 the 17th frame sends 16 to the ring; a flush the last", () => {
    const bulk = new FrameBulk(host).begin();
    for (let n = 0; n < 16; n++) bulk.add(makeFrame(pool.allocPages()));
    expect(recycled(pool)).toEqual([0, 0]);
    bulk.add(makeFrame(pool.allocPages()));
    expect([recycled(pool), bulk.count]).toEqual([[0, 16], 1]);
    bulk.end();
    expect(recycled(pool)).toEqual([0, 17]);
  });

  test("#224 three fragments and a head: the fifth frame flushes first; four fragments: inside the fourth", () => {
    const bulk = new FrameBulk(host).begin();
    const add = (frags: number): void =>
      bulk.add(makeFrame(pool.allocPages(), ...Array.from({ length: frags }, () => pool.allocPages())));
    for (let n = 0; n < 4; n++) add(3);
    expect([recycled(pool), bulk.count]).toEqual([[0, 0], 16]);
    add(3);
    expect([recycled(pool), bulk.count]).toEqual([[0, 16], 4]);
    bulk.flush();
    for (let n = 0; n < 4; n++) add(4);
    expect([recycled(pool), bulk.count]).toEqual([[0, 36], 4]);
    bulk.end();
    expect(recycled(pool)).toEqual([0, 40]);
  });

  test("#226 what was never flushed is in flight, and the pool says so until the scope ends", () => {
    const bulk = new FrameBulk(host).begin();
    for (let n = 0; n < 16; n++) bulk.add(makeFrame(pool.allocPages()));
    pool.destroy();
    host.mem.unregRxqInfo(rxq);
    clock.advance(5000);
    expect(pool.inflight()).toBe(16);
    expect(() => bulk.begin()).toThrow("16 buffers wait");
    bulk.end();
    clock.advance(5000);
    expect(host.pools.list()).not.toContain(pool);
  });
});
