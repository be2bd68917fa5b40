import type { NetmemRef, ReadableRef } from "@netmem/core";
import {
  FRAG_LEN,
  FRAG_OFFSET,
  FRAG_REF,
  FRAG_TRUESIZE,
  fragAt,
  SHINFO_DATAREF,
  SHINFO_FRAG_LIST,
  SHINFO_GSO,
  SHINFO_HARD_START,
  SHINFO_HASH,
  SHINFO_HEAD,
  SHINFO_IFINDEX,
  SHINFO_NR_FRAGS,
  SHINFO_QUEUE,
} from "./shared-info.ts";
import { isClonedAt } from "./skb-head.ts";
import {
  SKB_DATA,
  SKB_DATA_LEN,
  SKB_FLAGS,
  SKB_LEN,
  SKB_NEXT,
  SKB_SHINFO,
  SKB_TRUESIZE,
  SkbFlag,
  type SkbRef,
} from "./skb-record.ts";
import type { SkbSlab } from "./skb-slab.ts";

/**
 * Reads an skb. Make one per thread and point it at one skb after another; reading allocates nothing. Every property
 * is of the skb given to the last {@link of}, which must still be live.
 */
export class SkbView {
  declare private readonly i32: Int32Array;
  declare private at: number;
  declare private readonly slab: SkbSlab;

  constructor(slab: SkbSlab) {
    this.i32 = slab.i32;
    this.at = 0;
    this.slab = slab;
  }

  /**
   * Points the view at `skb` and returns the view.
   * @throws `ERR_NETMEM_STALE_SKB`
   */
  of(skb: SkbRef): this {
    this.at = this.slab.check(skb);
    return this;
  }

  /** Bytes of the packet, fragments and fragment list included. */
  get len(): number {
    return this.i32[this.at + SKB_LEN]!;
  }
  /** Bytes that are not in the head buffer. */
  get dataLen(): number {
    return this.i32[this.at + SKB_DATA_LEN]!;
  }
  /** Bytes in the head buffer (kernel: `skb_headlen`). */
  get headLen(): number {
    return this.len - this.dataLen;
  }
  /** Arena byte offset of the first packet byte. */
  get data(): number {
    return this.i32[this.at + SKB_DATA]!;
  }
  get head(): NetmemRef {
    return this.i32[this.shinfo + SHINFO_HEAD]! as NetmemRef;
  }
  /** Bytes of memory that the packet occupies. */
  get truesize(): number {
    return this.i32[this.at + SKB_TRUESIZE]!;
  }
  /** {@link SkbFlag} */
  get flags(): number {
    return this.i32[this.at + SKB_FLAGS]!;
  }
  get ppRecycle(): boolean {
    return (this.flags & SkbFlag.PpRecycle) !== 0;
  }
  get unreadable(): boolean {
    return (this.flags & SkbFlag.Unreadable) !== 0;
  }
  /** Whether clones share the data now. */
  get cloned(): boolean {
    return isClonedAt(this.slab, this.at);
  }
  /** Bytes in front of the packet in its head buffer. */
  get headroom(): number {
    return this.data - this.i32[this.shinfo + SHINFO_HARD_START]!;
  }
  /** Bytes behind the linear part in the head buffer, shared info excluded. */
  get tailroom(): number {
    return (this.shinfo << 2) - this.data - this.headLen;
  }
  /** Payload bytes of each segment but the last of a merged packet, 0 for an ordinary one. */
  get gsoSize(): number {
    return this.i32[this.shinfo + SHINFO_GSO]! & 0xffff;
  }
  /** Segments of a merged packet, 0 for an ordinary one. */
  get gsoSegs(): number {
    return this.i32[this.shinfo + SHINFO_GSO]! >>> 16;
  }
  get hash(): number {
    return this.i32[this.shinfo + SHINFO_HASH]!;
  }
  /** RX queue that received the packet. */
  get queueIdx(): number {
    return this.i32[this.shinfo + SHINFO_QUEUE]!;
  }
  /** Device that received the packet. */
  get ifindex(): number {
    return this.i32[this.shinfo + SHINFO_IFINDEX]!;
  }
  get next(): SkbRef | 0 {
    return this.i32[this.at + SKB_NEXT]! as SkbRef;
  }
  get nrFrags(): number {
    return this.i32[this.shinfo + SHINFO_NR_FRAGS]!;
  }
  /** Holders of the data. */
  get dataref(): number {
    return this.i32[this.shinfo + SHINFO_DATAREF]!;
  }
  /** First skb of the fragment list. */
  get fragList(): SkbRef | 0 {
    return this.i32[this.shinfo + SHINFO_FRAG_LIST]! as SkbRef;
  }

  /** Netmem of fragment `fragIdx`, 0 to nrFrags - 1; the index is not checked. Narrow it before touching bytes. */
  fragRef(fragIdx: number): NetmemRef {
    return this.i32[this.fragAt(fragIdx) + FRAG_REF]! as NetmemRef;
  }
  /** Where fragment `fragIdx` starts, in bytes from the first byte of its netmem. */
  fragOffset(fragIdx: number): number {
    return this.i32[this.fragAt(fragIdx) + FRAG_OFFSET]!;
  }
  fragLen(fragIdx: number): number {
    return this.i32[this.fragAt(fragIdx) + FRAG_LEN]!;
  }
  fragTruesize(fragIdx: number): number {
    return this.i32[this.fragAt(fragIdx) + FRAG_TRUESIZE]!;
  }

  /**
   * Arena byte offset of a fragment's first byte.
   * @throws `ERR_NETMEM_UNREADABLE` (EFAULT) for memory that the CPU cannot read.
   */
  fragData(fragIdx: number): number {
    return this.slab.host.offsetOf(this.fragRef(fragIdx) as ReadableRef) + this.fragOffset(fragIdx);
  }

  /** Word offset of the shared info. */
  private get shinfo(): number {
    return this.i32[this.at + SKB_SHINFO]!;
  }

  private fragAt(fragIdx: number): number {
    return fragAt(this.shinfo, fragIdx);
  }
}
