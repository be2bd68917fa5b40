import { describe, expect, test } from "vitest";
import { BindFlag, DescOption, Errno, TxVerdict, UmemFlag, XskRings } from "../src/index.ts";
import {
  bytesOf,
  codeOf,
  IFINDEX,
  makeSocket,
  RawTx,
  setAllRings,
  type SocketParams,
  type SocketRig,
} from "./fixture.ts";

const CONTD = DescOption.PktContd;
const COPY: SocketParams = { bind: { flags: BindFlag.Copy | BindFlag.UseSg } };
const ZC: SocketParams = {
  device: { zeroCopyMaxSegs: 4, mtuBytes: 9000 },
  bind: { flags: BindFlag.ZeroCopy | BindFlag.UseSg },
};

function rawTx({ host, socket }: SocketRig): RawTx {
  return new RawTx(host, socket.layouts.tx!);
}

/** Addresses in the completion ring, which the call empties. */
function completions({ host, socket }: SocketRig): number[] {
  const { completion } = socket.layouts;
  const { i32 } = host;
  const seen: number[] = [];
  for (; i32[completion!.consumerAt] !== i32[completion!.producerAt]; i32[completion!.consumerAt]!++) {
    const slot = i32[completion!.consumerAt]! & (completion!.size - 1);
    seen.push((i32[completion!.descsAt + slot * 2]! >>> 0) + i32[completion!.descsAt + slot * 2 + 1]! * 2 ** 32);
  }
  return seen;
}

function consumed({ host, socket }: SocketRig): number {
  return host.i32[socket.layouts.tx!.consumerAt]!;
}

describe("what the kernel sends", () => {
  const verdictOf = (addr: number, len: number, options = 0, umem: SocketParams["umem"] = {}): boolean => {
    const rig = makeSocket({ ...COPY, umem });
    const tx = rawTx(rig);
    tx.put(addr, len, options);
    tx.submit();
    expect(rig.socket.sendto()).toBe(0);
    const { txInvalidDescs } = rig.socket.statistics();
    expect([completions(rig).length, consumed(rig)]).toEqual([1, 1]);
    expect(rig.sent.length + txInvalidDescs).toBe((options & CONTD) === 0 || txInvalidDescs > 0 ? 1 : 0);
    return txInvalidDescs === 0;
  };

  test("#289 length 0 bad, up to the chunk's end ok, beyond bad, outside bad, unknown options bad", () => {
    expect(verdictOf(0, 0)).toBe(false);
    expect([verdictOf(96, 4000), verdictOf(97, 4000)]).toEqual([true, false]);
    expect([verdictOf(65536, 64), verdictOf(61440, 4096), verdictOf(2 ** 32, 64)]).toEqual([false, true, false]);
    expect([verdictOf(0, 64, 4), verdictOf(0, 64, 2), verdictOf(0, 64, 8 | CONTD)]).toEqual([false, true, false]);
  });

  test("#290 TX metadata of 16: address 8 underflows, 16 does not", () => {
    const umem = { flags: UmemFlag.TxMetadataLen, txMetadataBytes: 16 };
    expect([verdictOf(8, 64, 0, umem), verdictOf(16, 64, 0, umem)]).toEqual([false, true]);
    expect([verdictOf(16, 4080, 0, umem), verdictOf(16, 4081, 0, umem)]).toEqual([true, false]);
  });

  test.each([
    ["aligned 4096", 4096, 0],
    ["aligned 2048", 2048, 0],
    ["unaligned 4096", 4096, UmemFlag.UnalignedChunk],
    ["unaligned 4001", 4001, UmemFlag.UnalignedChunk],
  ])("#310 the table of invalid descriptors: %s", (_name, chunkSizeBytes, flags) => {
    const size = 65536;
    const umem = { chunkSizeBytes, flags, ownBytes: size };
    const isUnaligned = flags !== 0;
    const table: [addr: number, len: number, isValid: boolean][] = [
      [0, 64, true],
      [-2, 64, false],
      [4096, chunkSizeBytes + 1, false],
      [size - 64, 64, true],
      [size, 64, false],
      [size - 32, 64, false],
      [4096 - 32, 64, isUnaligned],
      [2048 - 32, 64, isUnaligned || chunkSizeBytes !== 2048],
    ];
    expect(table.map(([addr, len]) => verdictOf(addr, len, 0, umem))).toEqual(table.map(([, , isValid]) => isValid));
  });
});

describe("copy mode", () => {
  test("#292 an invalid descriptor is counted and completed, and ends the call", () => {
    const rig = makeSocket(COPY);
    const tx = rawTx(rig);
    for (const [addr, len] of [
      [0, 64],
      [65536, 64],
      [4096, 64],
    ] as const) {
      tx.put(addr, len);
    }
    tx.submit();
    expect([rig.socket.sendto(), rig.sent.length, consumed(rig)]).toEqual([0, 1, 2]);
    expect([rig.socket.sendto(), rig.sent.length, consumed(rig)]).toEqual([0, 2, 3]);
    expect([completions(rig), rig.socket.statistics().txInvalidDescs]).toEqual([[0, 65536, 4096], 1]);
  });

  test("#293 no completion slot: EAGAIN, nothing consumed", () => {
    const rig = makeSocket({ ...COPY, ringSize: 4 });
    const tx = rawTx(rig);
    for (let n = 0; n < 4; n++) tx.put(n * 4096, 64);
    tx.submit();
    expect(rig.socket.sendto()).toBe(0);
    tx.put(0, 64);
    tx.submit();
    expect([rig.socket.sendto(), consumed(rig)]).toEqual([-Errno.EAGAIN, 4]);
    expect(completions(rig).length).toBe(4);
    expect([rig.socket.sendto(), consumed(rig)]).toEqual([0, 5]);
  });

  test("#295 33 packets, one sendto: 32 sent, EAGAIN, consumer +32", () => {
    const rig = makeSocket({ ...COPY, ringSize: 64 });
    const tx = rawTx(rig);
    for (let n = 0; n < 33; n++) tx.put((n % 16) * 4096, 64);
    tx.submit();
    expect([rig.socket.sendto(), rig.sent.length, consumed(rig)]).toEqual([-Errno.EAGAIN, 32, 32]);
    rig.socket.setMaxTxBudget(64);
    expect([rig.socket.sendto(), rig.sent.length]).toEqual([0, 33]);
    expect([31, 65].map((budget) => codeOf(() => rig.socket.setMaxTxBudget(budget)))).toEqual(
      Array.from({ length: 2 }, () => "ERR_NETMEM_XSK_SOCKOPT EACCES budget"),
    );
  });

  test("#296 18 segments are a packet; 19 are dropped, all invalid and completed; the next packet is fine", () => {
    const rig = makeSocket({ ...COPY, ringSize: 64 });
    rig.socket.setMaxTxBudget(64);
    const tx = rawTx(rig);
    for (const count of [18, 19, 1]) for (let n = 0; n < count; n++) tx.put(n * 64, 10, n === count - 1 ? 0 : CONTD);
    tx.submit();
    expect(rig.socket.sendto()).toBe(0);
    expect(rig.sent.map(({ length }) => length)).toEqual([180, 10]);
    expect([rig.socket.statistics().txInvalidDescs, completions(rig).length]).toEqual([19, 38]);
  });

  test.each([
    ["zero-length tail", [64, 64, 0], [0, 4096, 8192], 0],
    ["address twice the size in the middle", [64, 64, 64], [0, 131072, 8192], 0],
    ["oversize in the middle", [64, 4097, 64], [0, 4096, 8192], 0],
    ["unknown option in the middle", [64, 64, 64], [0, 4096, 8192], 8],
    ["across a chunk's end in the middle", [64, 64, 64], [0, 8192 - 32, 12288], 0],
  ])("#310 one bad piece loses the whole packet and no other: %s", (_name, lengths, addrs, option) => {
    const rig = makeSocket(COPY);
    const tx = rawTx(rig);
    const neighbour = (addr: number): void => {
      tx.put(addr, 64, CONTD);
      tx.put(addr + 64, 64);
    };
    neighbour(16384);
    for (let n = 0; n < 3; n++) tx.put(addrs[n]!, lengths[n]!, (n === 2 ? 0 : CONTD) | (n === 1 ? option : 0));
    neighbour(20480);
    tx.submit();
    for (let n = 0; n < 4; n++) rig.socket.sendto();
    expect(rig.sent.map(({ length }) => length)).toEqual([128, 128]);
    expect([completions(rig).length, rig.socket.statistics().txInvalidDescs]).toEqual([7, 3]);
  });

  test("5.6 a busy device: EAGAIN and the descriptors stay; a drop: EBUSY and they complete", () => {
    const rig = makeSocket(COPY);
    const tx = rawTx(rig);
    tx.put(0, 64, CONTD);
    tx.put(4096, 64);
    tx.submit();
    rig.device.transmit = () => TxVerdict.Busy;
    expect([rig.socket.sendto(), consumed(rig), completions(rig)]).toEqual([-Errno.EAGAIN, 0, []]);
    rig.device.transmit = () => TxVerdict.Dropped;
    expect([rig.socket.sendto(), consumed(rig), completions(rig)]).toEqual([-Errno.EBUSY, 2, [0, 4096]]);
  });

  test("5.6 errno of sendto: blocking, unbound, down, no TX ring", () => {
    const rig = makeSocket(COPY);
    const idle = rig.kernel.createSocket();
    expect([rig.socket.sendto(false), idle.sendto()]).toEqual([-Errno.EOPNOTSUPP, -Errno.ENXIO]);
    rig.device.isUp = false;
    expect([rig.socket.sendto(), rig.socket.recvfrom()]).toEqual([-Errno.ENETDOWN, -Errno.ENETDOWN]);
    rig.device.isUp = true;
    const listener = rig.kernel.createSocket();
    listener.setRing("rx", 8);
    listener.bind({ ifindex: IFINDEX, queueIdx: 0, flags: BindFlag.SharedUmem, sharedFd: rig.socket.fd });
    expect([listener.sendto(), listener.recvfrom()]).toEqual([-Errno.ENOBUFS, 0]);
  });

  test("#301 writable at exactly half full, and not at one more", () => {
    const rig = makeSocket(COPY);
    rig.device.transmit = () => TxVerdict.Busy;
    const tx = rawTx(rig);
    for (let n = 0; n < 8; n++) tx.put(0, 64);
    tx.submit();
    expect(rig.socket.poll()).toEqual({ readable: false, writable: true });
    tx.put(0, 64);
    tx.submit();
    expect(rig.socket.poll().writable).toBe(false);
  });
});

describe("zero copy", () => {
  const take = ({ queue }: SocketRig): number[] => {
    const seen: number[] = [];
    while (queue.tx.peek()) seen.push(queue.tx.offsets[0]! - queue.umem.offset);
    return seen;
  };

  test("#292 peek skips what is invalid, without completion", () => {
    const rig = makeSocket(ZC);
    const tx = rawTx(rig);
    for (const addr of [0, 65536, 2 ** 40, 4096]) tx.put(addr, 64);
    tx.submit();
    expect([take(rig), consumed(rig), rig.queue.tx.outstandingCount]).toEqual([[0, 4096], 4, 2]);
    rig.queue.tx.completed(2);
    expect([completions(rig), rig.socket.statistics().txInvalidDescs]).toEqual([[0, 4096], 2]);
  });

  test("#293 completion ring full: no descriptor, nothing consumed", () => {
    const rig = makeSocket({ ...ZC, ringSize: 4 });
    const tx = rawTx(rig);
    for (let n = 0; n < 4; n++) tx.put(n * 4096, 64);
    tx.submit();
    expect(take(rig)).toEqual([0, 4096, 8192, 12288]);
    tx.put(16384, 64);
    tx.submit();
    expect([rig.queue.tx.peek(), rig.queue.tx.peekBatch(4), consumed(rig)]).toEqual([false, 0, 4]);
    rig.queue.tx.completed(4);
    expect(rig.queue.tx.peek()).toBe(false);
    completions(rig);
    expect([rig.queue.tx.peekBatch(4), consumed(rig)]).toEqual([1, 5]);
  });

  test("5.6 sockets of a queue take turns of 32", () => {
    const rig = makeSocket({ ...ZC, ringSize: 256 });
    const second = rig.kernel.createSocket();
    second.setRing("tx", 256);
    second.bind({ ifindex: IFINDEX, queueIdx: 0, flags: BindFlag.SharedUmem, sharedFd: rig.socket.fd });
    const [a, b] = [rawTx(rig), new RawTx(rig.host, second.layouts.tx!)];
    for (let n = 0; n < 50; n++) a.put(0, 1);
    for (let n = 0; n < 40; n++) b.put(4096, 1);
    a.submit();
    b.submit();
    const turns = take(rig).map((addr) => (addr === 0 ? "a" : "b"));
    const runs = turns
      .join("")
      .match(/a+|b+/g)!
      .map((run) => run.length);
    expect(runs).toEqual([32, 32, 18, 8]);
    rig.queue.tx.completed(90);
    expect(completions(rig).length).toBe(90);
  });

  test("#298 a batch has whole packets only; one cut by the budget waits for the next call", () => {
    const rig = makeSocket(ZC);
    const tx = rawTx(rig);
    for (const pieces of [2, 3, 1]) for (let n = 0; n < pieces; n++) tx.put(n * 64, 64, n === pieces - 1 ? 0 : CONTD);
    tx.submit();
    expect([rig.queue.tx.peekBatch(4), consumed(rig)]).toEqual([2, 2]);
    expect([rig.queue.tx.peekBatch(2), consumed(rig)]).toEqual([0, 2]);
    expect([rig.queue.tx.peekBatch(4), consumed(rig)]).toEqual([4, 6]);
    expect([...rig.queue.tx.options.subarray(0, 4)]).toEqual([1, 1, 0, 0]);
  });

  test("#298 a packet whose end is not in the ring yet waits", () => {
    const rig = makeSocket(ZC);
    const tx = rawTx(rig);
    tx.put(0, 64, CONTD);
    tx.submit();
    expect(rig.queue.tx.peekBatch(16)).toBe(0);
    tx.put(64, 64);
    tx.submit();
    expect(rig.queue.tx.peekBatch(16)).toBe(2);
  });

  test("#299 reclaim: valid ones complete first, then the dropped; no batch until then", () => {
    const rig = makeSocket(ZC);
    const tx = rawTx(rig);
    tx.put(0, 64);
    tx.put(4096, 64, CONTD);
    tx.put(65536, 64, CONTD);
    tx.put(8192, 64);
    tx.put(12288, 64);
    tx.submit();
    expect([rig.queue.tx.peekBatch(16), consumed(rig)]).toEqual([1, 4]);
    expect([rig.queue.tx.peekBatch(16), completions(rig)]).toEqual([0, []]);
    rig.queue.tx.completed(1);
    expect(completions(rig)).toEqual([0, 4096, 65536, 8192]);
    expect([rig.queue.tx.peekBatch(16), rig.socket.statistics().txInvalidDescs]).toEqual([1, 3]);
  });

  test("#296 more pieces than the driver can do: dropped to its end, however long", () => {
    const rig = makeSocket({ ...ZC, ringSize: 4 });
    const tx = rawTx(rig);
    for (let n = 0; n < 4; n++) tx.put(n * 64, 64, CONTD);
    tx.submit();
    expect([rig.queue.tx.peekBatch(4), completions(rig).length]).toEqual([0, 4]);
    tx.put(0, 64, 0);
    tx.put(4096, 64);
    tx.submit();
    expect([rig.queue.tx.peekBatch(4), completions(rig).length]).toEqual([0, 1]);
    expect(rig.queue.tx.peekBatch(4)).toBe(1);
  });

  test("#299 what waits to be handed back keeps its room, also when a second socket joins", () => {
    const rig = makeSocket({ ...ZC, ringSize: 4 });
    const tx = rawTx(rig);
    tx.put(0, 64);
    tx.put(4096, 64, CONTD);
    tx.put(65536, 64);
    tx.submit();
    expect(rig.queue.tx.peekBatch(4)).toBe(1);
    const second = rig.kernel.createSocket();
    second.setRing("tx", 4);
    second.bind({ ifindex: IFINDEX, queueIdx: 0, flags: BindFlag.SharedUmem, sharedFd: rig.socket.fd });
    const other = new RawTx(rig.host, second.layouts.tx!);
    for (const addr of [8192, 12288]) other.put(addr, 64);
    other.submit();
    expect([take(rig), rig.queue.tx.outstandingCount]).toEqual([[8192], 2]);
    rig.queue.tx.completed(2);
    expect(completions(rig)).toEqual([0, 8192, 4096, 65536]);
  });

  test("#299 the rest of a dropped packet is looked for in the ring of its socket only", () => {
    const rig = makeSocket(ZC);
    const tx = rawTx(rig);
    tx.put(65536, 64, CONTD);
    tx.submit();
    expect(rig.queue.tx.peekBatch(4)).toBe(0);
    const second = rig.kernel.createSocket();
    second.setRing("tx", 4);
    second.bind({ ifindex: IFINDEX, queueIdx: 0, flags: BindFlag.SharedUmem, sharedFd: rig.socket.fd });
    rig.socket.close();
    const other = new RawTx(rig.host, second.layouts.tx!);
    other.put(4096, 64);
    other.submit();
    expect([rig.queue.tx.peekBatch(4), second.statistics().txInvalidDescs]).toEqual([1, 0]);
  });

  test("a driver that goes on after the queue's end writes into nobody's memory", () => {
    const flags = BindFlag.ZeroCopy | BindFlag.UseSg | BindFlag.UseNeedWakeup;
    const rig = makeSocket({ ...ZC, bind: { flags } });
    const { queue, host } = rig;
    const tx = rawTx(rig);
    tx.put(0, 64);
    tx.submit();
    rig.fill(2);
    expect(queue.tx.peekBatch(1)).toBe(1);
    const ref = queue.buffs.allocNetmem();
    if (ref !== 0) queue.buffs.free(ref);
    const { fill, completion } = rig.socket.layouts;
    let isReleased = false;
    queue.onReleased(() => (isReleased = true));
    rig.rings.close();
    rig.socket.close();
    expect([ref !== 0, isReleased]).toEqual([true, true]);
    const words = (): Int32Array[] => [fill!, completion!].map((at) => host.i32.slice(at.producerAt, at.descsAt));
    const before = words();
    expect(codeOf(() => queue.tx.completed(1))).toBe("ERR_NETMEM_XSK_COMPLETED EINVAL count");
    queue.setRxNeedWakeup(true);
    queue.setTxNeedWakeup(false);
    expect([queue.buffs.canAlloc(8), queue.buffs.allocNetmem(), queue.tx.peek()]).toEqual([false, 0, false]);
    expect(words()).toEqual(before);
  });

  test("a driver that completes more than it took is refused", () => {
    const rig = makeSocket(ZC);
    expect(codeOf(() => rig.queue.tx.completed(1))).toBe("ERR_NETMEM_XSK_COMPLETED EINVAL count");
  });

  test("#302 the wakeup flag: set for TX at first, set and cleared idempotently, in every socket", () => {
    const flags = BindFlag.ZeroCopy | BindFlag.UseSg | BindFlag.UseNeedWakeup;
    const rig = makeSocket({ ...ZC, bind: { flags } });
    const word = (): number[] =>
      [rig.socket.layouts.tx!, rig.socket.layouts.fill!].map((r) => rig.host.i32[r.flagsAt]!);
    expect([word(), rig.rings.submitTx()]).toEqual([[1, 0], true]);
    rig.queue.setTxNeedWakeup(true);
    rig.queue.setRxNeedWakeup(true);
    rig.queue.setRxNeedWakeup(true);
    expect([word(), rig.rings.fillNeedsWakeup()]).toEqual([[1, 1], true]);
    rig.queue.setTxNeedWakeup(false);
    rig.queue.setTxNeedWakeup(false);
    rig.queue.setRxNeedWakeup(false);
    expect([word(), rig.rings.submitTx()]).toEqual([[0, 0], false]);
    let kicks = 0;
    rig.device.wakeup = () => kicks++;
    expect([rig.socket.sendto(), rig.socket.recvfrom(), kicks]).toEqual([0, 0, 2]);
    expect(makeSocket(ZC).rings.submitTx()).toBe(false);
  });

  test("bytes are where the user put them", () => {
    const rig = makeSocket(ZC);
    const ref = rig.umem.frames!.allocNetmem();
    if (ref === 0) throw new Error("no frame");
    const at = rig.host.offsetOf(ref as never) + 100;
    rig.host.u8.set(bytesOf(200), at);
    const rings = new XskRings(rig.umem, rig.socket.layouts);
    expect(rings.transmitOne(ref, at, 200)).toBe(true);
    rings.submitTx();
    expect([rig.queue.tx.peekBatch(8), rig.queue.tx.offsets[0], rig.queue.tx.lengths[0]]).toEqual([1, at, 200]);
  });
});

test("5.2 rings: once each, before bind, powers of two", () => {
  const { kernel, socket, umem } = makeSocket();
  const says = (errno: string, param: string): string => `ERR_NETMEM_XSK_SOCKOPT ${errno} ${param}`;
  expect(codeOf(() => socket.setRing("rx", 8))).toBe(says("EBUSY", "rx"));
  expect(codeOf(() => socket.registerUmem(umem))).toBe(says("EBUSY", "umem"));
  const fresh = kernel.createSocket();
  expect(codeOf(() => fresh.setRing("tx", 0))).toBe(says("EINVAL", "tx"));
  expect(codeOf(() => fresh.setRing("tx", 6))).toBe(says("EINVAL", "tx"));
  setAllRings(fresh, 8);
  expect(codeOf(() => fresh.setRing("tx", 8))).toBe(says("EINVAL", "tx"));
  fresh.registerUmem(umem);
  expect(codeOf(() => fresh.registerUmem(umem))).toBe(says("EBUSY", "umem"));
  fresh.close();
});
