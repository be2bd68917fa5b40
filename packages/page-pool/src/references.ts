import {
  checkLive,
  compoundHead,
  failReturn,
  IDX_MASK,
  makeRef,
  META_GEN_MASK,
  META_STATE_MASK,
  type NetmemRef,
  type PageRef,
  ppRefCount,
  setPpRefCount,
  unrefNetmem,
} from "@netmem/core";
import { BIAS_MAX } from "./limits.ts";
import { failFragment } from "./pool-errors.ts";
import type { PoolState } from "./pool-state.ts";
import { afterPut, checkOwn } from "./put-slow.ts";

/** Whether `n` can be a number of references. */
function isCount(n: number): boolean {
  return Number.isInteger(n) && n >= 1 && n <= BIAS_MAX;
}

/** Splits an exclusively held buffer into `n` references. @throws `ERR_NETMEM_REF_UNDERFLOW` */
export function fragment(pool: PoolState, ref: NetmemRef, n: number): void {
  checkLive(pool.host, ref);
  if (!isCount(n) || ppRefCount(pool.host, ref) !== 1) failFragment(ref, n);
  setPpRefCount(pool.host, ref, n);
}

/** Drops `n` references and returns how many remain. @throws `ERR_NETMEM_REF_UNDERFLOW` */
export function unref(pool: PoolState, ref: NetmemRef, n: number): number {
  checkLive(pool.host, ref);
  if (!isCount(n)) failFragment(ref, n);
  const left = unrefNetmem(pool.host, ref, n);
  if (left < 0) failFragment(ref, n);
  afterPut(pool);
  return left;
}

/** The live reference of the buffer that holds an arena byte. @throws a misuse error when there is none */
export function liveRefAt(pool: PoolState, offset: number): PageRef {
  const { host, i32 } = pool;
  const idx = host.pageIdxAt(offset);
  const page = makeRef(idx, i32[idx]! & META_GEN_MASK, 0);
  if ((i32[idx]! & META_STATE_MASK) !== 0) return page as PageRef;
  const head = compoundHead(host, page);
  if (head === 0) failReturn(host, page, pool.ownerId);
  const headIdx = (head >>> 1) & IDX_MASK;
  return makeRef(headIdx, i32[headIdx]! & META_GEN_MASK, 0) as PageRef;
}

/** Debug level: notes that a fragment comes home. Nothing may be noted about one that cannot be returned. */
export function checkFragment(pool: PoolState, ref: NetmemRef, offsetBytes: number): void {
  if (pool.debug === null) return;
  checkOwn(pool, ref);
  pool.debug.onFragPut(ref, offsetBytes);
}
