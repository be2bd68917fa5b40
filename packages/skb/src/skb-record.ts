/*
 * One skb is a record of one cache line in the slab:
 *
 *   0 ref        the skb's own reference while live, minus its next reference while free
 *   1 next       next skb of a list; next free slot
 *   2 head       netmem of the head buffer
 *   3 data       arena byte offset of the first packet byte
 *   4 len        bytes of the packet, fragments and fragment list included
 *   5 dataLen    bytes that are not in the head buffer
 *   6 shinfo     word offset of the shared info at the head buffer's end
 *   7 truesize   bytes of memory that the packet occupies
 *   8 flags      SkbFlag
 *   9 hash       10 queue       11 ifindex
 *  12 .. 15      reserved: time stamp, bytes of metadata
 */
export const SKB_WORDS = 16;
export const SKB_REF = 0;
export const SKB_NEXT = 1;
export const SKB_HEAD = 2;
export const SKB_DATA = 3;
export const SKB_LEN = 4;
export const SKB_DATA_LEN = 5;
export const SKB_SHINFO = 6;
export const SKB_TRUESIZE = 7;
export const SKB_FLAGS = 8;
export const SKB_HASH = 9;
export const SKB_QUEUE = 10;
export const SKB_IFINDEX = 11;

/*
 * An SkbRef is a 30-bit integer: 10 bits of generation (1 to 1023) above 20 bits of slot.
 */
declare const kind: unique symbol;

/** An skb: slot and generation of its record. 0 is none. Given back exactly once, by `consumeSkb` or `dropSkb`. */
export type SkbRef = number & { readonly [kind]: "skb" };

/** Declares that `value` is an skb, e.g. after reading it from an Int32Array. Free; checks nothing. */
export function asSkbRef(value: number): SkbRef {
  return value as SkbRef;
}

export const SKB_SLOT_BITS = 20;
export const SKB_GEN_MAX = 1023;

/** Bits of an skb's flags word. */
export const SkbFlag = {
  /** Look closer: a buffer may belong to a pool. Without it, buffers are plain pages. */
  PpRecycle: 1,
  /** The head is a page or a part of one that may belong to a pool. */
  HeadFrag: 2,
  /** The CPU cannot read a fragment. */
  Unreadable: 4,
  PfMemalloc: 8,
} as const;
