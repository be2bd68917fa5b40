import type { Host } from "@netmem/core";
import { buildPacket, findPatternMismatch } from "@netmem/testing";
import { beforeEach, describe, expect, test } from "vitest";
import {
  DESC_FLAGS,
  DESC_LENGTH,
  DescFlag,
  type DescriptorRing,
  type NicMemoryPort,
  PORT_PAGES,
  SimNic,
} from "../src/index.ts";
import { makeHost, ShiftedDma, takePage, wordAt } from "./fixture.ts";

const EOP = DescFlag.Eop;
const SPLIT = DescFlag.Split;
const ERROR = DescFlag.Error;
const START = 0xfffffff8;

let host: Host;
let nic: SimNic;

beforeEach(() => {
  host = makeHost();
  nic = new SimNic(host, { queueCount: 1, rxDescCount: 16, dataDescCount: 16, startIndex: START });
});

interface Rings {
  readonly rx: DescriptorRing;
  readonly data: DescriptorRing;
}

function rings(): Rings {
  const { rx, rxData } = nic.queue(0);
  if (rxData === null) throw new Error("no data ring");
  return { rx, data: rxData };
}

/** Posts `count` pages of `room` bytes; returns where their bytes are. */
function post(ring: DescriptorRing, count: number, room: number, shift = 0): number[] {
  return Array.from({ length: count }, () => {
    const at = host.offsetOf(takePage(host));
    ring.post((at >>> host.pageShift) + shift, 64, room, 0);
    return at + 64;
  });
}

/** A frame whose payload is a pattern, and how long its headers are. */
function frameOf(l4: "tcp" | "udp", payloadBytes: number): { frame: Uint8Array; headBytes: number } {
  const bytes = new Uint8Array(4096);
  const lenBytes = buildPacket(bytes, 0, {
    ethernet: { srcMac: Uint8Array.of(2, 0, 0, 0, 0, 1), dstMac: Uint8Array.of(2, 0, 0, 0, 0, 2) },
    network: { kind: "ipv4", src: Uint8Array.of(10, 0, 0, 1), dst: Uint8Array.of(10, 0, 0, 2) },
    transport: { kind: l4, srcPort: 5000, dstPort: 80 },
    payloadBytes,
    patternSeed: payloadBytes,
    frameBytes: 0,
  });
  return { frame: bytes.slice(0, lenBytes), headBytes: lenBytes - payloadBytes };
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function receive(frame: Uint8Array): boolean {
  return nic.receive(frame, 0, frame.length);
}

/** Length and flags of the descriptors that the hardware has completed since the last call. */
function completed(ring: DescriptorRing): number[][] {
  const found: number[][] = [];
  for (; ring.cleaned !== ring.completed; ring.cleaned = (ring.cleaned + 1) | 0) {
    const d = ring.descAt(ring.cleaned);
    found.push([wordAt(host, d + DESC_LENGTH), wordAt(host, d + DESC_FLAGS)]);
  }
  return found;
}

describe("header split", () => {
  test.each(["tcp", "udp"] as const)("%s: headers in one buffer, payload in as many data buffers as it needs", (l4) => {
    const { rx, data } = rings();
    nic.queue(0).setHeaderSplit(0);
    const [headAt = 0] = post(rx, 2, 512);
    const bodyAt = post(data, 12, 300);
    const { frame, headBytes } = frameOf(l4, 1000);
    expect(receive(frame)).toBe(true);
    expect(completed(rx)).toEqual([[headBytes, EOP | SPLIT]]);
    expect(completed(data)).toEqual([
      [300, 0],
      [300, 0],
      [300, 0],
      [100, EOP],
    ]);
    expect(host.u8.slice(headAt, headAt + headBytes)).toEqual(frame.slice(0, headBytes));
    const landed = bodyAt.slice(0, 4).map((at, n) => host.u8.subarray(at, at + (n === 3 ? 100 : 300)));
    expect(findPatternMismatch(joined(landed), 0, 1000, 1000)).toBe(-1);
    // Not a byte of it beside the headers.
    expect(host.u8.slice(headAt + headBytes, headAt + 512).every((byte) => byte === 0)).toBe(true);
    expect(nic.getStats()).toMatchObject({ rxPackets: 1, rxSplit: 1, rxBytes: frame.length, rxNoDesc: 0 });
  });

  test("what is no TCP or UDP, a fragment, or within the threshold stays in one piece", () => {
    const { rx, data } = rings();
    nic.queue(0).setHeaderSplit(100);
    post(rx, 10, 2048);
    post(data, 4, 2048);
    const arp = new Uint8Array(60);
    arp.set([8, 6], 12);
    const fragment = frameOf("udp", 400).frame;
    fragment[20] = 0x20;
    for (const frame of [arp, fragment, frameOf("udp", 100).frame, frameOf("tcp", 0).frame]) {
      expect(receive(frame)).toBe(true);
      expect(completed(rx)).toEqual([[frame.length, EOP]]);
    }
    expect(receive(frameOf("udp", 101).frame)).toBe(true);
    expect([completed(rx), completed(data)]).toEqual([[[42, EOP | SPLIT]], [[101, EOP]]]);
    nic.queue(0).setHeaderSplit(-1);
    expect(receive(frameOf("udp", 101).frame)).toBe(true);
    expect([completed(rx), completed(data)]).toEqual([[[143, EOP]], []]);
  });

  test("without room for all of the payload the packet is dropped whole", () => {
    const { rx, data } = rings();
    nic.queue(0).setHeaderSplit(0);
    post(rx, 4, 512);
    post(data, 2, 300);
    expect(receive(frameOf("tcp", 601).frame)).toBe(false);
    expect([completed(rx), completed(data), nic.getStats().rxNoDesc]).toEqual([[], [], 1]);
    expect(receive(frameOf("tcp", 600).frame)).toBe(true);
  });

  test("headers that do not fit are dropped, and a queue without data buffers cannot split", () => {
    const { rx, data } = rings();
    nic.queue(0).setHeaderSplit(0);
    post(rx, 2, 40);
    post(data, 2, 300);
    expect([receive(frameOf("tcp", 100).frame), completed(rx), completed(data)]).toEqual([false, [], []]);
    const plain = new SimNic(host, { queueCount: 1 });
    expect(() => plain.queue(0).setHeaderSplit(0)).toThrow("ERR_NETMEM_INVALID_PARAM");
    plain.queue(0).setHeaderSplit(-1);
  });

  test("an address that faults, on either side, completes both parts without data", () => {
    const dma = new ShiftedDma();
    host = makeHost(dma);
    nic = new SimNic(host, { queueCount: 1, rxDescCount: 16, dataDescCount: 16 });
    const { rx, data } = rings();
    nic.queue(0).setHeaderSplit(0);
    const [, bad = 0] = post(data, 3, 100, dma.shift);
    dma.holes.add((bad >>> host.pageShift) + dma.shift);
    post(rx, 2, 200, dma.shift);
    expect(receive(frameOf("udp", 150).frame)).toBe(false);
    expect(completed(data)).toEqual([
      [0, ERROR],
      [0, EOP | ERROR],
    ]);
    expect(completed(rx)).toEqual([[0, EOP | ERROR | SPLIT]]);
    expect(receive(frameOf("udp", 100).frame)).toBe(true);
    expect(nic.getStats()).toMatchObject({ rxPackets: 1, dmaFaults: 1 });
  });
});

/** A device's memory: a plain array outside the arena. */
class TestPort implements NicMemoryPort {
  readonly name = "test memory";
  readonly bytes = new Uint8Array(16 * 4096);
  write(page: number, offset: number, source: Uint8Array, from: number, lenBytes: number): boolean {
    if ((page + 1) * 4096 > this.bytes.length) return false;
    this.bytes.set(source.subarray(from, from + lenBytes), page * 4096 + offset);
    return true;
  }
}

describe("memory ports", () => {
  test("payload lands in a memory outside the arena, mixed with pages, translated or not", () => {
    for (const dma of [undefined, new ShiftedDma()]) {
      host = makeHost(dma);
      nic = new SimNic(host, { queueCount: 1, rxDescCount: 16, dataDescCount: 16 });
      const { rx, data } = rings();
      const port = new TestPort();
      const base = nic.ports.open(port);
      nic.queue(0).setHeaderSplit(0);
      post(rx, 4, 512, dma?.shift ?? 0);
      data.post(base + 3, 128, 1000, 0);
      const [pageAt = 0] = post(data, 1, 1000, dma?.shift ?? 0);
      data.post(base + 5, 0, 1000, 0);
      const { frame } = frameOf("tcp", 2500);
      expect(receive(frame)).toBe(true);
      const page = host.u8.slice(pageAt, pageAt + 1000);
      const landed = [
        port.bytes.subarray(3 * 4096 + 128, 3 * 4096 + 1128),
        page,
        port.bytes.subarray(5 * 4096, 5 * 4096 + 500),
      ];
      expect(findPatternMismatch(joined(landed), 0, 2500, 2500)).toBe(-1);
      expect(completed(data)).toEqual([
        [1000, 0],
        [1000, 0],
        [500, EOP],
      ]);
    }
  });

  test("whole packets can land there too", () => {
    const { rx } = rings();
    const port = new TestPort();
    rx.post(nic.ports.open(port), 8, 2048, 0);
    const { frame } = frameOf("udp", 100);
    expect(receive(frame)).toBe(true);
    expect(port.bytes.slice(8, 8 + frame.length)).toEqual(frame);
    expect(completed(rx)).toEqual([[frame.length, EOP]]);
  });

  test("a page that the memory does not have, or a window that was closed, is a DMA fault", () => {
    const { rx } = rings();
    const base = nic.ports.open(new TestPort());
    rx.post(base + 16, 0, 2048, 0);
    rx.post(base + 1, 0, 2048, 0);
    expect(receive(frameOf("udp", 10).frame)).toBe(false);
    // Somebody else's window is open, so that addresses are still looked at.
    nic.ports.open(new TestPort());
    nic.ports.close(base);
    expect(receive(frameOf("udp", 10).frame)).toBe(false);
    expect([completed(rx), nic.getStats().dmaFaults]).toEqual([
      [
        [0, EOP | ERROR],
        [0, EOP | ERROR],
      ],
      2,
    ]);
  });

  test("windows do not overlap, are used again, and run out", () => {
    const first = nic.ports.open(new TestPort());
    const second = nic.ports.open(new TestPort());
    expect(second - first).toBe(PORT_PAGES);
    nic.ports.close(first);
    expect(() => nic.ports.close(first)).toThrow("ERR_NETMEM_PORT_UNKNOWN");
    expect(() => nic.ports.close(second + 1)).toThrow("ERR_NETMEM_PORT_UNKNOWN");
    expect(nic.ports.open(new TestPort())).toBe(first);
    for (let n = 2; n < 128; n++) nic.ports.open(new TestPort());
    expect(() => nic.ports.open(new TestPort())).toThrow("ERR_NETMEM_PORTS_EXHAUSTED");
  });
});

test("fewer queues: the hash spreads over those that are left", () => {
  const four = new SimNic(host, { queueCount: 4 });
  four.rss.setQueueCount(2);
  const seen = new Set<number>();
  const frame = frameOf("udp", 10).frame;
  for (let n = 0; n < 200; n++) {
    frame[34] = n;
    seen.add(four.rss.chooseQueue(frame, 0, frame.length));
  }
  expect([...seen].sort((a, b) => a - b)).toEqual([0, 1]);
  expect(() => four.rss.setQueueCount(5)).toThrow("ERR_NETMEM_INVALID_PARAM");
});
