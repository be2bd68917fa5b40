import { asNetmemRef, DmaDir, makeRef } from "@netmem/core";
import { expect, test } from "vitest";
import { createDirectDevice } from "../src/index.ts";
import { createTestHost, takePage, takePages, translate } from "./test-host.ts";

test("a page frame number is the page's index, never 0, and translates to its bytes", () => {
  const { host } = createTestHost();
  const device = createDirectDevice(host);
  const refs = [...takePages(host, 10), takePage(host, 3)];
  const pfns = refs.map((ref, n) => device.map(ref, n === 10 ? 3 : 0, DmaDir.FromDevice));
  expect(pfns).toEqual(refs.map((ref) => host.pageIdxAt(host.offsetOf(ref))));
  expect(Math.min(...pfns)).toBeGreaterThan(0);
  const last = pfns[10]! + 7;
  expect(translate(device, ...pfns, last)).toEqual([...refs.map((ref) => host.offsetOf(ref)), last * 4096]);
  expect([device.name, device.needsSync]).toEqual(["direct", false]);
});

test("syncs and unmaps do nothing", () => {
  const { host } = createTestHost();
  const device = createDirectDevice(host);
  const pfn = device.map(takePage(host), 0, DmaDir.Bidirectional);
  const before = host.i32.slice();
  device.syncForDevice(pfn, 0, 4096, DmaDir.Bidirectional);
  device.syncForCpu(pfn, 0, 4096, DmaDir.Bidirectional);
  device.unmap(pfn, 0, DmaDir.Bidirectional);
  expect(before.findIndex((word, at) => word !== host.i32[at])).toBe(-1);
});

test("frame numbers outside the page window fault: the netmem table is out of a device's reach", () => {
  const { host } = createTestHost({ pageShift: 14 });
  const device = createDirectDevice(host);
  const { firstPageIdx, pageCount } = host.layout;
  expect(translate(device, 0, firstPageIdx - 1, firstPageIdx, pageCount - 1, pageCount, -1, 0x7fffffff)).toEqual([
    -1,
    -1,
    firstPageIdx * 2 ** 14,
    (pageCount - 1) * 2 ** 14,
    -1,
    -1,
    -1,
  ]);
});

test("an index whose byte offset wraps round to a page of the arena is refused", () => {
  const { host } = createTestHost({ pageShift: 16 });
  const device = createDirectDevice(host);
  const ref = asNetmemRef(makeRef(2 ** 16 + host.layout.pageCount - 1, 0, 0));
  expect(() => device.map(ref, 0, DmaDir.ToDevice)).toThrow(
    expect.objectContaining({ code: "ERR_NETMEM_INVALID_PARAM" }),
  );
});

test("map refuses what is not whole pages of the arena", () => {
  const { host } = createTestHost();
  const device = createDirectDevice(host);
  const outside = host.areas.add({ name: "outside", count: 1, pageShift: 12 });
  const last = asNetmemRef(makeRef(host.layout.pageCount - 1, 0, 0));
  expect(() => device.map(last, 1, DmaDir.ToDevice)).toThrow(
    expect.objectContaining({ code: "ERR_NETMEM_INVALID_PARAM" }),
  );
  expect(() => device.map(host.areas.refAt(outside, 0), 0, DmaDir.ToDevice)).toThrow(
    expect.objectContaining({ code: "ERR_NETMEM_UNREADABLE" }),
  );
});
