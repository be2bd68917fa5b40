/*
 * data path
 *
 * The words of a pointer ring (kernel: `ptr_ring`) and its producer, as a function over them, so that an owner can
 * produce without going through a second object. Slots hold non-zero integers, 0 is a free slot, so producer and
 * consumer need no common counter. Plain memory: one thread.
 *
 *  at + 0  producer        next slot to fill
 *     + 1  consumer head   next slot to read
 *     + 2  consumer tail   next slot to clear
 *     + 3  consumed       entries ever taken, free-running
 *     + 4  size
 *     + 16 slots
 */
export const PRODUCER = 0;
export const HEAD = 1;
export const TAIL = 2;
export const CONSUMED = 3;
export const SIZE = 4;
export const SLOTS = 16;

// An exported constant is read through its module cell, also here: the data path uses copies.
const SIZE_AT = SIZE;
const SLOTS_AT = SLOTS;

/** Appends `value`, which must not be 0, to the ring at word `at`; false when it is full. */
export function ptrRingProduce(i32: Int32Array, at: number, value: number): boolean {
  const producer = i32[at]!;
  const slot = at + SLOTS_AT + producer;
  if (i32[slot] !== 0) return false;
  i32[slot] = value;
  i32[at] = producer + 1 === i32[at + SIZE_AT] ? 0 : producer + 1;
  return true;
}

/** Appends `src[srcAt ... srcAt + count)`, none of which is 0; returns how many had room. */
export function ptrRingProduceBatch(
  i32: Int32Array,
  at: number,
  src: Int32Array,
  srcAt: number,
  count: number,
): number {
  const slotsAt = at + SLOTS_AT;
  const size = i32[at + SIZE_AT]!;
  let producer = i32[at]!;
  let n = 0;
  for (; n < count && i32[slotsAt + producer] === 0; n++) {
    i32[slotsAt + producer] = src[srcAt + n]!;
    producer = producer + 1 === size ? 0 : producer + 1;
  }
  i32[at] = producer;
  return n;
}
