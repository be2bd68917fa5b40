import { NetmemError } from "@netmem/core";
import type { ArenaMap } from "./arena-map.ts";
import { readMemoryRegions } from "./memory-regions.ts";
import { builtin } from "./node-builtins.ts";
import type { System } from "./system.ts";
import { createMemoryFile } from "./virtual-memory.ts";

const MARKS = [0x5a, 0xc3] as const;

function failMappable(reason: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_ARENA_NOT_MAPPABLE",
    errno: "ENOTSUP",
    reason: `nothing can be mapped into this arena: ${reason}`,
    remedy: "Open the map where createHost was called, on Node.js 22, 24 or 26.",
    param: "host",
  });
}

/** The arena must be anonymous memory that can be read and written, all of it, with nothing usable behind it. */
function checkPlace({ host, baseAddress }: ArenaMap): void {
  const end = baseAddress + host.layout.arenaBytes;
  if (baseAddress % host.pageSizeBytes !== 0) failMappable(`its address is no multiple of ${host.pageSizeBytes}`);
  const regions = readMemoryRegions(baseAddress, end + 1);
  let at = baseAddress;
  for (const { from, to, permissions } of regions) {
    if (from > at) failMappable(`there is a hole at offset ${at - baseAddress}`);
    if (from >= end && permissions.startsWith("rw")) failMappable("the memory behind it is not guarded");
    if (from < end && !permissions.startsWith("rw")) failMappable(`its memory is ${permissions}`);
    if (from < end && to > end) failMappable("it shares a region with what lies behind it");
    at = to;
  }
  if (at < end) failMappable("its end is not mapped");
}

function checkWindow(map: ArenaMap, fd: number): void {
  const { host } = map;
  const fs = builtin("node:fs");
  const { u8, pageSizeBytes } = host;
  const window = map.mapFile({ fd, bytes: pageSizeBytes, name: "self-test" });
  const first = window.offset;
  const last = first + pageSizeBytes - 1;
  const before = [u8[first - 1], u8[last + 1]];
  const byte = new Uint8Array(1);
  u8[first] = MARKS[0];
  fs.readSync(fd, byte, 0, 1, 0);
  const isSeenOutside = byte[0] === MARKS[0];
  fs.writeSync(fd, Uint8Array.of(MARKS[1]), 0, 1, pageSizeBytes - 1);
  const isSeenInside = u8[last] === MARKS[1];
  map.unmap(window);
  if (!isSeenOutside || !isSeenInside) failMappable("a file that was mapped into it shows in another place");
  if (u8[first] !== 0 || u8[last] !== 0) failMappable("a mapping could not be undone");
  if (u8[first - 1] !== before[0] || u8[last + 1] !== before[1]) failMappable("a mapping changed its neighbours");
}

/** @internal Throws `ERR_NETMEM_ARENA_NOT_MAPPABLE` unless the map does what it says. About 2 ms. */
export function testMappings(system: System, map: ArenaMap): void {
  if (map.host.attached !== 0)
    failMappable("this thread attached to the host; the map belongs to the thread that made it");
  checkPlace(map);
  const fd = createMemoryFile(system, "netmem-self-test");
  try {
    builtin("node:fs").ftruncateSync(fd, map.host.pageSizeBytes);
    checkWindow(map, fd);
  } finally {
    system.close(fd);
  }
}
