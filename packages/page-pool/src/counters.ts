/*
 * data path
 *
 * 64-bit event counters as pairs of arena words (low, high). `fast` and `cached` are not counted one by one:
 *
 *   fast   = folded fast + pops since the last fold        (OWN_LEFT counts down from FOLD)
 *   cached = fast + other pops + count - other pushes      (every push that was no put went through addMoved)
 */
export const C_SLOW = 0;
export const C_SLOW_HIGH_ORDER = 2;
export const C_EMPTY = 4;
export const C_REFILL = 6;
export const C_WAIVE = 8;
export const C_CACHE_FULL = 10;
/** Ring puts that were folded in: the ring counts them itself, see {@link foldRing}. */
export const C_RING = 12;
/** `produced` of the ring at the last fold; one word. */
export const C_RING_SEEN = 24;
export const C_RING_FULL = 14;
export const C_RELEASED_REFCNT = 16;
/** Pops of the alloc cache that were folded in. */
export const C_FAST = 18;
/** Pushes into the alloc cache that were no puts (refill, slow path). */
export const C_PUSHED = 20;
/** Pops of the alloc cache that were no fast allocations (flush, scrub). */
export const C_POPPED = 22;
export const COUNTER_WORDS = 25;

/** Pops between folds; the countdown costs less than a second counter. */
export const FOLD = 0x3fffffff;

/** Adds 1. */
export function bump(i32: Int32Array, at: number): void {
  const low = (i32[at]! + 1) | 0;
  i32[at] = low;
  if (low === 0) i32[at + 1] = (i32[at + 1]! + 1) | 0;
}

/** Adds 0 <= n < 2^31. */
export function add(i32: Int32Array, at: number, n: number): void {
  const before = i32[at]!;
  const sum = (before + n) | 0;
  i32[at] = sum;
  if (sum >>> 0 < before >>> 0) i32[at + 1] = (i32[at + 1]! + 1) | 0;
}

/** The counter as a number, exact up to 2^53. */
export function read(i32: Int32Array, at: number): number {
  return (i32[at + 1]! >>> 0) * 2 ** 32 + (i32[at]! >>> 0);
}

/**
 * Adds what entered the ring since the last fold. Called at every refill, and a ring cannot take 2^32 entries between two.
 */
export function foldRing(i32: Int32Array, countersAt: number, produced: number): void {
  const seenAt = countersAt + C_RING_SEEN;
  add(i32, countersAt + C_RING, (produced - i32[seenAt]!) | 0);
  i32[seenAt] = produced;
}
