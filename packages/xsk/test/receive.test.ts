import { type NetmemRef, refNetmem, returnNetmem } from "@netmem/core";
import { describe, expect, test } from "vitest";
import { BindFlag, DescOption, Errno, xskFlush, xskRcv, xskRcvZc } from "../src/index.ts";
import { bytesOf, IFINDEX, makeSocket, type SocketParams, type SocketRig } from "./fixture.ts";

const SG: SocketParams = { bind: { flags: BindFlag.Copy | BindFlag.UseSg } };
const ZC: SocketParams = {
  device: { zeroCopyMaxSegs: 17, mtuBytes: 9000 },
  bind: { flags: BindFlag.ZeroCopy | BindFlag.UseSg },
};

function receive({ socket }: SocketRig, bytes: Uint8Array, metaBytes = 0): number {
  return xskRcv(socket, IFINDEX, 0, bytes, metaBytes, bytes.length - metaBytes, metaBytes);
}

/** Lengths, options and bytes of what the user receives. */
function taken({ rings, host, umem }: SocketRig): { lengths: number[]; options: number[]; bytes: number[] } {
  const n = rings.receive(64);
  const lengths = [...rings.lengths.subarray(0, n)];
  const bytes = lengths.flatMap((len, k) => [...host.u8.subarray(rings.offsets[k], rings.offsets[k]! + len)]);
  for (const ref of rings.refs.subarray(0, n)) umem.frames!.put(ref as NetmemRef, -1, false);
  return { lengths, options: [...rings.options.subarray(0, n)], bytes };
}

describe("copy mode", () => {
  test("#277 100 bytes: one descriptor without options, metadata in front of the data", () => {
    const rig = makeSocket();
    rig.fill(1);
    const packet = bytesOf(108);
    expect(receive(rig, packet, 8)).toBe(0);
    xskFlush(rig.socket);
    expect(rig.rings.receive(64)).toBe(1);
    const at = rig.rings.offsets[0]!;
    expect([rig.rings.lengths[0], rig.rings.options[0]]).toEqual([100, 0]);
    expect(rig.host.u8.slice(at - 8, at + 100)).toEqual(packet);
    expect((at - rig.umem.offset) % 4096).toBe(256);
  });

  test("#278 9000 bytes with scatter-gather: 3840, 3840, 1320", () => {
    const rig = makeSocket(SG);
    rig.fill(4);
    const packet = bytesOf(9000);
    expect(receive(rig, packet)).toBe(0);
    xskFlush(rig.socket);
    const { lengths, options, bytes } = taken(rig);
    expect(lengths).toEqual([3840, 3840, 1320]);
    expect(options).toEqual([DescOption.PktContd, DescOption.PktContd, 0]);
    expect(bytes).toEqual([...packet]);
  });

  test("5.5 a packet larger than a frame without scatter-gather: rx_dropped, ENOSPC", () => {
    const rig = makeSocket();
    rig.fill(4);
    expect([receive(rig, bytesOf(3841)), receive(rig, bytesOf(3840))]).toEqual([-Errno.ENOSPC, 0]);
    expect(rig.socket.statistics().rxDropped).toBe(1);
  });

  test("5.5 not bound: ENXIO; another device or queue: EINVAL; no buffer: rx_dropped, ENOMEM", () => {
    const rig = makeSocket();
    const packet = bytesOf(64);
    const idle = rig.kernel.createSocket();
    expect(xskRcv(idle, IFINDEX, 0, packet, 0, 64, 0)).toBe(-Errno.ENXIO);
    expect(xskRcv(rig.socket, IFINDEX, 1, packet, 0, 64, 0)).toBe(-Errno.EINVAL);
    expect(xskRcv(rig.socket, IFINDEX + 1, 0, packet, 0, 64, 0)).toBe(-Errno.EINVAL);
    expect(receive(rig, packet)).toBe(-Errno.ENOMEM);
    expect(rig.socket.statistics()).toMatchObject({ rxDropped: 1, rxFillRingEmptyDescs: 1 });
  });

  test("#280 RX ring full: rx_ring_full+1, ENOBUFS, the buffer stays with the kernel", () => {
    const rig = makeSocket({ ringSize: 4 });
    rig.fill(4);
    for (let n = 0; n < 4; n++) expect(receive(rig, bytesOf(64))).toBe(0);
    xskFlush(rig.socket);
    rig.fill(1);
    expect(receive(rig, bytesOf(64))).toBe(-Errno.ENOBUFS);
    expect(rig.socket.statistics().rxRingFull).toBe(1);
    expect([rig.queue.buffs.freeCount, rig.queue.buffs.fill!.peek(1)]).toEqual([1, 0]);
  });

  test("#281 three descriptors, two free: rx_ring_full+1, no buffer consumed", () => {
    const rig = makeSocket({ ...SG, ringSize: 4 });
    rig.fill(4);
    for (let n = 0; n < 2; n++) receive(rig, bytesOf(64));
    xskFlush(rig.socket);
    rig.fill(2);
    expect(receive(rig, bytesOf(9000))).toBe(-Errno.ENOBUFS);
    expect(rig.socket.statistics()).toMatchObject({ rxRingFull: 1, rxDropped: 0 });
    expect([rig.queue.buffs.freeCount, rig.queue.buffs.fill!.peek(9)]).toEqual([0, 4]);
  });

  test("#283 several descriptors and fill entries that name one chunk twice: rx_dropped+1, ENOMEM", () => {
    const rig = makeSocket(SG);
    const [ref] = rig.fill(1);
    // Behind the back of the user's end, which would refuse it.
    const { fill } = rig.socket.layouts;
    const chunk = (ref! >>> 1) - rig.umem.firstIdx;
    rig.host.i32[fill!.descsAt + 2] = (chunk & 0xfffff) * 4096 + 8;
    rig.host.i32[fill!.producerAt] = 2;
    expect(receive(rig, bytesOf(5000))).toBe(-Errno.ENOMEM);
    expect(rig.socket.statistics().rxDropped).toBe(1);
    expect(rig.queue.buffs.stats()).toMatchObject({ free: 1, out: 0, aliasedDescs: 1 });
  });

  test("#286 producer and fill consumer are seen after the flush, and not before", () => {
    const rig = makeSocket();
    rig.fill(2);
    receive(rig, bytesOf(64));
    const { rx, fill } = rig.socket.layouts;
    const seen = (): number[] => [rig.host.i32[rx!.producerAt]!, rig.host.i32[fill!.consumerAt]!];
    expect([...seen(), rig.rings.receive(4)]).toEqual([0, 0, 0]);
    let told = 0;
    rig.socket.onReadable = () => told++;
    xskFlush(rig.socket);
    expect([...seen(), rig.rings.receive(4), told]).toEqual([1, 1, 1, 1]);
  });

  test("#287 bad fill entries are counted on the fill queue, and reported as 0", () => {
    const rig = makeSocket();
    const { fill } = rig.socket.layouts;
    rig.host.i32[fill!.descsAt + 1] = 7;
    rig.host.i32[fill!.producerAt] = 1;
    receive(rig, bytesOf(64));
    expect([rig.socket.statistics().rxInvalidDescs, rig.queue.buffs.stats().invalidDescs]).toEqual([0, 1]);
  });

  test("5.8 statistics: 24 bytes add ring-full drops to rx_dropped, fewer are EINVAL", () => {
    const rig = makeSocket({ ringSize: 4 });
    rig.fill(4);
    for (let n = 0; n < 4; n++) receive(rig, bytesOf(64));
    receive(rig, bytesOf(64));
    xskFlush(rig.socket);
    rig.fill(1);
    receive(rig, bytesOf(64));
    const { rxDropped, rxRingFull } = rig.socket.statistics();
    expect([rxDropped, rxRingFull]).toEqual([1, 1]);
    expect(rig.socket.statistics(24)).toMatchObject({ rxDropped: 2, rxRingFull: 0, rxFillRingEmptyDescs: 0 });
    expect(() => rig.socket.statistics(23)).toThrow("ERR_NETMEM_XSK_SOCKOPT");
  });
});

describe("zero copy", () => {
  test("a buffer of the pool goes to the user as it is", () => {
    const rig = makeSocket(ZC);
    const [posted] = rig.fill(1);
    const { buffs } = rig.queue;
    const ref = buffs.allocNetmem() as NetmemRef;
    buffs.setSize(ref, 77);
    rig.host.u8[buffs.dataOf(ref)] = 42;
    expect(xskRcvZc(rig.socket, ref)).toBe(0);
    xskFlush(rig.socket);
    expect(rig.rings.receive(4)).toBe(1);
    expect([rig.rings.lengths[0], rig.host.u8[rig.rings.offsets[0]!]]).toEqual([77, 42]);
    expect(rig.rings.refs[0]! & 0x1fffff).toBe(posted! & 0x1fffff);
    expect(() => buffs.free(ref)).toThrow("ERR_NETMEM");
  });

  test("#284 no room for a packet of three buffers: all three in the free list, rx_ring_full+1", () => {
    const rig = makeSocket({ ...ZC, ringSize: 2 });
    const { buffs } = rig.queue;
    rig.fill(2);
    const refs = [buffs.allocNetmem(), buffs.allocNetmem()] as NetmemRef[];
    buffs.fill!.publish();
    rig.fill(1);
    refs.push(buffs.allocNetmem() as NetmemRef);
    for (const ref of refs) buffs.setSize(ref, 1000);
    for (const ref of refs.slice(1)) buffs.addFrag(refs[0]!, ref);
    expect(xskRcvZc(rig.socket, refs[0]!)).toBe(-Errno.ENOBUFS);
    expect(buffs.stats()).toMatchObject({ free: 3, out: 0 });
    expect(rig.socket.statistics().rxRingFull).toBe(1);
  });

  test("5.5 a packet of three buffers: three descriptors, all but the last go on", () => {
    const rig = makeSocket(ZC);
    rig.fill(3);
    const { buffs } = rig.queue;
    const refs = [0, 1, 2].map(() => buffs.allocNetmem() as NetmemRef);
    for (const [n, ref] of refs.entries()) buffs.setSize(ref, 100 + n);
    for (const ref of refs.slice(1)) buffs.addFrag(refs[0]!, ref);
    expect(xskRcvZc(rig.socket, refs[0]!)).toBe(0);
    xskFlush(rig.socket);
    expect(taken(rig)).toMatchObject({ lengths: [100, 101, 102], options: [1, 1, 0] });
    expect(buffs.outCount).toBe(0);
  });

  test("a packet of which somebody else holds a piece is not delivered at all", () => {
    const rig = makeSocket(ZC);
    rig.fill(3);
    const { buffs } = rig.queue;
    const [head, shared, last] = [0, 1, 2].map(() => buffs.allocNetmem()) as [NetmemRef, NetmemRef, NetmemRef];
    for (const ref of [head, shared, last]) buffs.setSize(ref, 100);
    for (const ref of [shared, last]) buffs.addFrag(head, ref);
    refNetmem(rig.host, shared);
    expect(() => xskRcvZc(rig.socket, head)).toThrow("ERR_NETMEM");
    expect([rig.socket.rx!.stagedCount, buffs.pendingFrags, buffs.outCount]).toEqual([0, 2, 3]);
    buffs.freePacket(head);
    returnNetmem(rig.host, shared);
    expect(buffs.stats()).toMatchObject({ free: 3, out: 0 });
  });
});

test("#271 unaligned: the chunk in the low 48 bits, 256 + headroom in the upper 16", () => {
  const umem = { chunkSizeBytes: 3000, flags: 1, headroomBytes: 64 };
  const rig = makeSocket({ umem });
  rig.fill(2);
  receive(rig, bytesOf(64));
  receive(rig, bytesOf(64, 2));
  const { rx } = rig.socket.layouts;
  const words = [...rig.host.i32.subarray(rx!.descsAt, rx!.descsAt + 8)];
  expect(words).toEqual([0, 320 << 16, 64, 0, 3000, 320 << 16, 64, 0]);
  xskFlush(rig.socket);
  expect(taken(rig).bytes).toEqual([...bytesOf(64), ...bytesOf(64, 2)]);
});
