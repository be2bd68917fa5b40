import { getNetmem, type Host, type PageRef, returnNetmem } from "@netmem/core";
import { describe, expect, test } from "vitest";
import { createPageAllocatorWith, createPageFrag, type PageFrag, pinReport, truesizeOf } from "../src/index.ts";
import { createTestHost, type TestHost } from "./test-host.ts";

/** The attacker's packets are this small, so that a receiver's byte count stays low for long. */
const PIECE_BYTES = 64;
const PACKETS = 8192;

interface Attack {
  /** Held pieces, one per block: what the attacker never reads. */
  readonly held: readonly PageRef[];
  /** Bytes that arrived. */
  readonly deliveredBytes: number;
}

/** Delivers packets; of each block that serves them, the first piece is kept and the others are freed at once. */
function attack(host: Host, packets: number, receive: () => PageRef | 0): Attack {
  const held = new Map<number, PageRef>();
  let delivered = 0;
  for (let k = 0; k < packets; k++) {
    const ref = receive();
    if (ref === 0) break;
    delivered++;
    if (held.has(ref)) returnNetmem(host, ref);
    else held.set(ref, ref);
  }
  return { held: [...held.values()], deliveredBytes: delivered * PIECE_BYTES };
}

function attackFrags(subject: TestHost, frag: PageFrag, packets: number): Attack {
  return attack(subject.host, packets, () => frag.alloc(PIECE_BYTES));
}

function pinnedBytes({ pages, host }: TestHost): number {
  return (pages.totalPageCount - pages.freePageCount()) * host.pageSizeBytes;
}

describe("one 64-byte piece kept of every block", () => {
  test("order-3 slices: 512 bytes pinned for each byte held; the report and truesize name it", () => {
    const subject = createTestHost();
    const { host } = subject;
    const frag = createPageFrag(host);
    const { held } = attackFrags(subject, frag, PACKETS);
    frag.destroy();
    expect(held.length).toBe(PACKETS / 512);
    expect(pinnedBytes(subject) / (held.length * PIECE_BYTES)).toBe(512);
    expect(held.every((ref) => truesizeOf(host, ref) === 32768)).toBe(true);
    const report = pinReport(host);
    expect(report).toMatchObject({
      outBytes: held.length * 32768,
      blockCount: held.length,
      pinnedBytes: held.length * 32768,
      usedBytes: held.length * PIECE_BYTES,
      unknownBytes: 0,
      blocksByHolders: new Map([[1, held.length]]),
    });
    expect(report.worst[0]).toMatchObject({ owner: "page_order0", bytes: 32768, holders: 1, usedBytes: 64 });
    for (const ref of held) returnNetmem(host, ref);
    expect(pinnedBytes(subject)).toBe(0);
    expect(pinReport(host).blockCount).toBe(0);
  });

  test("order-0 pages in pieces: an eighth of it", () => {
    const subject = createTestHost();
    const frag = createPageFrag(subject.host, { order: 0 });
    const { held } = attackFrags(subject, frag, PACKETS);
    frag.destroy();
    expect(held.length).toBe(PACKETS / 64);
    expect(pinnedBytes(subject) / (held.length * PIECE_BYTES)).toBe(64);
    expect(pinReport(subject.host).worst[0]).toMatchObject({ bytes: 4096, usedBytes: 64 });
  });

  test("one page for each packet: what is pinned is what was charged", () => {
    const subject = createTestHost();
    const { host, pages } = subject;
    const { held } = attack(host, 256, () => pages.allocPages(0));
    expect(held.length).toBe(256);
    expect(pinnedBytes(subject)).toBe(held.reduce((sum, ref) => sum + truesizeOf(host, ref), 0));
    expect(pinReport(host)).toMatchObject({ outBytes: 256 * 4096, blockCount: 0, pinnedBytes: 0 });
  });

  test("for the same number of packets held, slices pin eight times as much as pages", () => {
    const pins = [3, 0].map((order) => {
      const subject = createTestHost({ arenaBytes: 64 * 2 ** 20 });
      const frag = createPageFrag(subject.host, { order });
      const pieces = 2 ** (order + 6);
      attackFrags(subject, frag, 100 * pieces);
      frag.destroy();
      return pinnedBytes(subject);
    });
    expect(pins).toEqual([100 * 32768, 100 * 4096]);
  });
});

describe("limitPages", () => {
  test("bounds what an attacker can pin, and says that it refused", () => {
    const subject = createTestHost({
      arenaBytes: 64 * 2 ** 20,
      pageAllocator: createPageAllocatorWith({ limitPages: 256 }),
    });
    const frag = createPageFrag(subject.host);
    const { held, deliveredBytes } = attackFrags(subject, frag, 1e6);
    expect(held.length).toBe(32);
    expect(pinnedBytes(subject)).toBe(256 * 4096);
    expect(pinnedBytes(subject) / deliveredBytes).toBe(1);
    expect(subject.pages.stats().refusedByLimit).toBeGreaterThan(0);
  });

  test("a shrinker that drops the worst offenders, found by the report, keeps the receiver alive", () => {
    const subject = createTestHost({
      arenaBytes: 64 * 2 ** 20,
      pageAllocator: createPageAllocatorWith({ limitPages: 256, lowPages: 64, highPages: 128 }),
    });
    const { host } = subject;
    const frag = createPageFrag(host);
    const held = new Set<number>();
    host.shrinkers.add({
      name: "socket queues",
      count: () => held.size * 8,
      scan: (target) => {
        let freed = 0;
        for (const { ref, holders } of pinReport(host, { worstCount: 1000 }).worst) {
          if (freed >= target || holders !== 1 || !held.delete(ref)) continue;
          freed += truesizeOf(host, ref) / host.pageSizeBytes;
          returnNetmem(host, ref);
        }
        return freed;
      },
    });
    let delivered = 0;
    for (let k = 0; k < 100_000; k++) {
      const ref = frag.alloc(PIECE_BYTES);
      if (ref === 0) break;
      delivered++;
      if (held.has(ref)) returnNetmem(host, ref);
      else held.add(ref);
    }
    expect(delivered).toBe(100_000);
    expect(subject.pages.stats().reclaimCalls).toBeGreaterThan(3);
    expect(subject.pages.stats().refusedByLimit).toBe(0);
  });
});

describe("the report", () => {
  test("counts a block that is being cut as unknown, and several holders by their number", () => {
    const subject = createTestHost();
    const { host } = subject;
    const frag = createPageFrag(host);
    frag.alloc(100);
    expect(pinReport(host)).toMatchObject({ blockCount: 1, usedBytes: 0, unknownBytes: 32768 });
    expect(pinReport(host).worst[0]).toMatchObject({ holders: -1, usedBytes: -1 });
    frag.alloc(100);
    frag.destroy();
    expect(pinReport(host)).toMatchObject({ usedBytes: 208, unknownBytes: 0, blocksByHolders: new Map([[2, 1]]) });
  });

  test("pieces whose size nobody wrote down: unknown, or what the caller assumes", () => {
    const subject = createTestHost();
    const { host, pages } = subject;
    const block = pages.allocPages(3) as PageRef;
    getNetmem(host, block);
    getNetmem(host, block);
    expect(pinReport(host)).toMatchObject({ pinnedBytes: 32768, unknownBytes: 32768, usedBytes: 0 });
    expect(pinReport(host, { fragBytes: 2048 })).toMatchObject({ unknownBytes: 0, usedBytes: 3 * 2048 });
    expect(pinReport(host, { worstCount: 0 }).worst).toEqual([]);
  });

  test("truesize of a tail is that of its block, of a net_iov its own, of a free page nothing", () => {
    const { host, pages } = createTestHost();
    const block = pages.allocPages(2) as PageRef;
    expect(truesizeOf(host, (block + 2) as PageRef)).toBe(16384);
    const area = host.areas.add({ name: "niov", count: 4, pageShift: 11 });
    expect(truesizeOf(host, host.areas.refAt(area, 1))).toBe(2048);
    pages.freePage(block);
    pages.drainList();
    expect(truesizeOf(host, block)).toBe(0);
  });
});
