import { VirtualClock } from "@netmem/testing";
import { expect, test } from "vitest";
import {
  attachHost,
  genOf,
  getNetmem,
  idxOf,
  isNetIov,
  MemType,
  type NetIovArea,
  type NetIovAreaParams,
} from "../src/index.ts";
import { createCoreHost, expectRefused, FakeOwner } from "./core-host.ts";

function params(count: number, rest: Partial<NetIovAreaParams> = {}): NetIovAreaParams {
  return { name: `area of ${count}`, count, pageShift: 12, ...rest };
}

function createTable(spare: number): ReturnType<typeof createCoreHost>["host"] {
  return createCoreHost({ maxNetmems: 1024 + spare }).host;
}

function rangeOf(area: NetIovArea): [number, number] {
  return [area.firstIdx, area.firstIdx + area.count];
}

test("areas lie one after the other behind the pages, each with an id of its own", () => {
  const host = createTable(256);
  const a = host.areas.add(params(100));
  const b = host.areas.add(params(56));
  const c = host.areas.add(params(100));
  expect([a, b, c].map((area) => rangeOf(area))).toEqual([
    [1024, 1124],
    [1124, 1180],
    [1180, 1280],
  ]);
  expect(new Set([a, b, c].map((area) => area.areaId)).size).toBe(3);
  expect([a, b, c].map((area) => host.areas.of(area.firstIdx + area.count - 1))).toEqual([a, b, c]);
  expect(host.areas.of(1023)).toBe(null);
  expect([a.readable, a.name]).toEqual([false, "area of 100"]);
});

test("a gap is used again, by what fits, at the lowest place", () => {
  const host = createTable(256);
  const [a, b, c] = [100, 56, 100].map((count) => host.areas.add(params(count)));
  host.areas.remove(b!);
  expect(host.areas.of(1124)).toBe(null);
  expectRefused(host, "ERR_NETMEM_TABLE_FULL", () => host.areas.add(params(57)));
  const small = host.areas.add(params(30));
  expect(rangeOf(small)).toEqual([1124, 1154]);
  expect(rangeOf(host.areas.add(params(26)))).toEqual([1154, 1180]);
  host.areas.remove(a!);
  expect(rangeOf(host.areas.add(params(100)))).toEqual([1024, 1124]);
  host.areas.remove(c!);
  host.areas.remove(small);
  expect(rangeOf(host.areas.add(params(100)))).toEqual([1180, 1280]);
});

test("places are judged by index, not by the order of ids", () => {
  const host = createTable(400);
  const [a, b] = [host.areas.add(params(100)), host.areas.add(params(50))];
  host.areas.remove(a);
  const c = host.areas.add(params(120));
  const d = host.areas.add(params(90));
  const e = host.areas.add(params(40));
  expect([c.areaId, d.areaId]).toEqual([1, 3]);
  expect([d, b, c, e].map((area) => rangeOf(area))).toEqual([
    [1024, 1114],
    [1124, 1174],
    [1174, 1294],
    [1294, 1334],
  ]);
});

test("an index of an area that is gone does not answer to the next area with that id", () => {
  const host = createTable(64);
  const area = host.areas.add(params(50));
  host.areas.remove(area);
  const small = host.areas.add(params(10));
  expect(small.areaId).toBe(area.areaId);
  expect(host.areas.of(small.firstIdx + 9)).toBe(small);
  expect(host.areas.of(small.firstIdx + 10)).toBe(null);
});

test("table full", () => {
  const host = createTable(16);
  const error = expectRefused(host, "ERR_NETMEM_TABLE_FULL", () => host.areas.add(params(17)));
  expect(error).toMatchObject({ errno: "ENOSPC", param: "count", value: 17 });
  host.areas.add(params(16));
  expectRefused(host, "ERR_NETMEM_TABLE_FULL", () => host.areas.add(params(1)));
});

test("255 areas and no more", () => {
  const host = createTable(300);
  const areas = Array.from({ length: 255 }, () => host.areas.add(params(1)));
  const error = expectRefused(host, "ERR_NETMEM_TABLE_FULL", () => host.areas.add(params(1)));
  expect(error).toMatchObject({ param: "areaId", value: 256 });
  for (const area of areas) expect(host.areas.of(area.firstIdx)).toBe(area);
  host.areas.remove(areas[100]!);
  const again = host.areas.add(params(1));
  expect([again.areaId, again.firstIdx]).toEqual([areas[100]!.areaId, areas[100]!.firstIdx]);
});

test.each<[string, Partial<NetIovAreaParams>, string]>([
  ["no buffer", { count: 0 }, "count"],
  ["half a buffer", { count: 0.5 }, "count"],
  ["buffers below 64 bytes", { pageShift: 5 }, "pageShift"],
  ["a negative base", { baseOffset: -4096 }, "baseOffset"],
  ["a base within a byte", { baseOffset: 0.5 }, "baseOffset"],
  ["an end behind the arena's", { baseOffset: 4 * 2 ** 20 - 4096, count: 2 }, "baseOffset"],
])("an area with %s is refused", (_what, rest, param) => {
  const { host } = createCoreHost();
  const error = expectRefused(host, "ERR_NETMEM_INVALID_PARAM", () => host.areas.add(params(1, rest)));
  expect(error).toMatchObject({ errno: "EINVAL", param });
});

test("an area up to the arena's last byte is not", () => {
  const { host } = createCoreHost();
  const area = host.areas.add(params(2, { baseOffset: 4 * 2 ** 20 - 8192 }));
  expect(host.areas.offsetOf(host.areas.refAt(area, 1))).toBe(4 * 2 ** 20 - 4096);
});

test("removing twice is refused, also when another area has the place by then", () => {
  const { host } = createCoreHost();
  const area = host.areas.add(params(8));
  host.areas.remove(area);
  const error = expectRefused(host, "ERR_NETMEM_AREA_UNKNOWN", () => host.areas.remove(area));
  expect(error).toMatchObject({ errno: "ENOENT", param: "area", value: "area of 8" });
  const next = host.areas.add(params(8));
  expect(next.areaId).toBe(area.areaId);
  expectRefused(host, "ERR_NETMEM_AREA_UNKNOWN", () => host.areas.remove(area));
  expect(host.areas.of(next.firstIdx)).toBe(next);
});

test("an area of another host is refused", () => {
  const { host } = createCoreHost();
  host.areas.add(params(8));
  const other = createCoreHost().host.areas.add(params(8));
  expectRefused(host, "ERR_NETMEM_AREA_UNKNOWN", () => host.areas.remove(other));
});

test("references carry the generation of their index, also into the next area there", () => {
  const { host } = createCoreHost();
  const area = host.areas.add(params(4));
  host.i32[area.firstIdx + 2] = 5;
  expect(genOf(host.areas.refAt(area, 2))).toBe(5);
  host.areas.remove(area);
  const next = host.areas.add(params(4));
  const ref = host.areas.refAt(next, 2);
  expect([genOf(ref), idxOf(ref), isNetIov(ref)]).toEqual([5, next.firstIdx + 2, true]);
});

test("hooks bound for other threads' areas leave this thread's areas and their hooks alone", () => {
  const { host } = createCoreHost();
  const counted: number[] = [];
  const area = host.areas.add(params(4, { getRef: (ref) => counted.push(ref) }));
  const ref = new FakeOwner(host, MemType.Devmem, 4).handOut(host.areas.refAt(area, 1));
  host.areas.bindHooks("somebody else's", {});
  host.areas.bindHooks(area.name, {});
  expect(host.areas.of(area.firstIdx)).toBe(area);
  getNetmem(host, ref);
  expect(counted).toEqual([ref]);
  host.areas.remove(area);
  expect(host.areas.of(area.firstIdx)).toBe(null);
});

test.each(["short", "device memory of the second GPU, bank 1"])("hooks are bound by the name %j", (name) => {
  const { host } = createCoreHost();
  const area = host.areas.add(params(4, { name, getRef: () => {} }));
  const ref = new FakeOwner(host, MemType.Devmem, 4).handOut(host.areas.refAt(area, 1));
  const other = attachHost(host.share(), { clock: new VirtualClock() });
  expectRefused(other, "ERR_NETMEM_AREA_UNBOUND", () => getNetmem(other, ref));
  const counted: number[] = [];
  other.areas.bindHooks(`${name}1`, {});
  expectRefused(other, "ERR_NETMEM_AREA_UNBOUND", () => getNetmem(other, ref));
  other.areas.bindHooks(name, { getRef: (one) => counted.push(one) });
  getNetmem(other, ref);
  expect(counted).toEqual([ref]);
});
