/* data path */
import { NetmemError } from "@netmem/core";
import { SKB_FLAGS as SKB_FLAGS_, SkbFlag, type SkbRef } from "./skb-record.ts";
import type { SkbSlab } from "./skb-slab.ts";

const FLAGS = SKB_FLAGS_;
const UNREADABLE = SkbFlag.Unreadable;
/** What 32 bits can sum up without an overflow. */
const MAX_RUN_BYTES = 65536;

/**
 * The Internet checksum's sum (RFC 1071, 16 bits, not complemented) over bytes `[offset, offset + lenBytes)` of the
 * packet, added to `sum`. Kernel: `skb_checksum`.
 *
 * @throws `ERR_NETMEM_UNREADABLE` (EFAULT) for a packet that has a fragment which the CPU cannot read, wherever the range
 * lies; `ERR_NETMEM_OUT_OF_RANGE` (EFAULT), `ERR_NETMEM_STALE_SKB`.
 */
export function checksumSkb(slab: SkbSlab, skb: SkbRef, offset: number, lenBytes: number, sum: number): number {
  const { seq } = slab;
  const { u8 } = slab.host;
  if ((slab.i32[slab.check(skb) + FLAGS]! & UNREADABLE) !== 0) failUnreadableSkb(skb, "checksum");
  seq.start(skb, offset, lenBytes);
  let total = sum;
  let done = 0;
  while (seq.next()) {
    const part = sumBytes(u8, seq.offset, seq.len);
    // A piece that starts at an odd position has its bytes in the other halves of the words.
    total += (done & 1) === 0 ? part : ((part & 0xff) << 8) | (part >>> 8);
    done += seq.len;
  }
  return foldSum(total);
}

/** 16-bit sum of `len` bytes from `at` on; an odd last byte is a high byte. */
export function sumBytes(u8: Uint8Array, at: number, len: number): number {
  if (len > MAX_RUN_BYTES)
    return foldSum(sumBytes(u8, at, MAX_RUN_BYTES) + sumBytes(u8, at + MAX_RUN_BYTES, len - MAX_RUN_BYTES));
  const evenEnd = at + (len & ~1);
  let sum = 0;
  for (let n = at; n < evenEnd; n += 2) sum = (sum + ((u8[n]! << 8) | u8[n + 1]!)) | 0;
  if ((len & 1) !== 0) sum = (sum + (u8[evenEnd]! << 8)) | 0;
  return foldSum(sum);
}

/** Folds a running sum to 16 bits: carries go round, also those of a carry (RFC 1071). */
export function foldSum(sum: number): number {
  let folded = sum >>> 0;
  while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16);
  return folded;
}

/** Throws `ERR_NETMEM_UNREADABLE` (EFAULT): `call` would have to read the packet. */
export function failUnreadableSkb(skb: SkbRef, call: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_UNREADABLE",
    errno: "EFAULT",
    reason: `${call} would read skb 0x${skb.toString(16)}, which has fragments that the CPU cannot read`,
    remedy: "Hand such packets on as they are: headers are in the head, payload goes by reference.",
    param: "skb",
    value: skb,
  });
}
