import { markShared, type NetmemRef, refNetmem, returnNetmem } from "@netmem/core";
import { beforeEach, describe, expect, test } from "vitest";
import {
  BindFlag,
  checkXskInvariants,
  createUmem,
  DescOption,
  UmemFlag,
  xskFlush,
  xskRcv,
  XskRings,
} from "../src/index.ts";
import {
  bytesOf,
  codeOf,
  IFINDEX,
  makeHost,
  makeSocket,
  makeUmem,
  setAllRings,
  type SocketRig,
  takeFrames,
} from "./fixture.ts";

const CONTD = DescOption.PktContd;
const COPY_SG = { bind: { flags: BindFlag.Copy | BindFlag.UseSg } };

let rig: SocketRig;
beforeEach(() => {
  rig = makeSocket(COPY_SG);
});

const check = (...more: XskRings[]): void => checkXskInvariants(rig.umem, [rig.rings, ...more]);
const home = (refs: ArrayLike<number>): void => {
  for (const ref of Array.from(refs)) returnNetmem(rig.host, ref as NetmemRef);
};

function deliver(bytes: Uint8Array, from: SocketRig = rig): void {
  expect(xskRcv(from.socket, IFINDEX, 0, bytes, 0, bytes.length, 0)).toBe(0);
  xskFlush(from.socket);
}

describe("posting", () => {
  test("references are dead while the kernel has the frame, and live under a new generation afterwards", () => {
    const [ref] = rig.fill(1);
    expect(rig.umem.census()).toEqual({ total: 16, user: 15, fillPosted: 1, txPosted: 0 });
    expect(codeOf(() => returnNetmem(rig.host, ref!))).toBe("ERR_NETMEM_DOUBLE_PUT ref");
    expect(codeOf(() => rig.rings.transmitOne(ref!, rig.umem.offset, 64))).toContain("ERR_NETMEM");
    deliver(bytesOf(64));
    expect(rig.rings.receive(1)).toBe(1);
    const back = rig.rings.refs[0]!;
    expect([back === ref, back & 0x1fffff]).toEqual([false, ref! & 0x1fffff]);
    expect(codeOf(() => returnNetmem(rig.host, ref!))).toContain("ERR_NETMEM");
    home([back]);
    check();
    expect(rig.umem.census().user).toBe(16);
  });

  test("what cannot be posted is named; those before it are posted", () => {
    const [a, b, c] = takeFrames(rig.umem, 3) as [NetmemRef, NetmemRef, NetmemRef];
    const page = rig.host.pages.allocPages(0);
    refNetmem(rig.host, b);
    for (const bad of [b, page, 0, 5, -1, 0x3fffffff]) {
      const code = codeOf(() => rig.rings.post(Int32Array.of(bad), 1));
      expect(code).toBe("ERR_NETMEM_XSK_NOT_POSTABLE refs[0]");
    }
    expect(codeOf(() => rig.rings.post(Int32Array.of(a, b, c), 3))).toBe("ERR_NETMEM_XSK_NOT_POSTABLE refs[1]");
    expect(rig.rings.census().fillPosted).toEqual({ total: 1, fillRing: 1, kernel: 0, rxRing: 0 });
    expect(rig.rings.transmitOne(c, rig.host.offsetOf(c as never), 64)).toBe(true);
    expect(codeOf(() => rig.rings.post(Int32Array.of(c), 1))).toContain("NOT_POSTABLE");
    check();
  });

  test("takes what the ring has room for", () => {
    const small = makeSocket({ ringSize: 4 });
    const refs = takeFrames(small.umem, 6);
    expect([small.rings.post(Int32Array.from(refs), 6), small.rings.fillRoom(1)]).toEqual([4, 0]);
    expect(small.rings.post(Int32Array.from(refs.slice(4)), 2)).toBe(0);
  });

  test("pages of the host: a reference and an address differ by a shift", () => {
    const host = makeHost();
    const umem = createUmem(host);
    const { kernel } = makeSocket({}, host);
    const socket = kernel.createSocket();
    socket.registerUmem(umem);
    setAllRings(socket, 8);
    socket.bind({ ifindex: IFINDEX, queueIdx: 1 });
    const rings = new XskRings(umem, socket.layouts);
    const page = host.pages.allocPages(0);
    if (page === 0) throw new Error("no page");
    expect(rings.post(Int32Array.of(page), 1)).toBe(1);
    const { fill } = socket.layouts;
    expect(host.i32[fill!.descsAt]).toBe(host.offsetOf(page) - umem.offset);
    xskRcv(socket, IFINDEX, 1, bytesOf(64), 0, 64, 0);
    xskFlush(socket);
    expect(rings.receive(8)).toBe(1);
    expect(rings.offsets[0]).toBe(host.offsetOf(page) + 256);
    checkXskInvariants(umem, [rings]);
    host.pages.freePage(rings.refs[0] as never);
  });
});

describe("receiving", () => {
  test("whole packets only, also when fewer descriptors were asked for", () => {
    rig.fill(8);
    deliver(bytesOf(9000));
    deliver(bytesOf(100));
    expect([rig.rings.receive(1), [...rig.rings.options.subarray(0, 3)]]).toEqual([3, [CONTD, CONTD, 0]]);
    home(rig.rings.refs.subarray(0, 3));
    expect(rig.rings.receive(1)).toBe(1);
    home(rig.rings.refs.subarray(0, 1));
    check();
  });

  test("a packet whose end is not there yet waits", () => {
    rig.fill(3);
    deliver(bytesOf(9000));
    const { rx } = rig.socket.layouts;
    rig.host.i32[rx!.producerAt] = 2;
    expect(rig.rings.receive(64)).toBe(0);
    rig.host.i32[rx!.producerAt] = 3;
    expect(rig.rings.receive(64)).toBe(3);
  });

  test("unaligned chunks, where the kernel says in the upper bits where the data is", () => {
    const odd = makeSocket({ umem: { chunkSizeBytes: 3000, flags: UmemFlag.UnalignedChunk, headroomBytes: 8 } });
    odd.fill(5);
    deliver(bytesOf(500), odd);
    expect(odd.rings.receive(8)).toBe(1);
    const ref = odd.rings.refs[0] as never;
    expect(odd.rings.offsets[0]! - odd.host.offsetOf(ref)).toBe(264);
    checkXskInvariants(odd.umem, [odd.rings]);
  });
});

describe("transmitting", () => {
  test("fragments of one page are descriptors of one packet, each with a reference of its own", () => {
    const [ref] = takeFrames(rig.umem, 1);
    const at = rig.host.offsetOf(ref as never);
    refNetmem(rig.host, ref!);
    rig.host.u8.set(bytesOf(300), at);
    expect(rig.rings.transmit(Int32Array.of(ref!, ref!), Int32Array.of(at, at + 200), Int32Array.of(100, 100), 2)).toBe(
      true,
    );
    check();
    expect(rig.umem.census().txPosted).toBe(1);
    rig.rings.submitTx();
    expect(rig.socket.sendto()).toBe(0);
    const whole = bytesOf(300);
    expect(rig.sent).toEqual([Uint8Array.of(...whole.subarray(0, 100), ...whole.subarray(200, 300))]);
    expect([rig.rings.complete(1), rig.umem.frames!.outCount]).toEqual([1, 1]);
    check();
    expect([rig.rings.complete(8), rig.umem.frames!.outCount]).toEqual([1, 0]);
    check();
  });

  test("a block of pages goes out in chunks, and home once", () => {
    const host = makeHost();
    const umem = createUmem(host);
    const base = makeSocket({}, host);
    const socket = base.kernel.createSocket();
    socket.registerUmem(umem);
    setAllRings(socket, 8);
    socket.bind({ ifindex: IFINDEX, queueIdx: 1, flags: BindFlag.UseSg });
    const rings = new XskRings(umem, socket.layouts);
    const free = host.pages.freePageCount();
    const block = host.pages.allocPages(2);
    if (block === 0) throw new Error("no block");
    const at = host.offsetOf(block) + 4000;
    const packet = bytesOf(9000);
    host.u8.set(packet, at);
    expect(rings.transmit(Int32Array.of(block), Int32Array.of(at), Int32Array.of(9000), 1)).toBe(true);
    expect(umem.census().txPosted).toBe(4);
    checkXskInvariants(umem, [rings]);
    rings.submitTx();
    socket.sendto();
    expect(base.sent).toEqual([packet]);
    expect([rings.complete(3), host.pages.freePageCount()]).toEqual([3, free - 4]);
    expect([rings.complete(3), host.pages.freePageCount()]).toEqual([1, free]);
  });

  test("all or nothing: refused pieces leave ring, states and references as they were", () => {
    const [a, b] = takeFrames(rig.umem, 2) as [NetmemRef, NetmemRef];
    const at = (ref: NetmemRef): number => rig.host.offsetOf(ref as never);
    const send = (refs: NetmemRef[], offsets: number[], lengths: number[]): boolean =>
      rig.rings.transmit(Int32Array.from(refs), Int32Array.from(offsets), Int32Array.from(lengths), refs.length);
    expect(send([a, b], [at(a), at(b)], [64, 0])).toBe(false);
    expect(send([a, b], [at(a), at(b) - 1], [64, 64])).toBe(false);
    expect(send([a, b], [at(a), at(b) + 4090], [64, 64])).toBe(false);
    expect(send([a, b], [at(a), 0], [64, 64])).toBe(false);
    expect(send([], [], [])).toBe(false);
    expect([rig.rings.stats().txRefused, rig.rings.txRoom(16)]).toEqual([4, 16]);
    expect(codeOf(() => send([a, 0 as NetmemRef], [at(a), 0], [64, 64]))).toContain("ERR_NETMEM_BAD_REF");
    check();
    rig = makeSocket({ ...COPY_SG, ringSize: 64 });
    const [c] = takeFrames(rig.umem, 1) as [NetmemRef];
    for (let n = 1; n < 19; n++) refNetmem(rig.host, c);
    const pieces = Array.from({ length: 19 }, (_, n) => n);
    const sendMany = (): boolean =>
      send(
        pieces.map(() => c),
        pieces.map((n) => at(c) + n),
        pieces.map(() => 1),
      );
    expect([sendMany(), rig.rings.stats().txRefused, rig.rings.txRoom(64)]).toEqual([false, 1, 64]);
    check();
    pieces.pop();
    returnNetmem(rig.host, c);
    expect([sendMany(), rig.umem.census().txPosted, rig.rings.census().txPosted.total]).toEqual([true, 1, 18]);
    check();
  });

  test("a full TX ring is no refusal", () => {
    const refs = takeFrames(rig.umem, 16);
    for (const ref of refs) expect(rig.rings.transmitOne(ref, rig.host.offsetOf(ref as never), 60)).toBe(true);
    expect(rig.rings.txRoom(1)).toBe(0);
    rig.rings.submitTx();
    rig.socket.sendto();
    refNetmem(rig.host, refs[0]!);
    expect(rig.rings.transmitOne(refs[0]!, rig.host.offsetOf(refs[0] as never), 60)).toBe(true);
    check();
    expect(rig.rings.complete(64)).toBe(16);
    const rest = rig.rings.census().txPosted;
    expect(rest).toEqual({ total: 1, txRing: 1, kernel: 0, completionRing: 0 });
    expect(rig.rings.stats().txRefused).toBe(0);
  });

  test("a packet of more pieces than the TX ring has entries is refused, not waited for", () => {
    rig = makeSocket({ ...COPY_SG, ringSize: 2 });
    const refs = takeFrames(rig.umem, 3);
    const send = (pieces: number): boolean =>
      rig.rings.transmit(
        Int32Array.from(refs),
        Int32Array.from(refs, (ref) => rig.host.offsetOf(ref as never)),
        new Int32Array(3).fill(64),
        pieces,
      );
    expect([send(3), rig.rings.stats().txRefused]).toEqual([false, 1]);
    expect([send(1), send(2), rig.rings.stats().txRefused]).toEqual([true, false, 1]);
    check();
  });

  test("a buffer that its user returned while it was sent: complete() says so, and the rest comes home", () => {
    const refs = takeFrames(rig.umem, 4);
    for (const ref of refs) rig.rings.transmitOne(ref, rig.host.offsetOf(ref as never), 64);
    rig.rings.submitTx();
    rig.socket.sendto();
    returnNetmem(rig.host, refs[1]!);
    expect(codeOf(() => rig.rings.complete(4))).toBe("ERR_NETMEM_DOUBLE_PUT ref");
    check();
    expect([rig.rings.txPostedCount, rig.rings.complete(4)]).toEqual([2, 2]);
    expect([rig.rings.stats().completionBadAddr, rig.umem.census().user]).toEqual([0, 16]);
    check();
  });

  test("negative counts are no counts", () => {
    const refs = takeFrames(rig.umem, 1);
    rig.rings.transmitOne(refs[0]!, rig.host.offsetOf(refs[0] as never), 64);
    rig.rings.submitTx();
    rig.socket.sendto();
    rig.fill(2);
    deliver(bytesOf(64));
    const none = new Int32Array(1);
    expect([rig.rings.post(none, -1), rig.rings.receive(-1), rig.rings.complete(-1)]).toEqual([0, 0, 0]);
    check();
    expect([rig.rings.receive(8), rig.rings.complete(8)]).toEqual([1, 1]);
    check();
  });

  test("a chunk is sent on one queue at a time", () => {
    const second = rig.kernel.createSocket();
    setAllRings(second, 8);
    second.bind({ ifindex: IFINDEX, queueIdx: 1, flags: BindFlag.SharedUmem, sharedFd: rig.socket.fd });
    const other = new XskRings(rig.umem, second.layouts);
    const [ref] = takeFrames(rig.umem, 1);
    const at = rig.host.offsetOf(ref as never);
    markShared(rig.host, ref!);
    refNetmem(rig.host, ref!);
    expect([rig.rings.transmitOne(ref!, at, 64), other.transmitOne(ref!, at, 64)]).toEqual([true, false]);
    check(other);
    rig.rings.submitTx();
    rig.socket.sendto();
    rig.rings.complete(8);
    expect([other.stats().txRefused, other.transmitOne(ref!, at, 64)]).toEqual([1, true]);
    check(other);
  });

  test("TX metadata in front of the data, and in the chunk", () => {
    const umem = { flags: UmemFlag.TxMetadataLen, txMetadataBytes: 16 };
    const meta = makeSocket({ ...COPY_SG, umem });
    const [ref] = takeFrames(meta.umem, 1);
    const at = meta.host.offsetOf(ref as never);
    expect(meta.rings.transmitOne(ref!, at + 8, 64, DescOption.TxMetadata)).toBe(false);
    expect(meta.rings.transmitOne(ref!, at + 16, 64, DescOption.TxMetadata)).toBe(true);
    meta.rings.submitTx();
    meta.socket.sendto();
    expect([meta.sent.length, meta.socket.statistics().txInvalidDescs]).toEqual([1, 0]);
  });
});

describe("sockets that share a queue share its books", () => {
  test("what one sends the other completes; the queue is released with the last one", () => {
    const second = rig.kernel.createSocket();
    second.setRing("tx", 8);
    second.setRing("rx", 8);
    second.bind({ ifindex: IFINDEX, queueIdx: 0, flags: BindFlag.SharedUmem, sharedFd: rig.socket.fd });
    const other = new XskRings(rig.umem, second.layouts, { queueOf: rig.rings });
    const [ref] = takeFrames(rig.umem, 1);
    expect(other.transmitOne(ref!, rig.host.offsetOf(ref as never), 64)).toBe(true);
    other.submitTx();
    second.sendto();
    expect([other.complete(8), rig.rings.complete(8)]).toEqual([0, 1]);
    rig.fill(2);
    xskRcv(second, IFINDEX, 0, bytesOf(64), 0, 64, 0);
    xskFlush(second);
    expect(other.receive(8)).toBe(1);
    expect(rig.rings.close()).toBe(1);
    expect(codeOf(() => rig.rings.released())).toBe("ERR_NETMEM_XSK_STILL_OPEN EBUSY users");
    other.close();
    expect([rig.rings.released(), rig.umem.census().user]).toEqual([1, 16]);
  });
});

describe("the end", () => {
  test("what the kernel has is quarantined until the queue is released", () => {
    rig.fill(3);
    const [ref] = takeFrames(rig.umem, 1);
    rig.rings.transmitOne(ref!, rig.host.offsetOf(ref as never), 64);
    deliver(bytesOf(64));
    expect(codeOf(() => rig.rings.released())).toContain("STILL_OPEN");
    expect(rig.rings.close()).toBe(4);
    expect([rig.rings.receive(8), rig.rings.complete(8), rig.rings.post(new Int32Array(1), 1)]).toEqual([0, 0, 0]);
    expect([rig.rings.transmitOne(ref!, 0, 1), rig.rings.submitTx(), rig.rings.close()]).toEqual([false, false, 4]);
    expect(codeOf(() => rig.umem.dispose())).toBe("ERR_NETMEM_XSK_UMEM_BUSY EBUSY umem");
    expect(rig.umem.frames!.freeCount).toBe(12);
    rig.socket.close();
    expect([rig.rings.released(), rig.umem.frames!.freeCount, rig.rings.released()]).toEqual([4, 16, 0]);
    check();
    rig.umem.dispose();
  });

  test("a UMEM whose rings are open is not given up: they would go on writing its states", () => {
    expect(codeOf(() => rig.umem.dispose())).toBe("ERR_NETMEM_XSK_UMEM_BUSY EBUSY umem");
    rig.fill(1);
    rig.rings.close();
    rig.rings.close();
    rig.socket.close();
    rig.rings.released();
    expect(codeOf(() => rig.umem.dispose())).toBe("no error");
  });

  test("a UMEM takes any number of queues, one after the other", () => {
    const { umem, socket } = rig;
    rig.rings.close();
    rig.rings.released();
    let rings = rig.rings;
    for (let n = 0; n < 33_000; n++) {
      rings = new XskRings(umem, socket.layouts);
      rings.close();
      rings.released();
    }
    const next = new XskRings(umem, socket.layouts);
    expect(next.post(Int32Array.from(takeFrames(umem, 1)), 1)).toBe(1);
    // What was released has nothing to do with its number's next owner.
    expect([rings.released(), rig.rings.released(), umem.census().fillPosted]).toEqual([0, 0, 1]);
    expect(codeOf(() => new XskRings(umem, socket.layouts, { queueOf: rings }))).toContain(
      "INVALID_PARAM EINVAL queueOf",
    );
  });

  test("one UMEM, many sockets in turn: nothing is left behind", () => {
    const host = makeHost();
    const round = (): void => {
      const one = makeSocket({}, host);
      one.fill(4);
      one.rings.close();
      one.socket.close();
      one.rings.released();
      one.umem.dispose();
    };
    round();
    const free = host.pages.freePageCount();
    for (let n = 0; n < 10; n++) round();
    expect(host.pages.freePageCount()).toBe(free);
    makeUmem(host).dispose();
  });
});
