/*
 * The meta word of a descriptor:
 *
 *   28           13   12    11   9 8        0
 *  +---------------+------+------+-----------+
 *  | owner id      |SHARED| state| generation|
 *  +---------------+------+------+-----------+
 *
 * A return compares the whole word with "owner, OUT, generation of the reference": one compare proves owner,
 * state, generation and that nothing unusual (fragments, clones, extra page references, pfmemalloc) is going on.
 */
export const META_GEN_MASK = 0x1ff;
const META_STATE_SHIFT = 9;
export const META_STATE_MASK: number = 7 << META_STATE_SHIFT;
export const META_SHARED: number = 1 << 12;
export const META_OWNER_SHIFT = 13;

/** Where a buffer is. `Pooled` covers the owner's cache and its ring: telling them apart would cost a write per refill. */
export const NetmemState = {
  /** With the page allocator or the provider. */
  Free: 0,
  /** Inside its owner: alloc cache, return stack or ring. */
  Pooled: 1,
  /** With a user. */
  Out: 2,
  // 3 = Out | 1 is no state: an integer above all references, such as one with bit 30, would be compared with it.
  /** Held back by the debug level. */
  Quarantined: 4,
  /** Given to a kernel ring. */
  Posted: 5,
  /** On the overflow list of an inbox, on its way to the owner's thread. What is in a ring of the inbox is still `Out`. */
  Returning: 6,
} as const;

export const META_FREE: number = NetmemState.Free << META_STATE_SHIFT;
export const META_POOLED: number = NetmemState.Pooled << META_STATE_SHIFT;
export const META_OUT: number = NetmemState.Out << META_STATE_SHIFT;
export const META_POSTED: number = NetmemState.Posted << META_STATE_SHIFT;
export const META_RETURNING: number = NetmemState.Returning << META_STATE_SHIFT;
export const META_QUARANTINED: number = NetmemState.Quarantined << META_STATE_SHIFT;

const stateNames = ["free", "pooled", "out", "invalid", "quarantined", "posted", "returning", "invalid"] as const;

export function metaOwner(meta: number): number {
  return meta >>> META_OWNER_SHIFT;
}

export function metaState(meta: number): number {
  return (meta & META_STATE_MASK) >>> META_STATE_SHIFT;
}

export function metaStateName(meta: number): string {
  return stateNames[metaState(meta)] ?? "invalid";
}

export function ownerTag(ownerId: number, state: number): number {
  return (ownerId << META_OWNER_SHIFT) | (state << META_STATE_SHIFT);
}
