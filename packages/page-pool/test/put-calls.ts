import { type NetmemRef, returnNetmem, returnNetmemBulk, returnNetmemRxNapi } from "@netmem/core";
import type { PagePool } from "../src/index.ts";

/** Every way to put one buffer without promising direct context. */
export const plainPuts: readonly [string, (pool: PagePool, ref: NetmemRef) => void][] = [
  ["put", (pool, ref) => pool.put(ref, -1, false)],
  ["putPage", (pool, ref) => pool.putPage(ref)],
  ["putFullPage", (pool, ref) => pool.putFullPage(ref)],
  ["putUnrefed", (pool, ref) => pool.putUnrefed(ref, -1, false)],
  ["putFrag", (pool, ref) => pool.putFrag(ref, 0, false)],
  ["returnNetmem", (pool, ref) => returnNetmem(pool.host, ref)],
  ["returnNetmemBulk", (pool, ref) => returnNetmemBulk(pool.host, Int32Array.of(ref), 1)],
  ["putNetmemBulk", (pool, ref) => pool.putNetmemBulk(Int32Array.of(ref), 1)],
];

/** Every way to put one buffer with that promise. */
export const directPuts: readonly [string, (pool: PagePool, ref: NetmemRef) => void][] = [
  ["put", (pool, ref) => pool.put(ref, -1, true)],
  ["putPage", (pool, ref) => pool.putPage(ref, -1, true)],
  ["putFullPage", (pool, ref) => pool.putFullPage(ref, true)],
  ["recycleDirect", (pool, ref) => pool.recycleDirect(ref)],
  ["putUnrefed", (pool, ref) => pool.putUnrefed(ref, -1, true)],
  ["putFrag", (pool, ref) => pool.putFrag(ref, 0, true)],
  ["returnNetmemRxNapi", (pool, ref) => returnNetmemRxNapi(pool.host, ref)],
];
