/*
 * A ring as the kernel lays it out, in bytes; the gaps keep its two indices out of each other's cache lines:
 *
 *    0  producer   u32, free-running
 *  128  consumer   u32, free-running
 *  196  flags      u32, bit 0: the kernel wants to be woken
 *  320  entries    8 bytes {address}                       fill, completion
 *                  16 bytes {address, length, options}     rx, tx
 *
 * An address is 64 bits, two words, low first. Aligned chunks: a plain offset into the UMEM, so the high word is 0.
 * Unaligned chunks: the chunk's offset in the low 48 bits, the data's offset in the chunk in the high 16.
 */
import { checkInt, failParam } from "@netmem/core";

/** Byte offsets within a ring's mapping, as `XDP_MMAP_OFFSETS` gives them. */
export interface XskRingOffsets {
  readonly producer: number;
  readonly consumer: number;
  readonly flags: number;
  readonly desc: number;
}

/** The offsets of every kernel so far. */
export const XSK_RING_OFFSETS: XskRingOffsets = { producer: 0, consumer: 128, flags: 196, desc: 320 };

/** Bytes of an entry of the fill and completion ring. */
export const ADDR_BYTES = 8;
/** Bytes of an entry of the RX and TX ring. */
export const DESC_BYTES = 16;
const MAX_ENTRIES = 2 ** 20;

/** Where a ring lies: word offsets in the arena. */
export interface XskRingLayout {
  readonly producerAt: number;
  readonly consumerAt: number;
  readonly flagsAt: number;
  readonly descsAt: number;
  /** Entries, a power of two. */
  readonly size: number;
}

/** @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) unless `size` is a power of two from 1 to 2^20. */
export function checkRingEntries(param: string, size: number): number {
  checkInt(param, size, 1, MAX_ENTRIES);
  if ((size & (size - 1)) !== 0) failParam(param, size, "a power of two", "Round it up to the next power of two.");
  return size | 0;
}

/** Bytes of a ring of `size` entries of `entryBytes` bytes. */
export function xskRingBytes(size: number, entryBytes: number, offsets: XskRingOffsets = XSK_RING_OFFSETS): number {
  return offsets.desc + checkRingEntries("size", size) * entryBytes;
}

/**
 * The layout of a ring that starts at word `at` of the arena.
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) for a size that is no power of two or offsets that are no words.
 */
export function xskRingLayout(at: number, size: number, offsets: XskRingOffsets = XSK_RING_OFFSETS): XskRingLayout {
  const word = (param: keyof XskRingOffsets): number => {
    if ((offsets[param] & 3) !== 0) failParam(param, offsets[param], "a multiple of 4", "Pass the kernel's offsets.");
    return (at + (offsets[param] >> 2)) | 0;
  };
  return {
    producerAt: word("producer"),
    consumerAt: word("consumer"),
    flagsAt: word("flags"),
    descsAt: word("desc"),
    size: checkRingEntries("size", size),
  };
}
