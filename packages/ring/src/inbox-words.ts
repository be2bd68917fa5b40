/*
 * data path
 *
 * The words of an inbox, and every access of one thread to what another writes. Many workers put references in, each
 * through a ring of its own; one owner takes them out.
 *
 *  at + 0  DOORBELL   bit w: worker w has put something in since the owner last took the doorbell
 *     + 1  SLEEPING   1: the owner sleeps, or is about to
 *     + 2  REST       owner: the chain that it has taken and not finished, and whose it is
 *     + 3  REST_FROM
 *     + 16 RINGS      one per worker: word offset of its ring, 0 until the worker makes one
 *     + 48 OVERFLOWS  one per worker: newest of the references that found no room in its ring, 0 for none
 *
 *  linkAt + idx         of each reference on an overflow list: the next reference, 0 at the end
 *
 * A worker publishes, then rings; the owner takes the doorbell, then looks. All four are sequentially consistent, so one
 * of the two sees the other: either the owner finds the entry, or the bit that it finds next names the worker.
 */
import { IDX_MASK as IDX_MASK_ } from "@netmem/core";

/** One bit of the doorbell each. */
export const MAX_INBOX_WORKERS = 32;

export const DOORBELL = 0;
export const SLEEPING = 1;
export const REST = 2;
export const REST_FROM = 3;
export const RINGS = 16;
export const OVERFLOWS: number = RINGS + MAX_INBOX_WORKERS;
/** Whole cache lines. */
export const INBOX_WORDS: number = OVERFLOWS + MAX_INBOX_WORKERS;

const IDX_MASK = IDX_MASK_;
const DOORBELL_AT = DOORBELL;
const SLEEPING_AT = SLEEPING;
const RINGS_AT = RINGS;

/** Word offset of a worker's ring, 0 while it has none. Partner: {@link setRing}. */
export function ringOf(i32: Int32Array, at: number, worker: number): number {
  return Atomics.load(i32, at + RINGS_AT + worker);
}

/** Worker: shows the owner its ring, once it is made. */
export function setRing(i32: Int32Array, at: number, worker: number, ring: number): void {
  Atomics.store(i32, at + RINGS_AT + worker, ring);
}

/** Worker, after publishing: sets its bit, unless it is set and not taken. True when the caller set it. */
export function ringDoorbell(i32: Int32Array, at: number, bit: number): boolean {
  // Partner: takeDoorbell. A plain read could be older than the publication before it, and find a bit that was taken.
  if ((Atomics.load(i32, at + DOORBELL_AT) & bit) !== 0) return false;
  // Partner: takeDoorbell and the second look in `prepareSleep`.
  Atomics.or(i32, at + DOORBELL_AT, bit);
  return true;
}

/** Owner: whether somebody rang. Partner: {@link ringDoorbell}. */
export function isRung(i32: Int32Array, at: number): boolean {
  return Atomics.load(i32, at + DOORBELL_AT) !== 0;
}

/** Owner, before it looks into the rings: takes all bits. Partner: {@link ringDoorbell}. */
export function takeDoorbell(i32: Int32Array, at: number): number {
  if (Atomics.load(i32, at + DOORBELL_AT) === 0) return 0;
  return Atomics.exchange(i32, at + DOORBELL_AT, 0);
}

/**
 * Worker: puts `ref` in front of an overflow list of its own, `listAt`. Two turns at most: nobody else puts, and the owner
 * can only empty the list.
 */
export function pushOverflow(i32: Int32Array, listAt: number, linkAt: number, ref: number): void {
  const link = linkAt + ((ref >>> 1) & IDX_MASK);
  for (;;) {
    // Only this worker makes it other than 0, so what is found here is its own or 0.
    const newest = Atomics.load(i32, listAt);
    i32[link] = newest;
    // Releases the link; partner: takeOverflow.
    if (Atomics.compareExchange(i32, listAt, newest, ref) === newest) return;
  }
}

/** Owner: takes a whole overflow list, newest first; 0 when empty. Partner: {@link pushOverflow}. */
export function takeOverflow(i32: Int32Array, listAt: number): number {
  if (Atomics.load(i32, listAt) === 0) return 0;
  return Atomics.exchange(i32, listAt, 0);
}

/** Owner: the reference behind `ref` in a chain that it took. Unlinks `ref`, so that a chain with a ring in it ends. */
export function unlinkNext(i32: Int32Array, linkAt: number, ref: number): number {
  const link = linkAt + ((ref >>> 1) & IDX_MASK);
  const next = i32[link]!;
  i32[link] = 0;
  return next;
}

/** Owner, before its last look at the doorbell: says that it will sleep. Partner: {@link claimWake}. */
export function announceSleep(i32: Int32Array, at: number): void {
  Atomics.store(i32, at + SLEEPING_AT, 1);
}

/** Owner, after it slept or thought better of it. */
export function endSleep(i32: Int32Array, at: number): void {
  Atomics.store(i32, at + SLEEPING_AT, 0);
}

/** Worker, after it set its bit: true for the one that has to wake the owner. Partner: {@link announceSleep}. */
export function claimWake(i32: Int32Array, at: number): boolean {
  if (Atomics.load(i32, at + SLEEPING_AT) === 0) return false;
  return Atomics.exchange(i32, at + SLEEPING_AT, 0) !== 0;
}
