import type { NetmemRef } from "@netmem/core";
import { beforeEach, describe, expect, test } from "vitest";
import { BindFlag, checkXskInvariants, DescOption, UmemFlag } from "../src/index.ts";
import { makeSocket, RawTx, type SocketRig, takeFrames } from "./fixture.ts";

const CONTD = DescOption.PktContd;
const COPY_SG = { bind: { flags: BindFlag.Copy | BindFlag.UseSg } };

let rig: SocketRig;
beforeEach(() => {
  rig = makeSocket(COPY_SG);
});

const word = (layoutAt: number): number => rig.host.i32[layoutAt]!;
const setWord = (at: number, value: number): void => {
  rig.host.i32[at] = value;
};
/** The kernel's share makes no sense where it lies about it. */
const checkOwn = (): void => checkXskInvariants(rig.umem, [rig.rings], false);

describe("hostile: what the other end may say", () => {
  /** Writes RX descriptors as a kernel could. */
  const say = (...descs: [low: number, high: number, len: number, options: number][]): void => {
    const { rx } = rig.socket.layouts;
    for (const desc of descs) {
      const producer = word(rx!.producerAt);
      for (const [n, value] of desc.entries()) setWord(rx!.descsAt + (producer & 15) * 4 + n, value);
      setWord(rx!.producerAt, producer + 1);
    }
  };
  const startOf = (ref: NetmemRef): number => ((ref >>> 1) & 0xfffff) * 4096 - rig.umem.firstIdx * 4096;

  test("#289 RX addresses outside the UMEM, of chunks never posted, or received already", () => {
    const [posted] = rig.fill(1);
    const start = startOf(posted!);
    const never = startOf(takeFrames(rig.umem, 1)[0]!);
    say([65536, 0, 64, 0], [start, 1, 64, 0], [-4096, 0, 64, 0], [-4096, -1, 64, 0], [2 ** 31 - 1, 0, 64, 0]);
    say([never, 0, 64, 0], [start, 0, 64, 0], [start, 0, 64, 0]);
    expect(rig.rings.receive(64)).toBe(1);
    expect(rig.rings.stats()).toMatchObject({ rxBadAddr: 7, rxBroken: 7 });
    expect(rig.rings.offsets[0]).toBe(rig.umem.offset + start);
    checkOwn();
  });

  test("#289 RX lengths of nothing, beyond the chunk, negative: the packet is lost, the frame is not", () => {
    const refs = rig.fill(4);
    const [a, b, c, d] = refs.map(startOf) as [number, number, number, number];
    say([a, 0, 0, 0], [b + 256, 0, 3841, 0], [c, 0, -1, 0], [d + 4095, 0, 1, 0]);
    expect(rig.rings.receive(64)).toBe(1);
    expect(rig.rings.stats()).toMatchObject({ rxBadAddr: 0, rxBroken: 3 });
    checkOwn();
    expect(rig.umem.frames!.outCount).toBe(1);
  });

  test("one bad descriptor loses its packet and no other", () => {
    const [a, b, c, d] = rig.fill(4).map(startOf) as [number, number, number, number];
    say([a, 0, 64, CONTD], [99999, 0, 64, CONTD], [b, 0, 64, 0], [c, 0, 64, CONTD], [d, 0, 64, 0]);
    expect([rig.rings.receive(64), [...rig.rings.lengths.subarray(0, 2)]]).toEqual([2, [64, 64]]);
    expect(rig.rings.stats()).toMatchObject({ rxBadAddr: 1, rxBroken: 1 });
    expect(rig.umem.frames!.outCount).toBe(2);
    checkOwn();
  });

  test("a packet without end, or of too many pieces, is dropped to its end", () => {
    const small = makeSocket({ rings: { maxPacketDescs: 3 } });
    rig = small;
    const starts = small.fill(9).map(startOf);
    for (const start of starts.slice(0, 6)) say([start, 0, 64, CONTD]);
    expect(small.rings.receive(64)).toBe(0);
    say([starts[6]!, 0, 64, CONTD], [starts[7]!, 0, 64, 0], [starts[8]!, 0, 64, 0]);
    expect(small.rings.receive(64)).toBe(1);
    expect(small.rings.stats()).toMatchObject({ rxBadAddr: 0, rxBroken: 1 });
    expect(small.umem.frames!.outCount).toBe(1);
    checkOwn();
  });

  test("a packet whose end comes when there is room for it is whole, wherever it begins in a full ring", () => {
    rig = makeSocket({ ...COPY_SG, ringSize: 4, rings: { maxPacketDescs: 3 } });
    const starts = rig.fill(4).map(startOf);
    const tell = (n: number, options: number): void => {
      const { rx } = rig.socket.layouts;
      const producer = word(rx!.producerAt);
      for (const [at, value] of [starts[n & 3]!, 0, 64, options].entries()) {
        setWord(rx!.descsAt + (producer & 3) * 4 + at, value);
      }
      setWord(rx!.producerAt, producer + 1);
    };
    tell(0, 0);
    tell(1, 0);
    tell(2, CONTD);
    tell(3, CONTD);
    expect(rig.rings.receive(64)).toBe(2);
    setWord(rig.socket.layouts.fill!.consumerAt, 4);
    const back = rig.rings.refs.slice(0, 1);
    expect(rig.rings.post(back, 1)).toBe(1);
    tell(0, 0);
    expect([rig.rings.receive(64), rig.rings.stats().rxBroken]).toEqual([3, 0]);
    checkOwn();
  });

  test("unaligned: addresses between chunks, and offsets beyond them", () => {
    rig = makeSocket({ umem: { chunkSizeBytes: 3000, flags: UmemFlag.UnalignedChunk } });
    rig.fill(2);
    say([10, 0, 64, 0], [0, 3000 << 16, 1, 0], [3000, 0xffff, 64, 0], [3000, 2999 << 16, 1, 0]);
    expect(rig.rings.receive(64)).toBe(1);
    expect(rig.rings.stats()).toMatchObject({ rxBadAddr: 2, rxBroken: 3 });
    checkOwn();
  });

  test("completions of what was not sent: outside, with high bits, of user and posted chunks, twice", () => {
    const [posted] = rig.fill(1);
    const [sent] = takeFrames(rig.umem, 1);
    rig.rings.transmitOne(sent!, rig.host.offsetOf(sent as never), 64);
    const { completion } = rig.socket.layouts;
    const start = startOf(sent!);
    const words = [65536, 0, start, 1, -1, -1, startOf(posted!), 0, 15 * 4096, 0, start + 4095, 0, start, 0];
    for (const [n, value] of words.entries()) setWord(completion!.descsAt + n, value);
    setWord(completion!.producerAt, words.length / 2);
    expect(rig.rings.complete(64)).toBe(1);
    expect(rig.rings.stats().completionBadAddr).toBe(6);
    checkOwn();
    expect(rig.umem.census()).toMatchObject({ fillPosted: 1, txPosted: 0 });
  });

  test("indices that make no sense, in every ring", () => {
    const { fill, completion, rx, tx } = rig.socket.layouts;
    rig.fill(1);
    const [ref] = takeFrames(rig.umem, 1);
    setWord(rx!.producerAt, 17);
    setWord(completion!.producerAt, -1);
    setWord(fill!.consumerAt, 2);
    setWord(tx!.consumerAt, 1);
    expect([rig.rings.receive(64), rig.rings.complete(64)]).toEqual([0, 0]);
    expect([rig.rings.fillRoom(16), rig.rings.txRoom(16)]).toEqual([15, 0]);
    expect(rig.rings.transmitOne(ref!, rig.host.offsetOf(ref as never), 64)).toBe(false);
    expect(rig.rings.stats().corrupt).toBe(5);
  });

  test("a consumer index that goes back makes no room for a second descriptor in a slot", () => {
    rig = makeSocket({ ...COPY_SG, ringSize: 4 });
    const { tx } = rig.socket.layouts;
    const send = (): boolean[] =>
      takeFrames(rig.umem, 4).map((ref) => rig.rings.transmitOne(ref, rig.host.offsetOf(ref as never), 64));
    expect(send()).toEqual([true, true, true, true]);
    rig.rings.submitTx();
    setWord(tx!.consumerAt, 4);
    expect(send()).toEqual([true, true, true, true]);
    setWord(tx!.consumerAt, 0);
    expect([rig.rings.txRoom(4), rig.rings.stats().corrupt]).toEqual([0, 1]);
    expect(send()).toEqual([false, false, false, false]);
    checkOwn();
  });

  test("a user that takes completions back cannot make the kernel's end overfill the ring", () => {
    rig = makeSocket({
      ringSize: 4,
      device: { zeroCopyMaxSegs: 4 },
      bind: { flags: BindFlag.ZeroCopy | BindFlag.UseSg },
    });
    const { completion, tx } = rig.socket.layouts;
    const raw = new RawTx(rig.host, tx!);
    const send = (count: number): void => {
      for (let n = 0; n < count; n++) raw.put(n * 4096, 64);
      raw.submit();
    };
    send(4);
    expect(rig.queue.tx.peekBatch(4)).toBe(4);
    rig.queue.tx.completed(4);
    setWord(completion!.consumerAt, 4);
    send(4);
    expect(Array.from({ length: 4 }, () => rig.queue.tx.peek())).toEqual([true, true, true, true]);
    setWord(completion!.consumerAt, 0);
    send(4);
    expect([rig.queue.tx.peek(), rig.queue.tx.outstandingCount]).toEqual([false, 4]);
  });
});
