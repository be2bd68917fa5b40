import { type SkbRef } from "./skb-record.ts";
import { failRange } from "./skb-seq.ts";
import type { SkbSlab } from "./skb-slab.ts";

/**
 * Copies bytes `[offset, offset + lenBytes)` of the packet to the start of `dst`, across head, fragments and fragment
 * list. Makes one view per piece: not for the data path. Kernel: `skb_copy_bits`.
 *
 * @throws `ERR_NETMEM_OUT_OF_RANGE` (EFAULT) when the packet or `dst` is shorter; `ERR_NETMEM_UNREADABLE` (EFAULT) when
 * the range touches memory that the CPU cannot read (`dst` may be written in part then); `ERR_NETMEM_STALE_SKB`.
 */
export function copyBits(slab: SkbSlab, skb: SkbRef, offset: number, dst: Uint8Array, lenBytes: number): void {
  const { seq, host } = slab;
  seq.start(skb, offset, lenBytes);
  if (lenBytes > dst.length) failRange(0, lenBytes, dst.length);
  for (let done = 0; seq.next(); done += seq.len) {
    dst.set(host.u8.subarray(seq.offset, seq.offset + seq.len), done);
  }
}

/**
 * As {@link copyBits}, to arena byte offset `dstOffset`; allocates nothing. The destination must not be part of the
 * packet.
 */
export function copyBitsWithin(slab: SkbSlab, skb: SkbRef, offset: number, dstOffset: number, lenBytes: number): void {
  const { seq } = slab;
  const { u8 } = slab.host;
  seq.start(skb, offset, lenBytes);
  for (let at = dstOffset; seq.next(); at += seq.len) u8.copyWithin(at, seq.offset, seq.offset + seq.len);
}

/**
 * Overwrites bytes `[offset, offset + lenBytes)` of the packet with the first bytes of `src` (kernel: `skb_store_bits`).
 * Makes one view per piece: not for the data path. Whoever shares the data sees it too.
 *
 * @throws as {@link copyBits}; the packet may be written in part when a piece is unreadable.
 */
export function storeBits(slab: SkbSlab, skb: SkbRef, offset: number, src: Uint8Array, lenBytes: number): void {
  const { seq, host } = slab;
  seq.start(skb, offset, lenBytes);
  if (lenBytes > src.length) failRange(0, lenBytes, src.length);
  for (let done = 0; seq.next(); done += seq.len) host.u8.set(src.subarray(done, done + seq.len), seq.offset);
}
