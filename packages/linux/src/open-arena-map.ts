import type { Host } from "@netmem/core";
import { ArenaMap } from "./arena-map.ts";
import { testMappings } from "./arena-self-test.ts";
import type { System } from "./system.ts";

/**
 * Finds out where the host's arena lies and proves, with a file of one page, that memory can be mapped into it: what is
 * written through one view is read through the other, the neighbours stay as they are, and it can be undone.
 *
 * @throws `ERR_NETMEM_ARENA_NOT_MAPPABLE` (ENOTSUP) where that does not hold, and for a host that was attached;
 * `ERR_NETMEM_NO_MEMORY` (ENOMEM), `SystemCallError`.
 */
export function openArenaMap(system: System, host: Host): ArenaMap {
  const map = new ArenaMap(system, host);
  testMappings(system, map);
  return map;
}
