/*
 * data path
 *
 * The words between a queue's hardware on one thread and its driver on another. Each thread has headers of its own over
 * the same descriptors, so that nothing about rings, engines or drivers changes; once per burst one side writes how far it
 * got, and the other takes that over. Indices as in descriptor-ring.ts.
 *
 *  at + 0   RX_POSTED    written by the driver's thread: next index that it posts, by ring
 *     + 1   DATA_POSTED
 *     + 2   TX_POSTED
 *     + 3   SPLIT_ABOVE  header split: threshold in bytes, -1 for off
 *     + 16  EVENTS       written by the hardware's thread, last: bursts in which something happened
 *     + 17  RX_DONE      next index that it completes, by ring
 *     + 18  DATA_DONE
 *     + 19  TX_DONE
 *     + 32  headers of the driver's own for the three rings, of 32 words each
 */
import { RING_HEADER_WORDS } from "./descriptor-ring.ts";

export const RX_POSTED = 0;
export const SPLIT_ABOVE = 3;
export const EVENTS = 16;
export const RX_DONE = 17;
export const HEADERS = 32;
export const SHARED_QUEUE_WORDS: number = HEADERS + 3 * RING_HEADER_WORDS;

// An exported constant is read through its module cell, also here: the data path uses copies.
const RX_POSTED_AT = RX_POSTED;
const EVENTS_AT = EVENTS;
const RX_DONE_AT = RX_DONE;

/** Driver: shows descriptors filled before, up to `index`, of ring 0, 1 or 2. Release; partner: {@link loadPosted}. */
export function storePosted(i32: Int32Array, at: number, ring: number, index: number): void {
  Atomics.store(i32, at + RX_POSTED_AT + ring, index);
}

/** Hardware: acquires what {@link storePosted} showed. */
export function loadPosted(i32: Int32Array, at: number, ring: number): number {
  return Atomics.load(i32, at + RX_POSTED_AT + ring);
}

/** Hardware: shows descriptors completed before. Release; partner: {@link loadDone}. */
export function storeDone(i32: Int32Array, at: number, ring: number, index: number): void {
  Atomics.store(i32, at + RX_DONE_AT + ring, index);
}

/** Driver: acquires what {@link storeDone} showed. */
export function loadDone(i32: Int32Array, at: number, ring: number): number {
  return Atomics.load(i32, at + RX_DONE_AT + ring);
}

/** Hardware, after {@link storeDone}, and before it wakes the driver. Partner: {@link loadEvents}. */
export function storeEvents(i32: Int32Array, at: number, events: number): void {
  Atomics.store(i32, at + EVENTS_AT, events);
}

/** Driver, before {@link loadDone}, and between saying that it will sleep and sleeping. */
export function loadEvents(i32: Int32Array, at: number): number {
  return Atomics.load(i32, at + EVENTS_AT);
}
