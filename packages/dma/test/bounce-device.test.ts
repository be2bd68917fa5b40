import { DmaDir, type Host } from "@netmem/core";
import { expect, test } from "vitest";
import { type BounceDevice, createBounceDevice } from "../src/index.ts";
import { createTestHost, takePage, translate } from "./test-host.ts";

const { Bidirectional, FromDevice, ToDevice } = DmaDir;
const POISON = 0xdb;

/** Where the device sees the first byte of a mapping. */
function deviceAt(device: BounceDevice, pfn: number): number {
  const [at] = translate(device, pfn) as [number];
  if (at < 0) throw new Error(`pfn ${pfn} does not translate`);
  return at;
}

function bytes(host: Host, at: number, count = 4): number[] {
  return [...host.u8.subarray(at, at + count)];
}

test("what the CPU writes reaches the device by syncForDevice only", () => {
  const { host } = createTestHost();
  const device = createBounceDevice(host);
  const page = takePage(host);
  const cpu = host.offsetOf(page);
  host.u8.set([1, 2, 3, 4], cpu);
  const pfn = device.map(page, 0, ToDevice);
  const dev = deviceAt(device, pfn);
  expect(bytes(host, dev)).toEqual([1, 2, 3, 4]);
  host.u8.set([9, 9, 9, 9], cpu);
  expect(bytes(host, dev)).toEqual([1, 2, 3, 4]);
  device.syncForDevice(pfn, 1, 2, ToDevice);
  expect(bytes(host, dev)).toEqual([1, 9, 9, 4]);
  expect([device.name, device.needsSync]).toEqual(["bounce", true]);
});

test("what the device writes reaches the CPU by syncForCpu, or by the unmap", () => {
  const { host } = createTestHost();
  const device = createBounceDevice(host);
  const page = takePage(host);
  const cpu = host.offsetOf(page);
  const pfn = device.map(page, 0, FromDevice);
  host.u8.set([5, 6, 7, 8], deviceAt(device, pfn));
  expect(bytes(host, cpu)).toEqual([0, 0, 0, 0]);
  device.syncForCpu(pfn, 2, 1, FromDevice);
  expect(bytes(host, cpu)).toEqual([0, 0, 7, 0]);
  device.unmap(pfn, 0, FromDevice);
  expect(bytes(host, cpu)).toEqual([5, 6, 7, 8]);
});

test("unmapping ToDevice copies nothing, and neither does its syncForCpu", () => {
  const { host } = createTestHost();
  const device = createBounceDevice(host);
  const page = takePage(host);
  const cpu = host.offsetOf(page);
  const pfn = device.map(page, 0, ToDevice);
  host.u8.set([1, 1, 1, 1], deviceAt(device, pfn));
  device.syncForCpu(pfn, 0, 4096, ToDevice);
  device.unmap(pfn, 0, ToDevice);
  expect(bytes(host, cpu)).toEqual([0, 0, 0, 0]);
  expect(device.stats()).toMatchObject({ bytesToCpu: 0, syncsForCpu: 1, bytesToDevice: 4096 });
});

test.each([FromDevice, Bidirectional])(
  "with skipCpuSync, map and unmap in direction %i leave both sides alone",
  (dir) => {
    const { host } = createTestHost();
    const device = createBounceDevice(host, { skipCpuSync: true });
    const page = takePage(host, 1);
    const cpu = host.offsetOf(page);
    host.u8.set([1, 2, 3, 4], cpu);
    const pfn = device.map(page, 1, dir);
    const dev = deviceAt(device, pfn);
    expect(host.u8.subarray(dev, dev + 8192).every((byte) => byte === POISON)).toBe(true);
    device.syncForCpu(pfn, 8190, 2, dir);
    expect(bytes(host, cpu + 8188)).toEqual([0, 0, POISON, POISON]);
    device.unmap(pfn, 1, dir);
    expect(bytes(host, cpu)).toEqual([1, 2, 3, 4]);
    expect(device.stats()).toMatchObject({ bytesToCpu: 2, bytesToDevice: 0 });
  },
);

test("with skipCpuSync, what is mapped ToDevice still reaches the device", () => {
  const { host } = createTestHost();
  const device = createBounceDevice(host, { skipCpuSync: true, poison: 1 });
  const page = takePage(host);
  host.u8.set([1, 2, 3, 4], host.offsetOf(page));
  expect(bytes(host, deviceAt(device, device.map(page, 0, ToDevice)))).toEqual([1, 2, 3, 4]);
});

test("the poison is the one asked for, also in a page that was used before", () => {
  const { host } = createTestHost();
  const device = createBounceDevice(host, { skipCpuSync: true, poison: 0x5a });
  const page = takePage(host);
  const first = device.map(page, 0, FromDevice);
  host.u8.set([1, 2, 3, 4], deviceAt(device, first));
  device.unmap(first, 0, FromDevice);
  const second = device.map(page, 0, FromDevice);
  expect(second).toBe(first);
  expect(bytes(host, deviceAt(device, second))).toEqual([0x5a, 0x5a, 0x5a, 0x5a]);
});

test("pages of a larger mapping are contiguous for the device, and synced across their borders", () => {
  const { host } = createTestHost({ pageShift: 13 });
  const device = createBounceDevice(host);
  const page = takePage(host, 2);
  const pfn = device.map(page, 2, Bidirectional);
  const offsets = translate(device, pfn, pfn + 1, pfn + 2, pfn + 3);
  expect(offsets).toEqual([0, 1, 2, 3].map((n) => offsets[0]! + n * 8192));
  host.u8.set([1, 2, 3, 4], offsets[1]! - 2);
  device.syncForCpu(pfn, 8190, 4, Bidirectional);
  expect(bytes(host, host.offsetOf(page) + 8190)).toEqual([1, 2, 3, 4]);
});

test("a page inside a larger mapping is an address like its first", () => {
  const { host } = createTestHost();
  const device = createBounceDevice(host, { skipCpuSync: true });
  const page = takePage(host, 2);
  const pfn = device.map(page, 2, FromDevice);
  const at = host.offsetOf(page) + 2 * 4096;
  host.u8[at + 10] = 7;
  device.syncForDevice(pfn + 2, 10, 1, FromDevice);
  expect(host.u8[deviceAt(device, pfn + 2) + 10]).toBe(7);
  host.u8[deviceAt(device, pfn + 2) + 11] = 8;
  device.syncForCpu(pfn + 2, 11, 1, FromDevice);
  expect([host.u8[at + 10], host.u8[at + 11]]).toEqual([7, 8]);
});

test("use after unmap faults, and so does what never was a bounce buffer", () => {
  const { host } = createTestHost();
  const device = createBounceDevice(host);
  const page = takePage(host);
  const pfn = device.map(page, 1, FromDevice);
  device.unmap(pfn, 1, FromDevice);
  const own = host.pageIdxAt(host.offsetOf(page));
  expect(translate(device, pfn, pfn + 1, own, 0, -1, 2 ** 20)).toEqual(Array(6).fill(-1));
  expect(device.stats()).toMatchObject({ faults: 6 });
});

test("a page mapped twice has two bounce buffers", () => {
  const { host } = createTestHost();
  const device = createBounceDevice(host);
  const page = takePage(host);
  const rx = device.map(page, 0, FromDevice);
  const tx = device.map(page, 0, ToDevice);
  expect(rx).not.toBe(tx);
  host.u8.set([7], deviceAt(device, rx));
  device.syncForCpu(rx, 0, 1, FromDevice);
  device.syncForDevice(tx, 0, 1, ToDevice);
  expect(bytes(host, deviceAt(device, tx), 1)).toEqual([7]);
});

test("maps are refused over maxPages, when the host is out of pages, and for blocks it cannot have", () => {
  const { host } = createTestHost();
  const device = createBounceDevice(host, { maxPages: 3 });
  const page = takePage(host, 2);
  const first = device.map(page, 1, FromDevice);
  expect([device.map(page, 1, FromDevice), device.map(page, 2, FromDevice)]).toEqual([0, 0]);
  expect(device.map(page, 0, FromDevice)).toBeGreaterThan(0);
  device.unmap(first, 1, FromDevice);
  expect(device.map(page, 1, FromDevice)).toBeGreaterThan(0);
  expect(device.stats()).toMatchObject({ refused: 2, mapped: 2, mappedPages: 3 });

  const greedy = createBounceDevice(host);
  expect(greedy.map(takePage(host, 10), 11, FromDevice)).toBe(0);
  while (host.pages.allocPages(0) !== 0);
  expect(greedy.map(page, 0, FromDevice)).toBe(0);
  expect(greedy.stats()).toMatchObject({ refused: 2, mapped: 0 });
});

test("all pages are back after the last unmap", () => {
  const { host, pages } = createTestHost();
  const device = createBounceDevice(host);
  const page = takePage(host, 3);
  const out = new Map(pages.out);
  const pfns = [0, 1, 2, 3].map((order) => device.map(page, order, Bidirectional));
  expect(pages.out.size).toBe(out.size + 4);
  pfns.forEach((pfn, order) => device.unmap(pfn, order, Bidirectional));
  expect(pages.out).toEqual(out);
  expect(device.stats()).toMatchObject({ mapped: 0, mappedPages: 0 });
});

test("counters say what was synced and copied", () => {
  const { host } = createTestHost();
  const device = createBounceDevice(host);
  const pfn = device.map(takePage(host), 0, Bidirectional);
  device.syncForDevice(pfn, 100, 1500, Bidirectional);
  device.syncForCpu(pfn, 0, 64, FromDevice);
  device.syncForCpu(pfn, 4096, 0, Bidirectional);
  device.unmap(pfn, 0, Bidirectional);
  expect(device.stats()).toEqual({
    syncsForDevice: 1,
    syncsForCpu: 2,
    bytesToDevice: 4096 + 1500,
    bytesToCpu: 64 + 4096,
    faults: 0,
    refused: 0,
    mapped: 0,
    mappedPages: 0,
  });
});

test("wrong unmaps and syncs throw, and copy and free nothing", () => {
  const { host, pages } = createTestHost();
  const device = createBounceDevice(host);
  const pfn = device.map(takePage(host, 1), 1, FromDevice);
  host.u8[deviceAt(device, pfn)] = 1;
  const before = [device.stats(), host.i32.slice(), new Map(pages.out)];
  const mismatch = { code: "ERR_NETMEM_DMA_MISMATCH", errno: "EINVAL", param: "pfn", value: pfn };
  const range = { code: "ERR_NETMEM_DMA_SYNC_RANGE", errno: "EINVAL", param: "len" };
  const direction = { code: "ERR_NETMEM_DMA_SYNC_DIR", errno: "EINVAL", param: "dir", value: ToDevice };
  const notMapped = { code: "ERR_NETMEM_DMA_NOT_MAPPED", errno: "EINVAL", param: "pfn" };
  expect(() => device.unmap(pfn, 0, FromDevice)).toThrow(expect.objectContaining(mismatch));
  expect(() => device.unmap(pfn, 1, ToDevice)).toThrow(expect.objectContaining(mismatch));
  expect(() => device.unmap(pfn + 1, 0, FromDevice)).toThrow(expect.objectContaining(notMapped));
  expect(() => device.syncForCpu(pfn + 2, 0, 1, FromDevice)).toThrow(expect.objectContaining(notMapped));
  expect(() => device.syncForCpu(pfn + 1, 1, 4096, FromDevice)).toThrow(expect.objectContaining(range));
  expect(() => device.syncForDevice(0, 0, 1, FromDevice)).toThrow(expect.objectContaining(notMapped));
  expect(() => device.syncForCpu(pfn, 0, 8193, FromDevice)).toThrow(expect.objectContaining(range));
  expect(() => device.syncForDevice(pfn, 8192, 1, FromDevice)).toThrow(expect.objectContaining(range));
  expect(() => device.syncForDevice(pfn, -1, 1, FromDevice)).toThrow(expect.objectContaining(range));
  expect(() => device.syncForDevice(pfn, 4, -1, FromDevice)).toThrow(expect.objectContaining(range));
  expect(() => device.syncForDevice(pfn, Number.NaN, 1, FromDevice)).toThrow(expect.objectContaining(range));
  expect(() => device.syncForDevice(pfn, 0, 1, ToDevice)).toThrow(expect.objectContaining(direction));
  expect([device.stats(), host.i32.slice(), new Map(pages.out)]).toEqual(before);
});

test.each([{ maxPages: -1 }, { maxPages: 5000 }, { poison: 256 }])("%o is refused", (params) => {
  const { host } = createTestHost();
  expect(() => createBounceDevice(host, params)).toThrow(expect.objectContaining({ code: "ERR_NETMEM_INVALID_PARAM" }));
});
