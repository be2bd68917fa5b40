import {
  asNetmemRef,
  IDX_MASK,
  makeRef,
  META_GEN_MASK,
  META_OUT,
  META_OWNER_SHIFT,
  META_POSTED,
  META_RETURNING,
  META_STATE_MASK,
  type NetmemRef,
} from "@netmem/core";
import type { PoolState } from "./pool-state.ts";

/** With a user, with a kernel ring, or on the way home from another thread. */
export function isOutside(state: number): boolean {
  return state === META_OUT || state === META_POSTED || state === META_RETURNING;
}

/** References of up to `max` buffers that users hold. Walks the whole netmem table: control path. */
export function outsideRefs(pool: PoolState, max: number): NetmemRef[] {
  const { i32, host } = pool;
  const refs: NetmemRef[] = [];
  // The owner record of a pool that is gone may be another's by now.
  if (pool.freed) return refs;
  for (let idx = host.layout.firstPageIdx; idx < host.layout.maxNetmems && refs.length < max; idx++) {
    const meta = i32[idx]!;
    if (meta >>> META_OWNER_SHIFT !== pool.ownerId || !isOutside(meta & META_STATE_MASK)) continue;
    refs.push(makeRef(idx, meta & META_GEN_MASK, idx < host.layout.pageCount ? 0 : 1));
  }
  return refs;
}

/** The same as text, with the last touch where the debug level recorded one. */
export function holdersOf(pool: PoolState, max: number): string[] {
  return outsideRefs(pool, max).map((ref) => {
    const touch = pool.debug?.lastTouch((ref >>> 1) & IDX_MASK);
    return `ref 0x${asNetmemRef(ref).toString(16)}${touch === undefined ? "" : ` (${touch})`}`;
  });
}
