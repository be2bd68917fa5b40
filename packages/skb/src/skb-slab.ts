/*
 * data path
 *
 * Where skbs live: fixed-size records and their free list, both in the arena. Header words:
 *   0  first free slot, -1 when none      1  live skbs
 *  16  drop counters, one per reason
 */
import { checkInt, type Host, NetmemError } from "@netmem/core";
import { DROP_REASON_COUNT } from "./drop-reason.ts";
import {
  SKB_GEN_MAX,
  SKB_NEXT as SKB_NEXT_,
  SKB_SLOT_BITS,
  SKB_WORDS as SKB_WORDS_,
  type SkbRef,
} from "./skb-record.ts";

const WORDS = SKB_WORDS_;
const NEXT = SKB_NEXT_;
const SLOT_BITS = SKB_SLOT_BITS;
const GEN_MAX = SKB_GEN_MAX;

const FREE_HEAD = 0;
const LIVE = 1;
const DROPS = 16;
const HEADER_WORDS = DROPS + DROP_REASON_COUNT;

const MAX_SKBS = 65536;
const DEFAULT_SKBS = 16384;

export interface SkbSlabParams {
  /** Skbs that can be live at once, 1 to 65536; rounded up to a power of two. Default 16384 (1 MiB). */
  readonly skbCount?: number;
}

/** The skbs of one host. Every function on skbs takes the slab first. */
export class SkbSlab {
  declare readonly host: Host;
  declare readonly i32: Int32Array;
  /** Skbs that can be live at once. */
  declare readonly capacity: number;
  /** Word offset of the first record. */
  declare readonly recordsAt: number;
  declare private readonly headerAt: number;
  declare private readonly slotMask: number;

  /**
   * Takes 64 bytes of the arena per skb; {@link dispose} gives them back.
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL), `ERR_NETMEM_NO_MEMORY` (ENOMEM).
   */
  constructor(host: Host, params: SkbSlabParams = {}) {
    const wanted = checkInt("skbCount", params.skbCount ?? DEFAULT_SKBS, 1, MAX_SKBS);
    this.capacity = wanted === 1 ? 1 : 1 << (32 - Math.clz32(wanted - 1));
    this.host = host;
    this.i32 = host.i32;
    this.slotMask = this.capacity - 1;
    this.headerAt = host.heap.allocWords(HEADER_WORDS);
    this.recordsAt = host.heap.allocWords(this.capacity * WORDS);
    this.linkAll();
  }

  /** Skbs that were built and not given back. */
  get liveCount(): number {
    return this.i32[this.headerAt + LIVE]!;
  }

  /** Skbs dropped for a reason so far, modulo 2^32. */
  dropCount(reason: number): number {
    return this.i32[this.headerAt + DROPS + reason]! >>> 0;
  }

  /** A live skb with an unwritten record, 0 when all are in use. 2 ns. */
  alloc(): SkbRef | 0 {
    const at = this.allocAt();
    return at === 0 ? 0 : (this.i32[at]! as SkbRef);
  }

  /** As {@link alloc}, but returns the word offset of the record; its first word is the skb. */
  allocAt(): number {
    const i32 = this.i32;
    const slot = i32[this.headerAt + FREE_HEAD]!;
    if (slot < 0) return 0;
    const at = this.recordsAt + slot * WORDS;
    i32[this.headerAt + FREE_HEAD] = i32[at + NEXT]!;
    i32[this.headerAt + LIVE] = i32[this.headerAt + LIVE]! + 1;
    i32[at] = -i32[at]!;
    i32[at + NEXT] = 0;
    return at;
  }

  /** Word offset of the record of an skb just taken by {@link alloc}, or checked before. */
  recordAt(skb: SkbRef): number {
    return this.recordsAt + (skb & this.slotMask) * WORDS;
  }

  /**
   * Word offset of a live skb's record.
   * @throws `ERR_NETMEM_STALE_SKB` for an skb that was given back already, or never built.
   */
  check(skb: SkbRef): number {
    const at = this.recordsAt + (skb & this.slotMask) * WORDS;
    if (this.i32[at] !== skb || skb <= 0) failStale(skb, this.i32[at]!);
    return at;
  }

  /** Gives the record back. The skb's buffers must have been released. */
  free(skb: SkbRef): void {
    const i32 = this.i32;
    const at = this.recordAt(skb);
    const gen = skb >>> SLOT_BITS;
    i32[at] = -((skb & this.slotMask) | ((gen === GEN_MAX ? 1 : gen + 1) << SLOT_BITS));
    i32[at + NEXT] = i32[this.headerAt + FREE_HEAD]!;
    i32[this.headerAt + FREE_HEAD] = skb & this.slotMask;
    i32[this.headerAt + LIVE] = i32[this.headerAt + LIVE]! - 1;
  }

  /** Counts a drop. `reason` is 0 to 31. */
  countDrop(reason: number): void {
    const at = this.headerAt + DROPS + (reason & (DROP_REASON_COUNT - 1));
    this.i32[at] = (this.i32[at]! + 1) | 0;
  }

  /**
   * Gives the slab's memory back.
   * @throws `ERR_NETMEM_BUSY` (EBUSY) while skbs are live.
   */
  dispose(): void {
    if (this.liveCount !== 0) failBusy(this.liveCount);
    this.host.heap.freeWords(this.recordsAt, this.capacity * WORDS);
    this.host.heap.freeWords(this.headerAt, HEADER_WORDS);
  }

  private linkAll(): void {
    for (let slot = 0; slot < this.capacity; slot++) {
      const at = this.recordsAt + slot * WORDS;
      this.i32[at] = -(slot | (1 << SLOT_BITS));
      this.i32[at + NEXT] = slot + 1 < this.capacity ? slot + 1 : -1;
    }
  }
}

function failStale(skb: number, found: number): never {
  const now = found > 0 ? `live as 0x${found.toString(16)}` : "free";
  throw new NetmemError({
    code: "ERR_NETMEM_STALE_SKB",
    reason: `skb 0x${(skb >>> 0).toString(16)} is not live; its slot is ${now}`,
    remedy: "Consume or drop every skb exactly once, and forget it then.",
    param: "skb",
    value: skb,
  });
}

function failBusy(liveCount: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_BUSY",
    errno: "EBUSY",
    reason: `${liveCount} skbs are still live`,
    remedy: "Consume them before giving up the slab.",
    param: "liveCount",
    value: liveCount,
  });
}
