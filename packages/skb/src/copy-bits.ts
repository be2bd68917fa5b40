import { NetmemError, type ReadableRef } from "@netmem/core";
import { FRAG_LEN, FRAG_OFFSET, FRAG_REF, fragAt, SHINFO_FRAG_LIST, SHINFO_NR_FRAGS } from "./shared-info.ts";
import { SKB_DATA, SKB_DATA_LEN, SKB_LEN, SKB_NEXT, SKB_SHINFO, type SkbRef } from "./skb-record.ts";
import type { SkbSlab } from "./skb-slab.ts";

/**
 * Copies bytes `[offset, offset + lenBytes)` of the packet to the start of `dst`, across head, fragments and fragment
 * list. Makes one view per piece: not for the data path. Kernel: `skb_copy_bits`.
 *
 * @throws `ERR_NETMEM_OUT_OF_RANGE` (EFAULT) when the packet or `dst` is shorter; `ERR_NETMEM_UNREADABLE` (EFAULT) when
 * the range touches memory that the CPU cannot read (`dst` may be written in part then); `ERR_NETMEM_STALE_SKB`.
 */
export function copyBits(slab: SkbSlab, skb: SkbRef, offset: number, dst: Uint8Array, lenBytes: number): void {
  const at = slab.check(skb);
  const len = slab.i32[at + SKB_LEN]!;
  if (offset < 0 || lenBytes < 0 || offset + lenBytes > len) failRange(offset, lenBytes, len);
  if (lenBytes > dst.length) failRange(0, lenBytes, dst.length);
  new BitsCopy(slab, dst, offset, offset + lenBytes).copySkb(at, 0);
}

/** One copy of a range `[from, to)` of packet positions. */
class BitsCopy {
  declare private readonly slab: SkbSlab;
  declare private readonly dst: Uint8Array;
  declare private readonly from: number;
  declare private readonly to: number;

  constructor(slab: SkbSlab, dst: Uint8Array, from: number, to: number) {
    this.slab = slab;
    this.dst = dst;
    this.from = from;
    this.to = to;
  }

  /** `start` is the packet position of the skb's first byte. */
  copySkb(at: number, start: number): void {
    const i32 = this.slab.i32;
    const shinfo = i32[at + SKB_SHINFO]!;
    const headLen = i32[at + SKB_LEN]! - i32[at + SKB_DATA_LEN]!;
    if (this.touches(start, headLen)) this.copyPiece(i32[at + SKB_DATA]!, start, headLen);
    let pos = start + headLen;
    for (let n = 0; n < i32[shinfo + SHINFO_NR_FRAGS]!; n++) pos = this.copyFrag(fragAt(shinfo, n), pos);
    for (let child = i32[shinfo + SHINFO_FRAG_LIST]!; child !== 0;) {
      const childAt = this.slab.check(child as SkbRef);
      this.copySkb(childAt, pos);
      pos += i32[childAt + SKB_LEN]!;
      child = i32[childAt + SKB_NEXT]!;
    }
  }

  private copyFrag(at: number, start: number): number {
    const { i32, host } = this.slab;
    const len = i32[at + FRAG_LEN]!;
    if (this.touches(start, len)) {
      this.copyPiece(host.offsetOf(i32[at + FRAG_REF]! as ReadableRef) + i32[at + FRAG_OFFSET]!, start, len);
    }
    return start + len;
  }

  private touches(start: number, len: number): boolean {
    return start < this.to && start + len > this.from;
  }

  private copyPiece(arenaOffset: number, start: number, len: number): void {
    const from = Math.max(this.from, start);
    const to = Math.min(this.to, start + len);
    this.dst.set(this.slab.host.u8.subarray(arenaOffset + from - start, arenaOffset + to - start), from - this.from);
  }
}

function failRange(offset: number, lenBytes: number, available: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_OUT_OF_RANGE",
    errno: "EFAULT",
    reason: `bytes ${offset} to ${offset + lenBytes} are not inside ${available} bytes`,
    remedy: "Ask for a range of the packet that dst has room for.",
    param: "lenBytes",
    value: lenBytes,
  });
}
