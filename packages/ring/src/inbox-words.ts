/*
 * data path
 *
 * The words of an inbox, and every access of one thread to what another writes. Many workers put references in, each
 * through a ring of its own; one owner takes them out.
 *
 *  at + 0  DOORBELL  bit w: worker w has put something in since the owner last took the doorbell
 *     + 1  SLEEPING  1: the owner sleeps, or is about to
 *     + 2  WORKERS   rings
 *     + 3  RINGS     word offset of worker 0's ring
 *     + 4  STRIDE    words from one ring to the next
 *     + 5  REST      owner: the chain that it has taken and not finished, and whose it is
 *     + 6  REST_FROM
 *
 *  ring + 1  OVERFLOW  of each ring: newest of the references that found it full, 0 for none
 *  linkAt + idx        of each reference on an overflow list: the next reference, 0 at the end
 *
 * A worker publishes, then rings; the owner takes the doorbell, then looks. All four are sequentially consistent, so one
 * of the two sees the other: either the owner finds the entry, or the bit that it finds next names the worker.
 */
import { IDX_MASK as IDX_MASK_ } from "@netmem/core";
import { OVERFLOW } from "./spsc-ring-words.ts";

export const DOORBELL = 0;
export const SLEEPING = 1;
export const WORKERS = 2;
export const RINGS = 3;
export const STRIDE = 4;
export const REST = 5;
export const REST_FROM = 6;
export const INBOX_WORDS = 7;

const IDX_MASK = IDX_MASK_;
const DOORBELL_AT = DOORBELL;
const SLEEPING_AT = SLEEPING;
const OVERFLOW_AT = OVERFLOW;

/** Word offset of a worker's ring. Read when an end attaches. */
export function ringOf(i32: Int32Array, at: number, worker: number): number {
  return i32[at + RINGS]! + worker * i32[at + STRIDE]!;
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
 * Worker: puts the chain `first ... last` in front of its ring's overflow list. Two turns at most: nobody else puts, and
 * the owner can only empty the list.
 */
export function pushOverflow(i32: Int32Array, ring: number, linkAt: number, first: number, last: number): void {
  const link = linkAt + ((last >>> 1) & IDX_MASK);
  for (;;) {
    // Only this worker makes it other than 0, so what is found here is its own or 0.
    const newest = Atomics.load(i32, ring + OVERFLOW_AT);
    i32[link] = newest;
    // Releases the links; partner: takeOverflow.
    if (Atomics.compareExchange(i32, ring + OVERFLOW_AT, newest, first) === newest) return;
  }
}

/** Owner: takes the whole overflow list of a ring, newest chain first; 0 when empty. Partner: {@link pushOverflow}. */
export function takeOverflow(i32: Int32Array, ring: number): number {
  if (Atomics.load(i32, ring + OVERFLOW_AT) === 0) return 0;
  return Atomics.exchange(i32, ring + OVERFLOW_AT, 0);
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
