/*
 * data path
 *
 * The way home for records that are no netmem buffers: skbs in a slab, descriptors, anything with a fixed place in the
 * arena and one owner. Any thread pushes, the owner takes all. A record is known by the word offset of its link word.
 *
 *   headAt   newest record, 0 for none; a word of its own, which other threads write
 *   record   the next one
 *
 * Nobody but the owner takes, and it takes everything, so no push can be fooled by a record that left and came back.
 */

/** Takes the record for the caller alone: true once, for the thread whose compareExchange changes `live` to `going`. */
export function claimRecord(i32: Int32Array, at: number, live: number, going: number): boolean {
  return Atomics.compareExchange(i32, at, live, going) === live;
}

/**
 * Pushes one record, or a chain whose links the caller has written from `first` to `last`. The caller has claimed each, so
 * that none is pushed twice. About 15 ns.
 */
export function pushRecords(i32: Int32Array, headAt: number, first: number, last: number): void {
  for (;;) {
    const newest = Atomics.load(i32, headAt);
    i32[last] = newest;
    // Releases the links and what the caller wrote into the records; partner: takeRecords.
    if (Atomics.compareExchange(i32, headAt, newest, first) === newest) return;
  }
}

/** Owner: takes everything; the first record of a chain that ends with 0, newest first. 5 ns when there is nothing. */
export function takeRecords(i32: Int32Array, headAt: number): number {
  if (Atomics.load(i32, headAt) === 0) return 0;
  return Atomics.exchange(i32, headAt, 0);
}
