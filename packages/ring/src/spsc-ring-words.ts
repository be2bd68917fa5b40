/*
 * data path
 *
 * The words of a ring for one producer thread and one consumer thread, and every access of one to what the other
 * writes. Both counts run freely through 2^32; a slot is found by masking them. Each line has one writer.
 *
 *  at + 0  TAIL      entries ever published                     producer's line
 *     + 1  PUSHED    as far as the producer notes it, entries ever pushed: what lies between TAIL and here is published by
 *                    whoever takes over from a producer that died. Never read while that one lives.
 *     + 16 HEAD      entries ever taken                         consumer's line
 *     + 17 SIZE      slots, a power of two; written before the ring is shared
 *     + 32 slots     plain words: TAIL orders their filling, HEAD their reuse
 */
export const TAIL = 0;
export const PUSHED = 1;
export const HEAD = 16;
export const SIZE = 17;
export const SLOTS = 32;

// An exported constant is read through its module cell, also here: the data path uses copies.
const TAIL_AT = TAIL;
const HEAD_AT = HEAD;
const PUSHED_AT = PUSHED;

/** Words of a ring of `size` slots: whole cache lines. */
export function spscWords(size: number): number {
  return (SLOTS + size + 15) & ~15;
}

/** Makes an empty ring of zeroed words, before any other thread knows it. */
export function initSpscWords(i32: Int32Array, at: number, size: number, startCount: number): void {
  i32[at + SIZE] = size;
  i32[at + TAIL] = startCount;
  i32[at + PUSHED] = startCount;
  i32[at + HEAD] = startCount;
}

/** Producer: shows all slots filled before, up to `tail`. Release; partner: {@link loadTail}. */
export function publishTail(i32: Int32Array, at: number, tail: number): void {
  Atomics.store(i32, at + TAIL_AT, tail);
}

/** Consumer: acquires the slots that {@link publishTail} showed. */
export function loadTail(i32: Int32Array, at: number): number {
  return Atomics.load(i32, at + TAIL_AT);
}

/** Consumer: gives back all slots read before, up to `head`. Release; partner: {@link loadHead}. */
export function releaseHead(i32: Int32Array, at: number, head: number): void {
  Atomics.store(i32, at + HEAD_AT, head);
}

/** Producer: acquires the slots that {@link releaseHead} gave back. */
export function loadHead(i32: Int32Array, at: number): number {
  return Atomics.load(i32, at + HEAD_AT);
}

/**
 * Publishes what a producer that is dead had noted and not published, each shown to `visit` before; returns how many
 * entries that were. The caller acts as the producer, and nobody else does. Control path.
 */
export function publishPushed(i32: Int32Array, at: number, visit: (value: number) => void): number {
  const pushed = i32[at + PUSHED_AT]!;
  const tail = loadTail(i32, at);
  const count = (pushed - tail) | 0;
  for (let n = 0; n < count; n++) visit(i32[at + SLOTS + ((tail + n) & (i32[at + SIZE]! - 1))]!);
  if (count > 0) publishTail(i32, at, pushed);
  return count;
}
