import { createHost as ch, type Host } from "@netmem/core";
import { createPageAllocator } from "./src/index.ts";
export type { PageOrder0 } from "./src/index.ts";
export function createHost(): Host { return ch({ arenaBytes: 64 * 2 ** 20, clock: { nowMs: () => 0, setTimer: () => 1, clearTimer: () => {} }, pageAllocator: createPageAllocator }); }
