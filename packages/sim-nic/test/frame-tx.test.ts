import { type Host, MemType, type PageRef, XdpRxqInfo } from "@netmem/core";
import { QueueCounters } from "@netmem/netdev";
import { asFrameRef, convertBuffToFrame, returnFrame, XdpBuff } from "@netmem/skb";
import { fillPattern, findPatternMismatch } from "@netmem/testing";
import { beforeEach, describe, expect, test } from "vitest";
import { FrameTx, type NicQueue, SimNic } from "../src/index.ts";
import { makeHost, ShiftedDma, takePage } from "./fixture.ts";

let host: Host;
let nic: SimNic;
let queue: NicQueue;
let counters: QueueCounters;
let tx: FrameTx;
let sent: Uint8Array[];

function setUp(dma?: ShiftedDma, txDescCount = 16): void {
  host = makeHost(dma);
  nic = new SimNic(host, { queueCount: 1, txDescCount, startIndex: -8 });
  queue = nic.queue(0);
  counters = new QueueCounters(host);
  tx = new FrameTx(host, queue, counters);
  sent = [];
  nic.setWire((bytes, offsets, lengths, count) => {
    for (let n = 0; n < count; n++) sent.push(bytes.slice(offsets[n], (offsets[n] ?? 0) + (lengths[n] ?? 0)));
  });
}

beforeEach(() => setUp());

/** A frame of `lens[0]` bytes and a fragment for each further length, filled with one pattern. */
function makeFrame(lens: number[], seed: number): number {
  const bytes = new Uint8Array(lens.reduce((sum, len) => sum + len));
  fillPattern(bytes, 0, bytes.length, seed);
  const rxq = new XdpRxqInfo();
  rxq.mem.type = MemType.PageOrder0;
  const xdp = new XdpBuff(host, rxq, 4096);
  let pos = 0;
  for (const [n, len] of lens.entries()) {
    const page: PageRef = takePage(host);
    const start = host.offsetOf(page);
    host.u8.set(bytes.subarray(pos, pos + len), start + 256);
    if (n === 0) xdp.prepare(page, start, 256, len);
    else xdp.addFrag(page, 256, len, 4096);
    pos += len;
  }
  return convertBuffToFrame(xdp);
}

describe("FrameTx", () => {
  test("sends linear and fragmented frames and takes their buffers home when they are sent", () => {
    const free = host.pages.freePageCount();
    const frames = Int32Array.of(makeFrame([60], 1), makeFrame([1000, 2000, 3], 2), makeFrame([61], 3));
    expect(tx.xmit(frames, 3)).toBe(3);
    expect(sent.map((frame, n) => [frame.length, findPatternMismatch(frame, 0, frame.length, n + 1)])).toEqual([
      [60, -1],
      [3003, -1],
      [61, -1],
    ]);
    expect([tx.pendingCount, host.pages.freePageCount()]).toEqual([3, free - 5]);
    tx.clean();
    tx.clean();
    expect([tx.pendingCount, host.pages.freePageCount()]).toEqual([0, free]);
    expect(counters.read()).toMatchObject({ txPackets: 3, txBytes: 3124 });
  });

  test.each([
    ["one buffer", [60]],
    ["fragments", [60, 70]],
  ])("a sent frame of %s that somebody returned already: an error, and every other buffer goes home", (_what, lens) => {
    const free = host.pages.freePageCount();
    const frames = Int32Array.from([1, 2, 3, 4], (seed) => makeFrame(seed === 2 ? lens : [60, 61], seed));
    expect(tx.xmit(frames, 4)).toBe(4);
    returnFrame(host, asFrameRef(frames[1] ?? 0));
    expect(() => tx.clean()).toThrow("ERR_NETMEM_DOUBLE_PUT");
    tx.clean();
    expect([tx.pendingCount, host.pages.freePageCount(), queue.tx.room]).toEqual([0, free, 16]);
  });

  test("takes as many as there is room for, whole frames only", () => {
    nic.pauseTx(true);
    const frames = Int32Array.from([6, 6, 5, 2, 1], (pieces, n) =>
      makeFrame(
        Array.from({ length: pieces }, () => 50),
        n,
      ),
    );
    expect(tx.xmit(frames, 5)).toBe(2);
    expect(queue.tx.room).toBe(4);
    expect(tx.xmit(frames.subarray(3), 2)).toBe(2);
    nic.pauseTx(false);
    expect(sent.map((frame) => frame.length)).toEqual([300, 300, 100, 50]);
    tx.clean();
    expect(tx.xmit(frames.subarray(2), 1)).toBe(1);
  });

  test("a wire that throws is heard of at the next clean: who sends must know what was taken", () => {
    const free = host.pages.freePageCount();
    const warnings: string[] = [];
    Object.defineProperty(host, "warn", { value: (code: string) => warnings.push(code) });
    nic.setWire(() => {
      throw new Error("cable pulled");
    });
    const frames = Int32Array.from({ length: 20 }, (_, seed) => makeFrame([60], seed));
    expect(tx.xmit(frames, 20)).toBe(16);
    for (const frame of frames.subarray(16)) returnFrame(host, asFrameRef(frame));
    expect(() => tx.clean()).toThrow("cable pulled");
    tx.clean();
    expect([tx.pendingCount, host.pages.freePageCount()]).toEqual([0, free]);
    expect(tx.xmit(Int32Array.of(makeFrame([60], 1)), 1)).toBe(1);
    tx.stop();
    expect([warnings, tx.pendingCount, host.pages.freePageCount()]).toEqual([["WARN_NETMEM_TX_STOP"], 0, free]);
  });

  test("stop takes unsent frames home", () => {
    const free = host.pages.freePageCount();
    nic.pauseTx(true);
    tx.xmit(Int32Array.of(makeFrame([60], 1), makeFrame([60, 60], 2)), 2);
    tx.stop();
    queue.disable();
    nic.pauseTx(false);
    expect([sent.length, tx.pendingCount, host.pages.freePageCount()]).toEqual([0, 0, free]);
  });

  test("stop takes all of them home, also when somebody returned one already, and says so", () => {
    setUp(undefined, 64);
    const free = host.pages.freePageCount();
    const warnings: string[] = [];
    Object.defineProperty(host, "warn", { value: (code: string, message: string) => warnings.push(code, message) });
    nic.pauseTx(true);
    const frames = Int32Array.from({ length: 50 }, (_, seed) => makeFrame([60], seed));
    expect(tx.xmit(frames, 50)).toBe(50);
    returnFrame(host, asFrameRef(frames[1]!));
    tx.stop();
    queue.disable();
    expect([tx.pendingCount, host.pages.freePageCount()]).toEqual([0, free]);
    expect(warnings).toEqual(["WARN_NETMEM_TX_STOP", expect.stringContaining("ERR_NETMEM_DOUBLE_PUT")]);
  });

  test("does not take a frame that the CPU, and so this hardware, cannot read", () => {
    const page = takePage(host);
    const rxq = new XdpRxqInfo();
    const xdp = new XdpBuff(host, rxq, 4096);
    xdp.prepare(page, host.offsetOf(page), 256, 60);
    const area = host.areas.add({ name: "gpu", count: 1, pageShift: 12 });
    xdp.addFrag(host.areas.refAt(area, 0), 0, 100, 4096);
    expect(tx.xmit(Int32Array.of(convertBuffToFrame(xdp)), 1)).toBe(0);
    expect(queue.tx.room).toBe(16);
  });

  test("maps for the device while sending, and takes back what the device refuses halfway", () => {
    const dma = new ShiftedDma();
    setUp(dma);
    const frames = Int32Array.of(makeFrame([60, 70], 9));
    expect(tx.xmit(frames, 1)).toBe(1);
    expect([findPatternMismatch(sent[0] ?? new Uint8Array(0), 0, 130, 9), dma.mapped]).toEqual([-1, 2]);
    tx.clean();
    expect(dma.mapped).toBe(0);
    dma.mapLimit = 1;
    expect(tx.xmit(Int32Array.of(makeFrame([60, 70], 9)), 1)).toBe(0);
    expect([dma.mapped, queue.tx.room, tx.pendingCount]).toEqual([0, 16, 0]);
  });
});
