import { beforeEach, describe, expect, test } from "vitest";
import type { Host } from "@netmem/core";
import type { Napi } from "@netmem/netdev";
import { fillPattern, findPatternMismatch, FlowSet, Prng } from "@netmem/testing";
import { connectCable, DescFlag, type NicQueue, SimNic } from "../src/index.ts";
import { makeHost, postPages, ShiftedDma, takePage, wordAt } from "./fixture.ts";

let host: Host;
let nic: SimNic;
let queue: NicQueue;

beforeEach(() => {
  host = makeHost();
  nic = new SimNic(host, { queueCount: 1, rxDescCount: 64, txDescCount: 64, startIndex: 0xfffffff0 });
  queue = nic.queue(0);
});

function frameOf(lenBytes: number, seed = lenBytes): Uint8Array {
  const frame = new Uint8Array(lenBytes);
  fillPattern(frame, 0, lenBytes, seed);
  return frame;
}

/** Length, flags and hash of the descriptor that the driver looks at next. */
function nextDesc(): { length: number; flags: number; hash: number } {
  const d = queue.rx.descAt(queue.rx.cleaned);
  queue.rx.cleaned = (queue.rx.cleaned + 1) | 0;
  return { length: wordAt(host, d + 2), flags: wordAt(host, d + 3), hash: wordAt(host, d + 1) };
}

describe("receive", () => {
  test("writes exactly the packet, from any alignment, inside or outside the arena", () => {
    const outside = new Uint8Array(4096);
    const inside = host.offsetOf(takePage(host));
    for (const [source, base] of [
      [outside, 0],
      [outside.subarray(3), 0],
      [host.u8, inside],
    ] as const) {
      for (const len of [14, 15, 17, 60, 64, 65, 255, 256, 257, 1500]) {
        for (const shift of [0, 1, 2, 3]) {
          const [at = 0] = postPages(host, queue, 1, 1600);
          host.u8.fill(0xee, at - 4, at + len + 8);
          fillPattern(source, base + shift, len, len + shift);
          expect(nic.receive(source, base + shift, len)).toBe(true);
          expect(findPatternMismatch(host.u8, at, len, len + shift)).toBe(-1);
          expect([host.u8[at - 1], host.u8[at + len], host.u8[at + len + 1]]).toEqual([0xee, 0xee, 0xee]);
          expect(nextDesc()).toEqual({ length: len, flags: DescFlag.Eop, hash: 0 });
        }
      }
    }
    expect(nic.getStats().rxPackets).toBe(3 * 40);
  });

  test("the end of a source that is no whole number of words", () => {
    const odd = new Uint8Array(new ArrayBuffer(63));
    fillPattern(odd, 0, 63, 1);
    const [first = 0, second = 0] = postPages(host, queue, 2);
    nic.receive(odd, 0, 63);
    nic.receive(odd, 1, 62);
    expect(findPatternMismatch(host.u8, first, 63, 1)).toBe(-1);
    expect(host.u8.slice(second, second + 62)).toEqual(odd.slice(1));
  });

  test("a buffer that does not start on a word", () => {
    const [at = 0] = postPages(host, queue, 1, 100, 258);
    nic.receive(frameOf(70), 0, 70);
    expect(findPatternMismatch(host.u8, at, 70, 70)).toBe(-1);
  });

  test("spreads large packets over descriptors and marks the last", () => {
    const at = postPages(host, queue, 8, 1000);
    expect(nic.receive(frameOf(2500), 0, 2500)).toBe(true);
    expect([nextDesc(), nextDesc(), nextDesc()].map(({ length, flags }) => [length, flags])).toEqual([
      [1000, 0],
      [1000, 0],
      [500, DescFlag.Eop],
    ]);
    const whole = at.slice(0, 3).map((from, n) => host.u8.slice(from, from + (n === 2 ? 500 : 1000)));
    expect(Uint8Array.of(...whole.flatMap((part) => Array.from(part)))).toEqual(frameOf(2500));
  });

  test("spreads over the border of what the hardware has read ahead", () => {
    postPages(host, queue, 64, 100, 0);
    for (let n = 0; n < 62; n++) nic.receive(frameOf(64), 0, 64);
    queue.rx.cleaned = queue.rx.completed;
    const at = postPages(host, queue, 60, 100, 0);
    expect(nic.receive(frameOf(450), 0, 450)).toBe(true);
    nextDesc();
    nextDesc();
    for (let n = 0; n < 3; n++) {
      const { length } = nextDesc();
      const from = at[n] ?? 0;
      expect(host.u8.slice(from, from + length)).toEqual(frameOf(450).slice(200 + n * 100, 200 + n * 100 + length));
    }
  });

  test("a packet that exactly fills its descriptors takes no more", () => {
    postPages(host, queue, 3, 1000);
    nic.receive(frameOf(2000), 0, 2000);
    expect((queue.rx.producer - queue.rx.completed) | 0).toBe(1);
  });

  test("drops whole packets when too little is posted, and interrupts so that the driver refills", () => {
    expect(nic.receive(frameOf(64), 0, 64)).toBe(false);
    postPages(host, queue, 2, 1000);
    const completed = queue.rx.completed;
    expect(nic.receive(frameOf(2001), 0, 2001)).toBe(false);
    expect([queue.rx.completed, nic.getStats().rxNoDesc]).toEqual([completed, 2]);
    let interrupts = 0;
    queue.enable({ schedule: () => interrupts++ } as unknown as Napi);
    nic.receive(frameOf(2001), 0, 2001);
    queue.irq.unmask();
    expect(interrupts).toBe(1);
  });

  test("drops what is shorter than an Ethernet header or longer than allowed", () => {
    const small = new SimNic(host, { queueCount: 1, maxFrameBytes: 1514 });
    postPages(host, small.queue(0), 4);
    expect([13, 14, 1514, 1515].map((len) => small.receive(frameOf(2000), 0, len))).toEqual([false, true, true, false]);
    expect(small.getStats()).toMatchObject({ rxLengthErrors: 2, rxPackets: 2, rxBytes: 1528 });
  });

  test("receiveBurst counts what was not dropped", () => {
    postPages(host, queue, 2);
    const bytes = frameOf(300);
    expect(nic.receiveBurst(bytes, Int32Array.of(0, 100, 200), Int32Array.of(60, 61, 62), 3)).toBe(2);
    expect([nextDesc().length, nextDesc().length]).toEqual([60, 61]);
  });
});

describe("RSS", () => {
  test("every frame of a flow comes to one queue, many flows to all queues, the hash in the descriptor", () => {
    const wide = new SimNic(host, { queueCount: 4, rxDescCount: 1024 });
    for (let n = 0; n < 4; n++) postPages(host, wide.queue(n), 500);
    const flows = new FlowSet({ prng: new Prng(11), flowCount: 40 });
    const frame = new Uint8Array(2048);
    const queueOf = new Map<number, number>();
    for (let n = 0; n < 400; n++) {
      const len = flows.nextInto(frame, 0);
      const before = [0, 1, 2, 3].map((q) => wide.queue(q).rx.completed);
      wide.receive(frame, 0, len);
      const chosen = [0, 1, 2, 3].findIndex((q) => wide.queue(q).rx.completed !== before[q]);
      expect(queueOf.get(flows.lastFlowIdx) ?? chosen).toBe(chosen);
      queueOf.set(flows.lastFlowIdx, chosen);
      const { rx } = wide.queue(chosen);
      const hash = wordAt(host, rx.descAt(before[chosen] ?? 0) + 1);
      expect((hash & 127) % 4).toBe(chosen);
    }
    expect(new Set(queueOf.values()).size).toBe(4);
  });
});

describe("interrupts", () => {
  test("mask themselves, and remember what happened meanwhile", () => {
    let interrupts = 0;
    queue.enable({ schedule: () => interrupts++ } as unknown as Napi);
    postPages(host, queue, 8);
    nic.receive(frameOf(64), 0, 64);
    expect(interrupts).toBe(0);
    queue.irq.unmask();
    expect(interrupts).toBe(1);
    nic.receive(frameOf(64), 0, 64);
    nic.receive(frameOf(64), 0, 64);
    expect(interrupts).toBe(1);
    queue.irq.unmask();
    queue.irq.unmask();
    expect(interrupts).toBe(2);
    nic.receive(frameOf(64), 0, 64);
    expect(interrupts).toBe(3);
    queue.disable();
    nic.receive(frameOf(64), 0, 64);
    queue.irq.unmask();
    expect(interrupts).toBe(3);
  });
});

describe("transmit", () => {
  function post(lens: number[]): void {
    for (const [n, len] of lens.entries()) {
      const at = host.offsetOf(takePage(host));
      fillPattern(host.u8, at + 100, len, len);
      queue.tx.post(at >>> 12, 100, len, n === lens.length - 1 ? DescFlag.Eop : 0);
    }
  }
  let sent: Uint8Array[];
  let bursts: number[];

  beforeEach(() => {
    sent = [];
    bursts = [];
    nic.setWire((bytes, offsets, lengths, count) => {
      bursts.push(count);
      for (let n = 0; n < count; n++) {
        const from = offsets[n] ?? 0;
        sent.push(bytes.slice(from, from + (lengths[n] ?? 0)));
      }
    });
  });

  test("sends packets in order, those of several descriptors in one piece, and completes everything", () => {
    post([60]);
    post([1000, 500, 1]);
    post([61]);
    queue.txEngine.doorbell();
    expect(sent.map((frame) => frame.length)).toEqual([60, 1501, 61]);
    expect(sent[1]).toEqual(Uint8Array.of(...frameOf(1000), ...frameOf(500), ...frameOf(1)));
    expect(queue.tx.completed).toBe(queue.tx.producer);
    expect([bursts, nic.getStats().txPackets, nic.getStats().txBytes]).toEqual([[3], 3, 1622]);
  });

  test("more large packets than the gather buffer holds go in several bursts", () => {
    for (let n = 0; n < 12; n++) post([3000, 3000]);
    queue.txEngine.doorbell();
    expect([sent.length, bursts]).toEqual([12, [2, 2, 2, 2, 2, 2]]);
    expect(sent.every((frame) => findPatternMismatch(frame, 0, 3000, 3000) === -1)).toBe(true);
  });

  test("does not send what is longer than a frame may be", () => {
    post([3900, 3900, 3900]);
    post([60]);
    queue.txEngine.doorbell();
    expect([sent.map((frame) => frame.length), nic.getStats().txLengthErrors]).toEqual([[60], 1]);
    expect(queue.tx.completed).toBe(queue.tx.producer);
  });

  test("nor what is in one descriptor and longer", () => {
    const small = new SimNic(host, { queueCount: 1, maxFrameBytes: 100 });
    const lengthsSent: number[] = [];
    small.setWire((_bytes, _offsets, lengths, count) => lengthsSent.push(...lengths.subarray(0, count)));
    const pageIdx = host.pageIdxAt(host.offsetOf(takePage(host)));
    for (const len of [100, 101, 60]) small.queue(0).tx.post(pageIdx, 0, len, DescFlag.Eop);
    small.queue(0).txEngine.doorbell();
    expect(lengthsSent).toEqual([100, 60]);
    expect(small.getStats()).toMatchObject({ txPackets: 2, txBytes: 160, txLengthErrors: 1 });
  });

  test("waits while paused", () => {
    nic.pauseTx(true);
    post([60]);
    queue.txEngine.doorbell();
    expect(sent).toHaveLength(0);
    nic.pauseTx(false);
    expect(sent).toHaveLength(1);
  });

  test("paused by who takes its packets, it stops after that burst and goes on where it was", () => {
    nic.setWire((_bytes, _offsets, _lengths, count) => {
      bursts.push(count);
      nic.pauseTx(true);
    });
    for (let n = 0; n < 6; n++) post([3000, 3000]);
    queue.txEngine.doorbell();
    expect(bursts).toEqual([2]);
    nic.pauseTx(false);
    expect(bursts).toEqual([2, 2]);
    nic.pauseTx(false);
    expect([bursts, queue.tx.completed]).toEqual([[2, 2, 2], queue.tx.producer]);
  });

  test("a wire that throws loses its burst, not the ring", () => {
    nic.setWire(() => {
      throw new Error("cable pulled");
    });
    post([60]);
    expect(() => queue.txEngine.doorbell()).toThrow("cable pulled");
    expect(queue.tx.completed).toBe(queue.tx.producer);
  });

  test("a cable carries frames both ways", () => {
    const peer = new SimNic(host, { queueCount: 1 });
    connectCable(nic, peer);
    const [there = 0] = postPages(host, peer.queue(0), 4);
    const [back = 0] = postPages(host, queue, 4);
    post([200]);
    queue.txEngine.doorbell();
    expect(findPatternMismatch(host.u8, there, 200, 200)).toBe(-1);
    const page = host.offsetOf(takePage(host));
    fillPattern(host.u8, page, 99, 99);
    peer.queue(0).tx.post(page >>> 12, 0, 99, DescFlag.Eop);
    peer.queue(0).txEngine.doorbell();
    expect(findPatternMismatch(host.u8, back, 99, 99)).toBe(-1);
  });
});

describe("addresses", () => {
  test("go through the device, once per 64 descriptors; one that does not translate loses its packet", () => {
    const dma = new ShiftedDma();
    const mapped = makeHost(dma);
    const remapped = new SimNic(mapped, { queueCount: 1, rxDescCount: 128 });
    const { rx } = remapped.queue(0);
    const pages = Array.from({ length: 100 }, () => mapped.offsetOf(takePage(mapped)));
    for (const at of pages) rx.post((at >>> 12) + dma.shift, 0, 100, 0);
    dma.holes.add(((pages[1] ?? 0) >>> 12) + dma.shift);
    dma.holes.add(((pages[4] ?? 0) >>> 12) + dma.shift);
    expect([64, 64, 64, 150, 64].map((len) => remapped.receive(frameOf(len), 0, len))).toEqual([
      true,
      false,
      true,
      false,
      true,
    ]);
    expect(findPatternMismatch(mapped.u8, pages[2] ?? 0, 64, 64)).toBe(-1);
    expect([0, 1, 3, 4].map((n) => wordAt(mapped, rx.descAt(n) + 3))).toEqual([1, 3, 2, 3]);
    for (let n = 0; n < 70; n++) remapped.receive(frameOf(64), 0, 64);
    expect([dma.translations, remapped.getStats().dmaFaults]).toEqual([2, 2]);
  });
});

describe("parameters", () => {
  test("are checked", () => {
    expect(() => new SimNic(host, { queueCount: 0 })).toThrow("queueCount");
    expect(() => new SimNic(host, { queueCount: 1, rxDescCount: 100 })).toThrow("power of two");
    expect(() => new SimNic(host, { queueCount: 1, maxFrameBytes: 70_000 })).toThrow("maxFrameBytes");
    expect(() => nic.queue(1)).toThrow("queueIdx");
  });

  test("dispose gives everything back to the heap", () => {
    const once = new SimNic(host, { queueCount: 2 });
    once.dispose();
    const free = host.pages.freePageCount();
    new SimNic(host, { queueCount: 2 }).dispose();
    expect(host.pages.freePageCount()).toBe(free);
  });

  test.each([
    ["a size that is none", { dataDescCount: 64, txDescCount: 100 }, "ERR_NETMEM_INVALID_PARAM"],
    ["an arena that is too small", { queueCount: 128, rxDescCount: 16_384 }, "ERR_NETMEM_NO_MEMORY"],
  ])("a NIC that cannot be made leaves nothing: %s", (_what, params, code) => {
    const make = (): unknown => new SimNic(host, { queueCount: 2, ...params });
    // The heap keeps the pages that it cut.
    new SimNic(host, { queueCount: 2, dataDescCount: 64 }).dispose();
    const free = host.pages.freePageCount();
    for (let n = 0; n < 4; n++) expect(make).toThrow(code);
    expect(host.pages.freePageCount()).toBe(free);
    new SimNic(host, { queueCount: 2 }).dispose();
  });
});
