import { asNetmemRef, createHost, DmaDir, type Host, makeRef, type PageRef } from "@netmem/core";
import { VirtualClock } from "@netmem/testing";
import { expect, test } from "vitest";
import { createIommuDevice, type IommuDevice } from "../src/index.ts";
import { BlockPages } from "./block-pages.ts";
import { createTestHost, takePage, takePages, translate } from "./test-host.ts";

const { Bidirectional, FromDevice, ToDevice } = DmaDir;

function mapAll(device: IommuDevice, refs: readonly PageRef[]): number[] {
  return refs.map((ref) => device.map(ref, 0, FromDevice));
}

test("mapped pages translate to their bytes, in any order and number", () => {
  const { host } = createTestHost();
  const device = createIommuDevice(host);
  const refs = takePages(host, 100);
  const pfns = mapAll(device, refs);
  expect(new Set(pfns).size).toBe(100);
  expect(translate(device, ...pfns.toReversed())).toEqual(refs.map((ref) => host.offsetOf(ref)).toReversed());
  expect([device.name, device.needsSync, translate(device)]).toEqual(["iommu", false, []]);
});

test("what is not mapped faults, and is counted: zero, never mapped, out of range", () => {
  const { host } = createTestHost();
  const device = createIommuDevice(host, { ioPages: 64 });
  const pfn = device.map(takePage(host), 0, FromDevice);
  expect(translate(device, 0, pfn + 1, 63, 64, 0x7fffffff, -1, -0x80000000)).toEqual(Array(7).fill(-1));
  expect(device.stats()).toMatchObject({ hits: 0, misses: 0, faults: 7 });
});

test("an address one beyond the space faults, whatever word follows the page table", () => {
  const { host } = createTestHost();
  const device = createIommuDevice(host, { ioPages: 64 });
  const ref = takePage(host);
  const pfn = device.map(ref, 0, Bidirectional);
  const entryAt = host.i32.findIndex((word) => (word & -16) === host.offsetOf(ref) && word !== host.offsetOf(ref));
  host.i32[entryAt - pfn + 64] = host.i32[entryAt]!;
  expect(translate(device, pfn, 64)).toEqual([host.offsetOf(ref), -1]);
});

test("use after unmap faults, also while the page is in the IOTLB, and until the space went round once", () => {
  const { host } = createTestHost();
  const device = createIommuDevice(host, { ioPages: 64 });
  const ref = takePage(host);
  const stale = device.map(ref, 0, FromDevice);
  translate(device, stale);
  expect(device.iotlbPages()).toEqual([stale]);
  device.unmap(stale, 0, FromDevice);
  expect(device.iotlbPages()).toEqual([]);
  const pfns = Array.from({ length: 62 }, () => device.map(ref, 0, FromDevice));
  expect(pfns).not.toContain(stale);
  expect(translate(device, stale)).toEqual([-1]);
  expect(device.stats()).toMatchObject({ invalidations: 1, faults: 1 });
  expect(device.map(ref, 0, FromDevice)).toBe(stale);
});

test("the page used least recently leaves first", () => {
  const { host } = createTestHost();
  const device = createIommuDevice(host, { iotlbEntries: 4 });
  const [a, b, c, d, e] = mapAll(device, takePages(host, 5)) as [number, number, number, number, number];
  translate(device, a, b, c, d, a, c);
  expect(device.iotlbPages()).toEqual([c, a, d, b]);
  translate(device, e);
  expect(device.iotlbPages()).toEqual([e, c, a, d]);
  device.unmap(c, 0, FromDevice);
  translate(device, b);
  expect(device.iotlbPages()).toEqual([b, e, a, d]);
  expect(device.stats()).toMatchObject({ hits: 2, misses: 6, evictions: 1, invalidations: 1 });
});

test("64 entries by default: 64 pages in turn stay, 65 in turn always miss", () => {
  const { host } = createTestHost();
  const device = createIommuDevice(host);
  const pfns = mapAll(device, takePages(host, 65));
  for (let round = 0; round < 10; round++) translate(device, ...pfns.slice(0, 64));
  expect(device.stats()).toMatchObject({ hits: 576, misses: 64, evictions: 0 });
  for (let round = 0; round < 10; round++) translate(device, ...pfns);
  expect(device.stats()).toMatchObject({ hits: 576 + 64, misses: 64 + 1 + 65 * 9 });
});

test("a 2 MiB mapping takes one entry, and pages of it the same one; without hugeMappings one each", () => {
  const { host } = createTestHost();
  const block = takePage(host, 9);
  const all = Array.from({ length: 512 }, (_, n) => n);
  const used = [true, false].map((hugeMappings) => {
    const device = createIommuDevice(host, { hugeMappings });
    const pfn = device.map(block, 9, FromDevice);
    const offsets = translate(device, ...all.map((n) => pfn + n));
    expect(offsets).toEqual(all.map((n) => host.offsetOf(block) + n * 4096));
    return { pfn, stats: device.stats(), pages: device.iotlbPages() };
  });
  expect(used[0]).toMatchObject({ stats: { hits: 511, misses: 1, evictions: 0 }, pages: [used[0]!.pfn] });
  expect(used[1]).toMatchObject({ stats: { hits: 0, misses: 512, evictions: 448 } });
  expect(used.map(({ pfn }) => pfn % 512)).toEqual([0, 0]);
});

test("an order 10 mapping takes two entries; its unmap drops both and its last page faults", () => {
  const { host } = createTestHost();
  const device = createIommuDevice(host);
  const pfn = device.map(takePage(host, 10), 10, Bidirectional);
  translate(device, pfn + 1023, pfn + 511, pfn + 3);
  expect(device.iotlbPages()).toEqual([pfn, pfn + 512]);
  device.unmap(pfn, 10, Bidirectional);
  expect(device.iotlbPages()).toEqual([]);
  expect(translate(device, pfn, pfn + 512, pfn + 1023)).toEqual([-1, -1, -1]);
  expect(device.stats()).toMatchObject({ hits: 1, misses: 2, invalidations: 2, mapped: 0, mappedPages: 0 });
});

test("a page at the start of 2 MiB of memory is mapped as a page", () => {
  const { host } = createTestHost();
  const device = createIommuDevice(host);
  const block = takePage(host, 9);
  const pfns = [0, 8].map((order) => device.map(block, order, FromDevice));
  translate(device, ...pfns);
  expect(device.iotlbPages()).toEqual(pfns.toReversed());
});

test("2 MiB of memory that is not aligned to 2 MiB is mapped by pages", () => {
  const { host } = createTestHost();
  const device = createIommuDevice(host);
  const inside = asNetmemRef(takePage(host, 10) + 2);
  const pfn = device.map(inside, 9, FromDevice);
  translate(device, pfn, pfn + 1);
  expect(device.iotlbPages()).toEqual([pfn + 1, pfn]);
});

test("single pages that come and go leave room for a 2 MiB mapping", () => {
  const { host } = createTestHost();
  const device = createIommuDevice(host);
  const ref = takePage(host);
  const kept = Array.from({ length: 20_000 }, (_, n) => {
    const pfn = device.map(ref, 0, FromDevice);
    if (n % 200 !== 0) device.unmap(pfn, 0, FromDevice);
    return n % 200 === 0 ? pfn : 0;
  });
  expect(kept.filter((pfn) => pfn !== 0)).toHaveLength(100);
  expect(device.map(takePage(host, 10), 10, FromDevice)).toBeGreaterThan(0);
});

test("large blocks and single pages come from different halves while there is room", () => {
  const { host } = createTestHost();
  const device = createIommuDevice(host, { ioPages: 2048 });
  const block = takePage(host, 9);
  const maps = [0, 9, 0, 9, 3, 9].map((order) => device.map(block, order, FromDevice));
  expect(maps).toEqual([1, 1024, 2, 1536, 8, 512]);
});

test("map refuses when no run is left, counts it, and works again after an unmap", () => {
  const { host } = createTestHost();
  const device = createIommuDevice(host, { ioPages: 9 });
  const ref = takePage(host, 2);
  const pfns = Array.from({ length: 8 }, () => device.map(ref, 0, FromDevice));
  expect(pfns.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(device.map(ref, 0, FromDevice)).toBe(0);
  for (const pfn of [4, 5, 6]) device.unmap(pfn, 0, FromDevice);
  expect(device.map(ref, 2, FromDevice)).toBe(0);
  device.unmap(7, 0, FromDevice);
  expect(device.map(ref, 2, FromDevice)).toBe(4);
  expect(device.stats()).toMatchObject({ refused: 2, mapped: 5, mappedPages: 8 });
});

test("a wrong unmap throws and changes nothing", () => {
  const { host } = createTestHost();
  const device = createIommuDevice(host);
  const pfn = device.map(takePage(host, 1), 1, FromDevice);
  const before = [device.stats(), translate(device, pfn, pfn + 1)];
  const code = (misuse: () => void): unknown => {
    try {
      misuse();
      return "nothing";
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  expect(code(() => device.unmap(pfn + 1, 0, FromDevice))).toBe("ERR_NETMEM_DMA_NOT_MAPPED");
  expect(code(() => device.unmap(0, 0, FromDevice))).toBe("ERR_NETMEM_DMA_NOT_MAPPED");
  expect(code(() => device.unmap(-1, 0, FromDevice))).toBe("ERR_NETMEM_DMA_NOT_MAPPED");
  expect(code(() => device.unmap(2 ** 30, 0, FromDevice))).toBe("ERR_NETMEM_DMA_NOT_MAPPED");
  expect(code(() => device.unmap(pfn, 0, FromDevice))).toBe("ERR_NETMEM_DMA_MISMATCH");
  expect(code(() => device.unmap(pfn, 1, Bidirectional))).toBe("ERR_NETMEM_DMA_MISMATCH");
  expect([{ ...device.stats(), misses: 0 }, translate(device, pfn, pfn + 1)]).toEqual(before);
  device.unmap(pfn, 1, FromDevice);
  expect(code(() => device.unmap(pfn, 1, FromDevice))).toBe("ERR_NETMEM_DMA_NOT_MAPPED");
});

test("access checks follow the direction; what they refuse is a fault", () => {
  const { host } = createTestHost();
  const device = createIommuDevice(host);
  const ref = takePage(host);
  const access = [Bidirectional, ToDevice, FromDevice].map((dir) => {
    const pfn = device.map(ref, 0, dir);
    return [device.checkRead(pfn), device.checkWrite(pfn)];
  });
  expect(access).toEqual([
    [true, true],
    [true, false],
    [false, true],
  ]);
  expect([device.checkRead(0), device.checkWrite(-1), device.checkRead(2 ** 29)]).toEqual([false, false, false]);
  expect(device.stats()).toMatchObject({ faults: 5, hits: 0, misses: 0 });
});

test("map refuses what is not whole pages of the arena", () => {
  const { host } = createTestHost();
  const device = createIommuDevice(host);
  const last = makeRef(host.layout.pageCount - 1, 0, 0);
  const odd = host.areas.add({ name: "odd", count: 4, pageShift: 11, baseOffset: 2 ** 20 * 8 });
  const outside = host.areas.add({ name: "outside", count: 4, pageShift: 12 });
  const invalid = { code: "ERR_NETMEM_INVALID_PARAM", errno: "EINVAL" };
  const map =
    (ref: number, order = 0, dir: number = FromDevice) =>
    () =>
      device.map(asNetmemRef(ref), order, dir as DmaDir);
  expect(map(makeRef(0, 0, 0))).toThrow(expect.objectContaining(invalid));
  expect(map(makeRef(host.layout.firstPageIdx - 1, 0, 0))).toThrow(expect.objectContaining(invalid));
  expect(map(last, 1)).toThrow(expect.objectContaining(invalid));
  expect(map(makeRef(2 ** 20 - 1, 0, 0))).toThrow(expect.objectContaining(invalid));
  expect(map(host.areas.refAt(odd, 1))).toThrow(expect.objectContaining(invalid));
  expect(map(last, -1)).toThrow(expect.objectContaining(invalid));
  expect(map(last, 0, DmaDir.None)).toThrow(expect.objectContaining(invalid));
  expect(map(host.areas.refAt(outside, 0))).toThrow(expect.objectContaining({ code: "ERR_NETMEM_UNREADABLE" }));
  expect(device.stats()).toMatchObject({ mapped: 0, refused: 0 });
  expect(map(last)()).toBeGreaterThan(0);
});

test("buffers of an area in the arena map like pages", () => {
  const { host } = createTestHost();
  const device = createIommuDevice(host);
  const area = host.areas.add({ name: "chunks", count: 4, pageShift: 12, baseOffset: 2 ** 20 * 8 });
  const pfn = device.map(host.areas.refAt(area, 3), 0, FromDevice);
  expect(translate(device, pfn)).toEqual([2 ** 20 * 8 + 3 * 4096]);
});

function blocksOut(host: Host): number {
  return (host.pages as BlockPages).out.size;
}

test("dispose gives all memory back; later uses fault or do nothing", () => {
  const { host } = createTestHost();
  const ref = takePage(host);
  const out = blocksOut(host);
  const device = createIommuDevice(host, { ioPages: 8192, iotlbEntries: 256 });
  expect(blocksOut(host)).toBe(out + 3);
  const pfn = device.map(ref, 0, FromDevice);
  translate(device, pfn);
  device.dispose();
  expect(blocksOut(host)).toBe(out);
  for (const words of [8192, 8192, 1024]) {
    const at = host.heap.allocWords(words);
    host.i32.fill(7, at, at + words);
  }
  const before = host.i32.slice();
  device.dispose();
  device.unmap(pfn, 0, FromDevice);
  expect(translate(device, pfn, 0)).toEqual([-1, -1]);
  expect([device.checkRead(pfn), device.map(ref, 0, FromDevice), device.iotlbPages()]).toEqual([false, 0, []]);
  expect(device.stats()).toMatchObject({ mapped: 0, mappedPages: 0, evictions: 0, misses: 1, invalidations: 1 });
  expect(before.findIndex((word, at) => word !== host.i32[at])).toBe(-1);
});

test("nothing stays taken when the arena has no room for the tables", () => {
  const host = createHost({
    arenaBytes: 4 * 2 ** 20,
    clock: new VirtualClock(),
    pageAllocator: (host) => new BlockPages(host),
  });
  expect(() => createIommuDevice(host, { ioPages: 2 ** 19 })).toThrow(
    expect.objectContaining({ code: "ERR_NETMEM_NO_MEMORY" }),
  );
  expect(blocksOut(host)).toBe(0);
});

test.each([
  { iotlbEntries: 0 },
  { iotlbEntries: 1.5 },
  { iotlbEntries: 65537 },
  { ioPages: 1 },
  { ioPages: 2 ** 20 + 1 },
])("%o is refused", (params) => {
  const { host } = createTestHost();
  expect(() => createIommuDevice(host, params)).toThrow(expect.objectContaining({ code: "ERR_NETMEM_INVALID_PARAM" }));
});
