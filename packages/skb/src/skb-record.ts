/*
 * One skb is a record of eight words in the slab: what differs between clones. What they have in common is in the shared
 * info at the end of the head buffer.
 *
 *   0 ref        the skb's own reference while live, minus its next reference while free
 *   1 next       next skb of a list; next free record
 *   2 data       arena byte offset of the first packet byte
 *   3 len        bytes of the packet, fragments and fragment list included
 *   4 dataLen    bytes that are not in the head buffer
 *   5 shinfo     word offset of the shared info
 *   6 truesize   bytes of memory that the packet occupies
 *   7 flags      SkbFlag
 */
export const SKB_WORDS = 8;
export const SKB_REF = 0;
export const SKB_NEXT = 1;
export const SKB_DATA = 2;
export const SKB_LEN = 3;
export const SKB_DATA_LEN = 4;
export const SKB_SHINFO = 5;
export const SKB_TRUESIZE = 6;
export const SKB_FLAGS = 7;

/*
 * An SkbRef is a 30-bit integer: 10 bits of generation, a bit that is always set (no reference is 0), 19 bits of slot.
 */
declare const kind: unique symbol;

/** An skb: slot and generation of its record. 0 is none. Given back exactly once, by `consumeSkb` or `dropSkb`. */
export type SkbRef = number & { readonly [kind]: "skb" };

/** Declares that `value` is an skb, e.g. after reading it from an Int32Array. Free; checks nothing. */
export function asSkbRef(value: number): SkbRef {
  return value as SkbRef;
}

/** Bits of an skb's flags word. */
export const SkbFlag = {
  /** Look closer: a buffer may belong to a pool. Without it, buffers are plain pages. */
  PpRecycle: 1,
  /** The head is a page or a part of one that may belong to a pool. Without it, the head was allocated for the skb. */
  HeadFrag: 2,
  /** The CPU cannot read a fragment. */
  Unreadable: 4,
  PfMemalloc: 8,
  /** The data was shared with a clone at some time; `dataref` says whether it still is. */
  Cloned: 16,
  /** Head and fragments went into another skb; only the record is left, to be consumed. */
  HeadStolen: 32,
  /** Hardware, or the stack, found the transport checksum right (kernel: `CHECKSUM_UNNECESSARY`). */
  CsumValid: 64,
  /** The transport checksum holds the pseudo header's sum only: lengths have changed (kernel: `CHECKSUM_PARTIAL`). */
  CsumPartial: 128,
} as const;
