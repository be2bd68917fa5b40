import { closeSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { asPageRef, type Host, idxOf, META_OWNER_SHIFT, META_POOLED } from "@netmem/core";
import { expect } from "vitest";
import { AF_UNIX, type ArenaMap, openArenaMap, readMemoryRegions, SOCK_DGRAM, type System } from "../src/index.ts";
import { createMemoryFile } from "../src/virtual-memory.ts";
import { linuxTest } from "./linux-needs.ts";
import { createTestHost, type TestHost } from "./test-pages.ts";

const PAGE = 4096;
const invalid = expect.objectContaining({ code: "ERR_NETMEM_INVALID_PARAM", errno: "EINVAL" });

interface Subject extends TestHost {
  readonly map: ArenaMap;
}

function open(system: System, arenaMiB?: number): Subject {
  const test = createTestHost(arenaMiB);
  return { ...test, map: openArenaMap(system, test.host) };
}

function createFile(system: System, bytes: number): number {
  const fd = createMemoryFile(system, "netmem-test");
  ftruncateSync(fd, bytes);
  return fd;
}

/** The arena as the kernel lists it: one region of ordinary memory when nothing is mapped into it. */
function regionsOf({ map, host }: Subject): string[] {
  const end = map.baseAddress + host.layout.arenaBytes;
  return readMemoryRegions(map.baseAddress, end).map((one) => `${one.permissions} ${one.flags.includes("dc")}`);
}

const bytesAt = (host: Host, offset: number): number[] => [...host.u8.subarray(offset, offset + 4)];

linuxTest("a file shows in the arena at its offset, both ways, and nowhere else", [], (system) => {
  const subject = open(system);
  const { host, map } = subject;
  const fd = createFile(system, 4 * PAGE);
  writeSync(fd, Uint8Array.of(1, 2, 3, 4), 0, 4, 2 * PAGE);
  const window = map.mapFile({ fd, fileOffset: 2 * PAGE, bytes: 2 * PAGE, name: "two pages" });
  expect(map.windows()).toEqual([window]);
  expect(bytesAt(host, window.offset)).toEqual([1, 2, 3, 4]);
  expect(window.bytes).toBe(2 * PAGE);
  host.u8.set([9, 8, 7, 6], window.offset + PAGE);
  const got = new Uint8Array(4);
  readSync(fd, got, 0, 4, 3 * PAGE);
  expect([...got]).toEqual([9, 8, 7, 6]);
  expect([bytesAt(host, window.offset - 4), bytesAt(host, window.offset + 2 * PAGE)]).toEqual([
    [0, 0, 0, 0],
    [0, 0, 0, 0],
  ]);
  map.close();
  closeSync(fd);
});

linuxTest("a window takes whole pages from the allocator, and gives them back", [], (system) => {
  const { map, pages } = open(system);
  const before = pages.freePageCount();
  const fd = createFile(system, 16 * PAGE);
  const windows = [1, PAGE, PAGE + 1, 9 * PAGE].map((bytes) => map.mapFile({ fd, bytes, name: `${bytes} bytes` }));
  expect(windows.map((one) => one.bytes)).toEqual([PAGE, PAGE, 2 * PAGE, 9 * PAGE]);
  expect(pages.freePageCount()).toBe(before - 1 - 1 - 2 - 16);
  for (const one of windows) map.unmap(one);
  expect(pages.freePageCount()).toBe(before);
  closeSync(fd);
});

linuxTest("what was a window reads zero afterwards, and the arena is one region again", [], (system) => {
  const subject = open(system);
  const { host, map } = subject;
  expect(regionsOf(subject)).toEqual(["rw-p true"]);
  const fd = createFile(system, PAGE);
  const window = map.mapFile({ fd, bytes: PAGE, name: "short" });
  expect(regionsOf(subject)).toEqual(["rw-p true", "rw-s true", "rw-p true"]);
  host.u8.set([5, 5, 5, 5], window.offset);
  map.unmap(window);
  expect(bytesAt(host, window.offset)).toEqual([0, 0, 0, 0]);
  expect(regionsOf(subject)).toEqual(["rw-p true"]);
  host.u8.set([6], window.offset);
  const got = new Uint8Array(1);
  readSync(fd, got, 0, 1, 0);
  expect(got[0]).toBe(5);
  closeSync(fd);
});

linuxTest("a refused mapping takes nothing away: bytes, regions and pages are as before", [], (system) => {
  const subject = open(system);
  const { host, map, pages } = subject;
  const page = pages.allocPages(0);
  const next = idxOf(asPageRef(page)) * PAGE + PAGE;
  host.u8.set([4, 3, 2, 1], next);
  const before = pages.freePageCount();
  const readOnly = openSync("/dev/null", "r");
  expect(() => map.mapFile({ fd: readOnly, bytes: PAGE, name: "null" })).toThrow(
    expect.objectContaining({
      code: "ERR_NETMEM_SYSTEM_CALL",
      call: "mmap",
      message: expect.stringContaining("map null into"),
    }),
  );
  expect(() => map.mapFile({ fd: -1, bytes: PAGE, name: "none" })).toThrow(expect.objectContaining({ errno: "EBADF" }));
  // The driver refuses: so late that a mapping made in place has taken away what was there.
  const socket = system.check("socket", system.socket(AF_UNIX, SOCK_DGRAM, 0));
  expect(() => map.mapFile({ fd: socket, bytes: PAGE, name: "socket" })).toThrow(
    expect.objectContaining({ errno: "ENODEV" }),
  );
  system.close(socket);
  // First of all that there is no hole: reading it would end the process.
  expect(regionsOf(subject)).toEqual(["rw-p true"]);
  expect(bytesAt(host, next)).toEqual([4, 3, 2, 1]);
  expect([pages.freePageCount(), map.windows()]).toEqual([before, []]);
  closeSync(readOnly);
});

linuxTest("a move that the kernel gives up half-way leaves no hole", [], (real) => {
  const libc = { ...real.libc };
  const system = Object.create(real, { libc: { value: libc } }) as System;
  const subject = open(system);
  const { map, host, pages } = subject;
  const before = pages.freePageCount();
  // As Linux 5.15 with huge pages: what was there is gone when it finds that it cannot move.
  libc.mremap = (from, fromBytes, bytes, flags, address) => {
    real.libc.munmap(address, bytes);
    return real.libc.mremap(from, fromBytes, bytes, flags, Number(address) + 1);
  };
  const fd = createFile(system, PAGE);
  expect(() => map.mapFile({ fd, bytes: PAGE, name: "file" })).toThrow(
    expect.objectContaining({ call: "mremap", errno: "EINVAL" }),
  );
  expect(regionsOf(subject)).toEqual(["rw-p true"]);
  libc.mremap = real.libc.mremap;
  const window = map.mapFile({ fd, bytes: PAGE, name: "file" });
  expect(bytesAt(host, window.offset)).toEqual([0, 0, 0, 0]);
  map.close();
  expect(pages.freePageCount()).toBe(before);
  closeSync(fd);
});

linuxTest("a file that is too short is refused, where touching it would kill the process", [], (system) => {
  const subject = open(system);
  const fd = createFile(system, PAGE);
  expect(() => subject.map.mapFile({ fd, bytes: 2 * PAGE, name: "ring" })).toThrow(
    expect.objectContaining({ code: "ERR_NETMEM_SYSTEM_CALL", call: "madvise", errno: "EFAULT" }),
  );
  expect(regionsOf(subject)).toEqual(["rw-p true"]);
  closeSync(fd);
});

linuxTest("bad sizes, a full arena and windows of another map are refused", [], (system) => {
  const { map } = open(system);
  const other = open(system).map;
  const fd = createFile(system, 4 * PAGE);
  for (const bytes of [0, -1, 1.5, Number.NaN, 2 ** 22 + 1]) {
    expect(() => map.mapFile({ fd, bytes, name: "bad" })).toThrow(invalid);
  }
  const window = map.mapFile({ fd, bytes: PAGE, name: "mine" });
  const unknown = expect.objectContaining({ code: "ERR_NETMEM_WINDOW_UNKNOWN" });
  expect(() => other.unmap(window)).toThrow(unknown);
  map.unmap(window);
  expect(() => map.unmap(window)).toThrow(unknown);
  const full = open(system, 4);
  full.pages.allocPages(9);
  full.pages.allocPages(8);
  expect(() => full.map.mapFile({ fd, bytes: 2 ** 21, name: "large" })).toThrow(
    expect.objectContaining({ code: "ERR_NETMEM_NO_MEMORY", errno: "ENOMEM" }),
  );
  closeSync(fd);
});

linuxTest("pages of a window that ends over a pin come back when the pin is gone", [], (system) => {
  const { host, map, pages } = open(system);
  const before = pages.freePageCount();
  const fd = createFile(system, 2 * PAGE);
  const first = host.layout.firstPageIdx * PAGE;
  const inside = map.pin("umem", first, host.layout.arenaBytes - first);
  const second = map.pin("umem of another queue", first, host.layout.arenaBytes - first);
  const window = map.mapFile({ fd, bytes: 2 * PAGE, name: "rx ring" });
  map.unmap(window);
  expect(pages.freePageCount()).toBe(before - 2);
  map.unpin(inside);
  expect(pages.freePageCount()).toBe(before - 2);
  map.unpin(second);
  expect(pages.freePageCount()).toBe(before);
  expect(() => map.unpin(second)).toThrow(expect.objectContaining({ code: "ERR_NETMEM_WINDOW_UNKNOWN" }));
  closeSync(fd);
});

linuxTest("no huge page goes under memory that the kernel holds, or that somebody uses", [], (system) => {
  const { host, map } = open(system);
  const huge = 2 ** 21;
  const offset = (huge - (map.baseAddress % huge)) % huge || huge;
  const pin = map.pin("umem", offset + huge - PAGE, 2 * PAGE);
  const pinned = expect.objectContaining({ code: "ERR_NETMEM_RANGE_PINNED", errno: "EBUSY" });
  expect(() => map.backHuge(offset, huge, huge, "thp")).toThrow(pinned);
  expect(() => map.backHuge(offset + huge, huge, huge, "thp")).toThrow(pinned);
  map.unpin(pin);
  const pageIdx = (offset + 5 * PAGE) / PAGE;
  host.i32[pageIdx] = (7 << META_OWNER_SHIFT) | META_POOLED;
  host.u8[offset + 5 * PAGE] = 0x77;
  expect(() => map.backHuge(offset, huge, huge, "thp")).toThrow(
    expect.objectContaining({ code: "ERR_NETMEM_RANGE_IN_USE", errno: "EBUSY", value: offset + 5 * PAGE }),
  );
  expect(host.u8[offset + 5 * PAGE]).toBe(0x77);
  expect(() => map.backHuge(offset + PAGE, huge, huge, "thp")).toThrow(invalid);
  expect(() => map.backHuge(0, huge, huge, "thp")).toThrow(invalid);
  expect(() => map.backHuge(host.layout.arenaBytes, huge, huge, "thp")).toThrow(invalid);
  expect(() => map.backHuge(offset, huge / 2, huge, "thp")).toThrow(invalid);
});

linuxTest("a locked range stays in memory, and unlocks", [], (system) => {
  const { host, map } = open(system);
  const offset = host.layout.firstPageIdx * PAGE;
  map.lock(offset, 2 * PAGE);
  const address = map.addressAt(offset);
  const [region] = readMemoryRegions(address, address + 1);
  expect(region).toMatchObject({ from: address, to: address + 2 * PAGE, residentBytes: 2 * PAGE });
  expect(region?.flags).toContain("lo");
  map.unlock(offset, 2 * PAGE);
  expect(readMemoryRegions(address, address + 1)[0]?.flags).not.toContain("lo");
  expect(() => map.lock(0, PAGE)).toThrow(invalid);
  expect(() => map.lock(offset + 1, PAGE)).toThrow(invalid);
  expect(() => map.addressAt(host.layout.arenaBytes)).toThrow(invalid);
});

linuxTest("rings of an AF_XDP socket lie in the arena, and leave it in any order", ["afXdp"], (system) => {
  const subject = open(system);
  const { host, map } = subject;
  const fd = system.check("socket", system.socket(44, 3, 0));
  const ringBytes = 320 + 2048 * 16;
  expect(() => map.mapFile({ fd, bytes: ringBytes, name: "rx ring" })).toThrow(
    expect.objectContaining({ errno: "EINVAL" }),
  );
  expect(system.setsockoptInt(fd, 283, 2, 2048)).toBe(0);
  expect(system.setsockoptInt(fd, 283, 3, 2048)).toBe(0);
  const rx = map.mapFile({ fd, bytes: ringBytes, name: "rx ring" });
  const tx = map.mapFile({ fd, fileOffset: 0x80000000, bytes: ringBytes, name: "tx ring" });
  host.i32[tx.offset / 4] = 77;
  expect([host.i32[rx.offset / 4], host.i32[tx.offset / 4]]).toEqual([0, 77]);
  expect(system.close(fd)).toBe(0);
  map.unmap(tx);
  map.unmap(rx);
  expect(host.i32[tx.offset / 4]).toBe(0);
  expect(regionsOf(subject)).toEqual(["rw-p true"]);
});
