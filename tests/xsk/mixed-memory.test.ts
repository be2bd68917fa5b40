import { type Host, MemType, type NetmemRef, type PageRef, XdpRxqInfo } from "@netmem/core";
import { checkPoolInvariants, createPagePool, type PagePool } from "@netmem/page-pool";
import {
  addSkbFrag,
  buildSkbFromXdp,
  consumeSkb,
  convertBuffToFrame,
  copyBits,
  type FrameRef,
  markForRecycle,
  returnFrame,
  type SkbRef,
  SkbSlab,
  XdpBuff,
} from "@netmem/skb";
import { VirtualClock } from "@netmem/testing";
import {
  checkXskInvariants,
  createUmem,
  type Umem,
  xskFlush,
  XskKernel,
  type XskQueue,
  xskRcv,
  XskRings,
  type XskSocket,
} from "@netmem/xsk";
import { createHost } from "netmem";
import { beforeEach, describe, expect, test } from "vitest";

/** Sibling packages meet here: XSK buffers beside pages of a pool, in skbs, in frames, and in fill rings. */
const IFINDEX = 1;
let clock: VirtualClock;
let host: Host;
let pool: PagePool;
let umem: Umem;
let socket: XskSocket;
let rings: XskRings;

beforeEach(() => {
  clock = new VirtualClock();
  host = createHost({ arenaBytes: 16 * 2 ** 20, maxNetmems: 5 * 4096, clock });
  pool = createPagePool(host, { poolSize: 64 });
  open(createUmem(host));
});

function open(over: Umem): void {
  umem = over;
  const kernel = new XskKernel(host);
  kernel.addDevice({ ifindex: IFINDEX, queueCount: 1 });
  socket = kernel.createSocket();
  socket.registerUmem(umem);
  for (const kind of ["rx", "tx", "fill", "completion"] as const) socket.setRing(kind, 64);
  socket.bind({ ifindex: IFINDEX, queueIdx: 0 });
  rings = new XskRings(umem, socket.layouts);
}

const queue = (): XskQueue => socket.queue!;

function receive(bytes: Uint8Array): NetmemRef {
  expect(xskRcv(socket, IFINDEX, 0, bytes, 0, bytes.length, 0)).toBe(0);
  xskFlush(socket);
  expect(rings.receive(8)).toBe(1);
  return rings.refs[0] as NetmemRef;
}

function post(count: number): void {
  const refs = new Int32Array(count);
  expect(pool.allocBulk(refs, count)).toBe(count);
  expect(rings.post(refs, count)).toBe(count);
}

describe("pages of a pool in the fill ring", () => {
  test("are out to the pool, wherever they are, and it can be destroyed meanwhile", () => {
    post(8);
    checkPoolInvariants(pool);
    expect([pool.inflight(), pool.outside().length]).toEqual([64, 8]);
    const ref = receive(Uint8Array.of(1, 2, 3));
    expect([...host.u8.subarray(rings.offsets[0], rings.offsets[0]! + 3)]).toEqual([1, 2, 3]);
    checkPoolInvariants(pool);
    pool.recycleDirect(ref);
    checkXskInvariants(umem, [rings]);
    expect(pool.destroy()).toBe(false);
    expect(rings.close()).toBe(7);
    socket.close();
    expect([rings.released(), pool.inflight()]).toEqual([7, 7]);
    clock.advance(1000);
    expect(pool.inflight()).toBe(0);
    umem.dispose();
  });

  test("cost the pool nothing but a round trip: the same page comes again", () => {
    post(1);
    const first = receive(Uint8Array.of(1));
    const at = host.offsetOf(first as PageRef);
    pool.recycleDirect(first);
    post(1);
    expect(host.offsetOf(receive(Uint8Array.of(2)) as PageRef)).toBe(at);
  });
});

describe("an skb of a pool page and XSK buffers", () => {
  test("reads through, and every buffer goes home to its own owner by returnNetmem", () => {
    const rxq = new XdpRxqInfo();
    host.mem.regRxqInfo(rxq, IFINDEX, 0, 0);
    host.mem.regMemModel(rxq, MemType.PagePool, pool);
    const slab = new SkbSlab(host);
    post(4);
    const { buffs } = queue();
    // A kernel's pool shares the fill ring's chunks with the user as its own net_iovs.
    const xsk = buffs.allocNetmem() as NetmemRef;
    buffs.setSize(xsk, 100);
    host.u8.fill(7, buffs.dataOf(xsk), buffs.dataOf(xsk) + 100);
    const head = pool.allocPages() as PageRef;
    const frag = pool.allocPages() as PageRef;
    const xdp = new XdpBuff(host, rxq, 4096);
    xdp.prepare(head, host.offsetOf(head), 256, 60);
    const skb = buildSkbFromXdp(slab, xdp) as SkbRef;
    expect(addSkbFrag(slab, skb, xsk, buffs.dataOf(xsk) - buffs.startOf(xsk), 100, 4096)).toBe(true);
    expect(addSkbFrag(slab, skb, frag, 0, 50, 4096)).toBe(true);
    markForRecycle(slab, skb);
    const bytes = new Uint8Array(210);
    copyBits(slab, skb, 0, bytes, 210);
    expect([bytes[59], bytes[60], bytes[159]]).toEqual([0, 7, 7]);
    expect([buffs.outCount, buffs.freeCount]).toEqual([1, 0]);
    const before = pool.getStats().recycle.cached;
    consumeSkb(slab, skb);
    expect([buffs.outCount, buffs.freeCount, pool.getStats().recycle.cached - before]).toEqual([0, 1, 2]);
    checkPoolInvariants(pool);
    checkXskInvariants(umem, [rings]);
  });

  test("2 KiB frames of a UMEM are MemType.XskBuffPool, and a frame with them goes home whole", () => {
    rings.close();
    socket.close();
    rings.released();
    open(createUmem(host, { ownBytes: 64 * 2048, chunkSizeBytes: 2048 }));
    const frames = umem.frames!;
    expect(host.owners.typeOf(frames.ownerId)).toBe(MemType.XskBuffPool);
    const refs = new Int32Array(4);
    frames.allocBulk(refs, 4);
    rings.post(refs, 4);
    const received = receive(new Uint8Array(1000).fill(9));
    const rxq = new XdpRxqInfo();
    host.mem.regRxqInfo(rxq, IFINDEX, 0, 0);
    host.mem.regMemModel(rxq, MemType.PagePool, pool);
    const head = pool.allocPages() as PageRef;
    const xdp = new XdpBuff(host, rxq, 4096);
    xdp.prepare(head, host.offsetOf(head), 256, 60);
    const within = rings.offsets[0]! - host.offsetOf(received as PageRef);
    expect(xdp.addFrag(received, within, 1000, 2048)).toBe(true);
    const frame = convertBuffToFrame(xdp) as FrameRef;
    expect(frame).not.toBe(0);
    expect(frames.outCount).toBe(4);
    returnFrame(host, frame);
    expect(frames.outCount).toBe(3);
    checkXskInvariants(umem, [rings]);
    checkPoolInvariants(pool);
  });
});

test("a fragment of a pool page is sent as it lies, and the page goes home with its last holder", () => {
  const ref = pool.allocFrag(500) as NetmemRef;
  const at = host.offsetOf(ref as PageRef) + pool.lastOffset;
  const again = pool.allocFrag(500) as NetmemRef;
  const next = host.offsetOf(again as PageRef) + pool.lastOffset;
  expect(rings.transmit(Int32Array.of(ref, again), Int32Array.of(at, next), Int32Array.of(500, 300), 2)).toBe(true);
  checkXskInvariants(umem, [rings]);
  rings.submitTx();
  expect(socket.sendto()).toBe(0);
  expect([rings.complete(1), rings.complete(8)]).toEqual([1, 1]);
  checkPoolInvariants(pool);
});
