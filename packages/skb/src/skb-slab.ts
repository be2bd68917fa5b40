/*
 * data path
 *
 * Where skbs live: fixed-size records and their free list, both in the arena. Free records are linked by the word offsets
 * of their link words. Header words:
 *   0  first free record, 0 when none    1  0: what other threads find free
 *  16  records that other threads gave back
 *  32  drop counters, one per reason
 */
import { checkInt, failWrongThread, fetchAdd as fetchAdd_, type Host, NetmemError } from "@netmem/core";
import { claimRecord as claimRecord_, pushRecords as pushRecords_, takeRecords as takeRecords_ } from "@netmem/ring";
import { DROP_REASON_COUNT } from "./drop-reason.ts";
import { SKB_NEXT as SKB_NEXT_, SKB_WORDS as SKB_WORDS_, type SkbRef } from "./skb-record.ts";
import { SkbSeq } from "./skb-seq.ts";

const WORDS = SKB_WORDS_;
/** log2 of it: a shift cannot overflow, and V8 need not look. */
const WORDS_SHIFT = 3;
const NEXT = SKB_NEXT_;
const GEN_ONE = 1 << 20;
/** Set in every reference, so that none is 0. */
const MARK = GEN_ONE >> 1;
const REF_MASK = 0x3fffffff;

const claimRecord = claimRecord_;
const fetchAdd = fetchAdd_;
const pushRecords = pushRecords_;
const takeRecords = takeRecords_;

const FREE_HEAD = 0;
const NOTHING_FREE = 1;
const REMOTE_HEAD = 16;
const DROPS = 32;
const HEADER_WORDS = DROPS + DROP_REASON_COUNT;

const MAX_SKBS = 65536;
const DEFAULT_SKBS = 16384;

export interface SkbSlabParams {
  /** Skbs that can be live at once, 1 to 65536; rounded up to a power of two. Default 16384 (512 KiB). */
  readonly skbCount?: number;
}

/** What another thread needs to read skbs and give them back: see {@link SkbSlab.share}. Post it as it is. */
export interface SharedSkbSlab {
  readonly headerAt: number;
  readonly recordsAt: number;
  readonly capacity: number;
}

/**
 * The skbs of one thread of a host. Every function on skbs takes the slab first. Skbs are made on the thread that made
 * the slab; with {@link share} others read, change and consume them, one thread at a time.
 */
export class SkbSlab {
  declare readonly host: Host;
  declare readonly i32: Int32Array;
  /** Skbs that can be live at once. */
  declare readonly capacity: number;
  /** Word offset of the first record. */
  declare readonly recordsAt: number;
  /** By how much the last `tryCoalesce` let `truesize` grow, in bytes. */
  declare lastTruesize: number;
  /** @internal The walker that the functions of this package use; each is done with it when it returns. */
  declare readonly seq: SkbSeq;
  declare private readonly headerAt: number;
  /** Word that names the first free record: one that is always 0 on other threads. */
  declare private readonly freeAt: number;
  declare private readonly slotMask: number;
  /** 1 on the threads that the slab was shared with. */
  declare private readonly foreign: 0 | 1;
  declare private isDisposed: boolean;

  /**
   * Takes 32 bytes of the arena per skb; {@link dispose} gives them back. With what {@link share} returned: the same
   * skbs, on another thread.
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL), `ERR_NETMEM_NO_MEMORY` (ENOMEM).
   */
  constructor(host: Host, params: SkbSlabParams | SharedSkbSlab = {}) {
    const isShared = "recordsAt" in params;
    const memory = isShared ? params : allocMemory(host, capacityOf(params));
    this.host = host;
    this.i32 = host.i32;
    this.capacity = memory.capacity;
    this.recordsAt = memory.recordsAt;
    this.lastTruesize = 0;
    this.seq = new SkbSeq(this);
    this.headerAt = memory.headerAt;
    this.freeAt = this.headerAt + (isShared ? NOTHING_FREE : FREE_HEAD);
    this.slotMask = this.capacity - 1;
    this.foreign = isShared ? 1 : 0;
    this.isDisposed = false;
    if (!isShared) this.linkAll();
  }

  /** What to post to another thread of the host; it passes it to the constructor. Call `host.share()` first. */
  share(): SharedSkbSlab {
    return { headerAt: this.headerAt, recordsAt: this.recordsAt, capacity: this.capacity };
  }

  /** Skbs that were made and not given back, on any thread. Control path: looks at every record. */
  get liveCount(): number {
    let live = 0;
    for (let slot = 0; slot < this.capacity; slot++) if (this.i32[this.recordsAt + slot * WORDS]! > 0) live++;
    return live;
  }

  /** Skbs dropped for a reason so far, modulo 2^32. */
  dropCount(reason: number): number {
    return this.i32[this.headerAt + DROPS + reason]! >>> 0;
  }

  /**
   * A live skb with an unwritten record, 0 when all are in use. 2 ns.
   * @throws `ERR_NETMEM_WRONG_THREAD` on a thread that the slab was shared with.
   */
  alloc(): SkbRef | 0 {
    const at = this.allocAt();
    return at === 0 ? 0 : (this.i32[at]! as SkbRef);
  }

  /** @internal Throws what {@link alloc} would, for callers that take something else first. */
  checkThread(): void {
    if (this.foreign !== 0) failWrongThread("an skb allocation");
  }

  /** As {@link alloc}, but returns the word offset of the record; its first word is the skb. */
  allocAt(): number {
    const i32 = this.i32;
    const link = i32[this.freeAt]!;
    // A call that ends the function: V8 would look at everything again behind one that comes back.
    if (link === 0) return this.allocCollected();
    const at = link - NEXT;
    i32[this.freeAt] = i32[link]!;
    i32[at] = -i32[at]! | 0;
    i32[link] = 0;
    return at;
  }

  /** Word offset of the record of an skb just taken by {@link alloc}, or checked before. */
  recordAt(skb: SkbRef): number {
    return this.recordsAt + ((skb & this.slotMask) << WORDS_SHIFT);
  }

  /**
   * Word offset of a live skb's record.
   * @throws `ERR_NETMEM_STALE_SKB` for an skb that was given back already, or never built.
   */
  check(skb: SkbRef): number {
    const at = this.recordsAt + ((skb & this.slotMask) << WORDS_SHIFT);
    // What a free record says is negative, and no reference.
    if (this.i32[at] !== skb) failStale(this.i32, at, skb);
    return at;
  }

  /** Gives the record at `at`, which {@link check} returned for `skb`, back. The skb's buffers must have been released. */
  free(skb: SkbRef, at: number): void {
    if (this.foreign !== 0) return this.freeRemote(skb, at);
    const i32 = this.i32;
    i32[at] = nextWord(skb);
    i32[at + NEXT] = i32[this.freeAt]!;
    i32[this.freeAt] = at + NEXT;
  }

  /** Counts a drop. `reason` is 0 to 63. */
  countDrop(reason: number): void {
    fetchAdd(this.host, this.headerAt + DROPS + (reason & (DROP_REASON_COUNT - 1)), 1);
  }

  /**
   * Gives the slab's memory back, on the thread that made it; it must not be used any more, on any. A second call does
   * nothing.
   * @throws `ERR_NETMEM_BUSY` (EBUSY) while skbs are live, `ERR_NETMEM_WRONG_THREAD`.
   */
  dispose(): void {
    if (this.foreign !== 0) failWrongThread("SkbSlab.dispose");
    if (this.isDisposed) return;
    const live = this.liveCount;
    if (live !== 0) failBusy(live);
    this.isDisposed = true;
    freeSkbSlab(this.host, this.share());
  }

  /** The record goes to the stack that its own thread empties when it has no free one left. */
  private freeRemote(skb: SkbRef, at: number): void {
    const i32 = this.i32;
    if (!claimRecord(i32, at, skb, nextWord(skb))) failStale(i32, at, skb);
    pushRecords(i32, this.headerAt + REMOTE_HEAD, at + NEXT, at + NEXT);
  }

  /** Takes what other threads gave back first. */
  private allocCollected(): number {
    this.checkThread();
    if (this.host.threaded === 0) return 0;
    const first = takeRecords(this.i32, this.headerAt + REMOTE_HEAD);
    this.i32[this.freeAt] = first;
    return first === 0 ? 0 : this.allocAt();
  }

  private linkAll(): void {
    for (let slot = 0; slot < this.capacity; slot++) {
      const at = this.recordsAt + slot * WORDS;
      this.i32[at] = -(slot | MARK);
      this.i32[at + NEXT] = slot + 1 < this.capacity ? at + WORDS + NEXT : 0;
    }
    this.i32[this.freeAt] = this.recordsAt + NEXT;
  }
}

/**
 * Gives back the memory of a slab whose thread has died, from what {@link SkbSlab.share} said there. Its skbs are gone;
 * buffers in them are whoever's who reclaims that thread.
 */
export function freeSkbSlab(host: Host, { headerAt, recordsAt, capacity }: SharedSkbSlab): void {
  host.heap.freeWords(recordsAt, capacity * WORDS);
  host.heap.freeWords(headerAt, HEADER_WORDS);
}

function allocMemory({ heap }: Host, capacity: number): SharedSkbSlab {
  const recordsAt = heap.allocWords(capacity * WORDS);
  try {
    return { headerAt: heap.allocWords(HEADER_WORDS), recordsAt, capacity };
  } catch (error) {
    heap.freeWords(recordsAt, capacity * WORDS);
    throw error;
  }
}

/** What a record says while free: minus the reference it will have next. */
function nextWord(skb: SkbRef): number {
  return -((skb + GEN_ONE) & REF_MASK) | 0;
}

function capacityOf(params: SkbSlabParams): number {
  const wanted = checkInt("skbCount", params.skbCount ?? DEFAULT_SKBS, 1, MAX_SKBS);
  return wanted === 1 ? 1 : 1 << (32 - Math.clz32(wanted - 1));
}

function failStale(i32: Int32Array, at: number, skb: number): never {
  const found = i32[at]!;
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
