/* data path */
import { NetmemError, type ReadableRef } from "@netmem/core";
import {
  FRAG_LEN as FRAG_LEN_,
  FRAG_OFFSET as FRAG_OFFSET_,
  FRAG_REF as FRAG_REF_,
  fragAt as fragAt_,
  SHINFO_FRAG_LIST as SHINFO_FRAG_LIST_,
  SHINFO_NR_FRAGS as SHINFO_NR_FRAGS_,
} from "./shared-info.ts";
import {
  SKB_DATA as SKB_DATA_,
  SKB_DATA_LEN as SKB_DATA_LEN_,
  SKB_LEN as SKB_LEN_,
  SKB_NEXT as SKB_NEXT_,
  SKB_SHINFO as SKB_SHINFO_,
  type SkbRef,
} from "./skb-record.ts";
import type { SkbSlab } from "./skb-slab.ts";

const FRAG_LEN = FRAG_LEN_;
const FRAG_OFFSET = FRAG_OFFSET_;
const FRAG_REF = FRAG_REF_;
const fragAt = fragAt_;
const FRAG_LIST = SHINFO_FRAG_LIST_;
const NR_FRAGS = SHINFO_NR_FRAGS_;
const DATA = SKB_DATA_;
const DATA_LEN = SKB_DATA_LEN_;
const LEN = SKB_LEN_;
const NEXT = SKB_NEXT_;
const SHINFO = SKB_SHINFO_;

/** Fragment lists inside fragment lists; the kernel's own makers nest once. */
const MAX_DEPTH = 8;
const HEAD_PIECE = -1;

/**
 * Walks the bytes of a packet piece by piece, in place: head, fragments, fragment list (kernel: `skb_seq_read`).
 * Allocates nothing; make one per thread.
 *
 * ```ts
 * seq.start(skb, 0, len);
 * while (seq.next()) use(host.u8, seq.offset, seq.len);
 * ```
 */
export class SkbSeq {
  /** Arena byte offset of the current piece. */
  declare offset: number;
  /** Bytes of the current piece. */
  declare len: number;
  declare private readonly slab: SkbSlab;
  declare private at: number;
  declare private piece: number;
  /** Bytes to skip before the first piece, and bytes left to hand out. */
  declare private skip: number;
  declare private left: number;
  declare private depth: number;
  declare private readonly parents: Int32Array;

  constructor(slab: SkbSlab) {
    this.offset = 0;
    this.len = 0;
    this.slab = slab;
    this.at = 0;
    this.piece = 0;
    this.skip = 0;
    this.left = 0;
    this.depth = 0;
    this.parents = new Int32Array(MAX_DEPTH);
  }

  /**
   * Starts before byte `offset` of the packet; `lenBytes` bytes will be walked.
   * @throws `ERR_NETMEM_OUT_OF_RANGE` (EFAULT) when the packet is shorter, `ERR_NETMEM_STALE_SKB`.
   */
  start(skb: SkbRef, offset: number, lenBytes: number): void {
    const at = this.slab.check(skb);
    const len = this.slab.i32[at + LEN]!;
    if (offset < 0 || lenBytes < 0 || offset + lenBytes > len) failRange(offset, lenBytes, len);
    this.at = at;
    this.piece = HEAD_PIECE;
    this.skip = offset;
    this.left = lenBytes;
    this.depth = 0;
  }

  /**
   * Goes to the next piece; false at the end.
   * @throws `ERR_NETMEM_UNREADABLE` (EFAULT) when it is memory that the CPU cannot read.
   */
  next(): boolean {
    const i32 = this.slab.i32;
    while (this.left > 0) {
      const shinfo = i32[this.at + SHINFO]!;
      if (this.piece === HEAD_PIECE) {
        this.piece = 0;
        if (this.take(i32[this.at + LEN]! - i32[this.at + DATA_LEN]!)) return this.place(i32[this.at + DATA]!);
      } else if (this.piece < i32[shinfo + NR_FRAGS]!) {
        const frag = fragAt(shinfo, this.piece++);
        if (this.take(i32[frag + FRAG_LEN]!)) {
          const start = this.slab.host.offsetOf(i32[frag + FRAG_REF]! as ReadableRef);
          return this.place(start + i32[frag + FRAG_OFFSET]!);
        }
      } else this.enter(i32[shinfo + FRAG_LIST]!);
    }
    return false;
  }

  /** Whether a piece of `size` bytes holds some that are asked for; {@link skip} says from where then. */
  private take(size: number): boolean {
    if (this.skip >= size) {
      this.skip -= size;
      return false;
    }
    const rest = size - this.skip;
    this.len = rest < this.left ? rest : this.left;
    return true;
  }

  private place(start: number): boolean {
    this.offset = start + this.skip;
    this.skip = 0;
    this.left -= this.len;
    return true;
  }

  /** Down to the first child, else on to the next sibling of this skb or of the nearest parent that has one. */
  private enter(child: number): void {
    const { slab, parents } = this;
    let next = child;
    if (next !== 0) {
      if (this.depth === MAX_DEPTH) failCorrupt();
      parents[this.depth++] = this.at;
    }
    while (next === 0) {
      // A top-level skb's own link leads out of the packet.
      if (this.depth === 0) failCorrupt();
      next = slab.i32[this.at + NEXT]!;
      if (next === 0) this.at = parents[--this.depth]!;
    }
    this.at = slab.check(next as SkbRef);
    this.piece = HEAD_PIECE;
  }
}

/** Throws `ERR_NETMEM_OUT_OF_RANGE` (EFAULT). */
export function failRange(offset: number, lenBytes: number, available: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_OUT_OF_RANGE",
    errno: "EFAULT",
    reason: `bytes ${offset} to ${offset + lenBytes} are not inside ${available} bytes`,
    remedy: "Ask for a range of the packet that dst has room for.",
    param: "lenBytes",
    value: lenBytes,
  });
}

function failCorrupt(): never {
  throw new NetmemError({
    code: "ERR_NETMEM_SKB_CORRUPT",
    reason: "an skb has fewer bytes than its length says, or fragment lists nested deeper than 8",
    remedy: "Change lengths and fragments through the functions of this package only.",
    param: "skb",
  });
}
