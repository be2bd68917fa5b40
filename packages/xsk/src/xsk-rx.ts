/*
 * data path
 *
 * The receiving half of a user's end: references go into the fill ring as addresses, and come out of the RX ring as
 * references. What the other end says is checked against what was posted: the state word of the chunk, state and
 * generation of its buffer. What does not fit is counted and changes nothing.
 */
import {
  GEN_ONE as GEN_ONE_,
  GEN_SHIFT as GEN_SHIFT_,
  type Host,
  IDX_MASK as IDX_MASK_,
  META_GEN_MASK,
  META_OUT,
  META_POSTED,
  META_SHARED,
  META_STATE_MASK,
  type NetmemRef,
  REF_MASK as REF_MASK_,
  returnNetmem as returnNetmem_,
} from "@netmem/core";
import { DescOption } from "./abi.ts";
import { AddrProducer } from "./addr-ring.ts";
import { DescConsumer } from "./desc-ring.ts";
import type { QueueBooks } from "./queue-books.ts";
import type { XskRingLayout } from "./ring-layout.ts";
import { failPost } from "./rings-errors.ts";
import type { Umem } from "./umem.ts";

const GEN_ONE = GEN_ONE_;
const GEN_SHIFT = GEN_SHIFT_;
const IDX_MASK = IDX_MASK_;
const REF_MASK = REF_MASK_;
const GEN_MASK = META_GEN_MASK;
const STATE_MASK = META_STATE_MASK;
const OUT = META_OUT;
const POSTED = META_POSTED;
const POSTED_TO_OUT = META_POSTED ^ META_OUT;
const PLAIN_MASK = META_STATE_MASK | META_GEN_MASK | META_SHARED;
const LIVE_MASK = META_STATE_MASK | META_GEN_MASK;
const CONTD = DescOption.PktContd;
const returnNetmem = returnNetmem_;

export class XskRx {
  declare private readonly i32: Int32Array;
  declare private readonly fill: AddrProducer | null;
  declare private readonly ring: DescConsumer | null;
  declare private readonly books: QueueBooks;
  declare private readonly statesAt: number;
  declare private readonly firstIdx: number;
  declare private readonly chunkCount: number;
  /** Arena byte offset of address 0. */
  declare private readonly base: number;
  declare private readonly shift: number;
  declare private readonly chunkSizeBytes: number;
  declare private readonly tag: number;
  declare private readonly isAligned: boolean;
  declare private readonly capacity: number;
  declare private readonly maxPacketDescs: number;
  /** The rest of a packet that had too many pieces is being dropped. */
  declare private isSkipping: boolean;
  declare readonly refs: Int32Array;
  declare readonly offsets: Int32Array;
  declare readonly lengths: Int32Array;
  declare readonly options: Int32Array;
  /** Arena byte offset of the data that {@link accept} found. */
  declare private lastOffset: number;
  /** Descriptors that {@link receiveUnusual} used. */
  declare private lastLength: number;
  declare badAddr: number;
  declare broken: number;
  declare private readonly host: Host;
  declare private readonly umem: Umem;

  constructor(
    umem: Umem,
    books: QueueBooks,
    fill: XskRingLayout | null,
    ring: XskRingLayout | null,
    batch: number,
    maxPacketDescs: number,
  ) {
    const { host, geometry } = umem;
    const capacity = Math.max(batch, maxPacketDescs) | 0;
    this.i32 = host.i32;
    this.fill = fill === null ? null : new AddrProducer(host.i32, fill);
    this.ring = ring === null ? null : new DescConsumer(host.i32, ring);
    this.books = books;
    this.statesAt = umem.statesAt;
    this.firstIdx = umem.firstIdx;
    this.chunkCount = geometry.chunkCount;
    this.base = geometry.offset;
    this.shift = geometry.shift;
    this.chunkSizeBytes = geometry.chunkSizeBytes;
    this.tag = umem.tag;
    this.isAligned = geometry.isAligned;
    this.capacity = capacity;
    this.maxPacketDescs = maxPacketDescs;
    this.isSkipping = false;
    this.refs = new Int32Array(capacity);
    this.offsets = new Int32Array(capacity);
    this.lengths = new Int32Array(capacity);
    this.options = new Int32Array(capacity);
    this.lastOffset = 0;
    this.lastLength = 0;
    this.badAddr = 0;
    this.broken = 0;
    this.host = host;
    this.umem = umem;
  }

  fillRoom(want: number): number {
    return this.fill === null ? 0 : this.fill.room(want);
  }

  fillNeedsWakeup(): boolean {
    return this.fill !== null && this.fill.needsWakeup();
  }

  /** Entries of the fill and of the RX ring that the other end has not taken, or this one. Control path. */
  get filledCounts(): readonly [fill: number, rx: number] {
    return [this.fill?.filledCount ?? 0, this.ring?.filledCount ?? 0];
  }

  get corruptCount(): number {
    return (this.fill?.corruptCount ?? 0) + (this.ring?.corruptCount ?? 0);
  }

  post(refs: Int32Array, n: number): number {
    const { fill } = this;
    if (fill === null) return 0;
    const room = fill.room(n);
    const count = room < n ? room : n;
    if (count <= 0) return 0;
    const { i32, books, statesAt, firstIdx, chunkCount, shift, chunkSizeBytes, tag, isAligned } = this;
    const { fillTag } = books;
    for (let k = 0; k < count; k++) {
      const ref = refs[k]!;
      const idx = (ref >>> 1) & IDX_MASK;
      const chunk = idx - firstIdx;
      const meta = i32[idx]!;
      const isPlain = (meta & PLAIN_MASK) === (OUT | (ref >> GEN_SHIFT)) && (ref & 1) === tag;
      if (!isPlain || chunk >>> 0 >= chunkCount || i32[statesAt + chunk] !== 0) return this.failPostAt(refs, k);
      i32[idx] = (meta & ~LIVE_MASK) | POSTED | (((ref + GEN_ONE) & REF_MASK) >>> GEN_SHIFT);
      i32[statesAt + chunk] = fillTag;
      const at = fill.at(k);
      i32[at] = isAligned ? chunk << shift : (chunk * chunkSizeBytes) | 0;
      i32[at + 1] = 0;
    }
    books.fillPosted += count;
    fill.advance(count);
    fill.submit();
    return count;
  }

  receive(max: number): number {
    const { ring } = this;
    if (ring === null) return 0;
    const count = ring.peek(max < this.capacity ? max : this.capacity);
    if (count === 0) return 0;
    let k = 0;
    let n = 0;
    while (k < count) {
      const plain = this.receivePlain(ring, k, count, n);
      k += plain;
      n += plain;
      if (k >= count) break;
      n = this.receiveUnusual(ring, k, n);
      if (this.lastLength === 0) break;
      k += this.lastLength;
    }
    if (k > 0) ring.release(k);
    return n;
  }

  /**
   * Packets of one aligned chunk each, from the `k`-th descriptor on until one is something else, as results from `n` on.
   * Returns how many. The loop calls nothing: see docs/decisions/0007.
   */
  private receivePlain(ring: DescConsumer, k: number, count: number, n: number): number {
    if (!this.isAligned || this.isSkipping) return 0;
    const { i32, books, refs, offsets, lengths, options, statesAt, firstIdx, chunkCount, shift, base, tag } = this;
    const { fillTag } = books;
    const mask = this.chunkSizeBytes - 1;
    const max = count - k;
    let done = 0;
    for (; done < max; done++) {
      const d = ring.at(k + done);
      const low = i32[d]!;
      const len = i32[d + 2]!;
      const chunk = low >>> shift;
      const meta = chunk < chunkCount ? i32[firstIdx + chunk]! : 0;
      const isPlain = (i32[d + 3]! & CONTD) === 0 && i32[d + 1] === 0 && (meta & STATE_MASK) === POSTED;
      if (!isPlain || i32[statesAt + chunk] !== fillTag || (low & mask) + len - 1 > mask || len <= 0) break;
      i32[firstIdx + chunk] = meta ^ POSTED_TO_OUT;
      i32[statesAt + chunk] = 0;
      refs[n + done] = ((meta & GEN_MASK) << GEN_SHIFT) | ((firstIdx + chunk) << 1) | tag;
      offsets[n + done] = base + low;
      lengths[n + done] = len;
      options[n + done] = i32[d + 3]!;
    }
    books.fillPosted -= done;
    return done;
  }

  /** Sends home what was posted and not received. Returns how many. Control path. */
  takeAllBack(): number {
    const { i32, host, books, statesAt } = this;
    let count = 0;
    for (let chunk = 0; chunk < this.chunkCount; chunk++) {
      if (i32[statesAt + chunk] !== books.fillTag) continue;
      const ref = this.takeBack(chunk);
      returnNetmem(host, ref);
      count++;
    }
    return count;
  }

  /** A posted chunk is the user's again. */
  private takeBack(chunk: number): NetmemRef {
    const { i32 } = this;
    const idx = this.firstIdx + chunk;
    const meta = i32[idx]!;
    i32[idx] = meta ^ POSTED_TO_OUT;
    i32[this.statesAt + chunk] = 0;
    this.books.fillPosted--;
    return (((meta & GEN_MASK) << GEN_SHIFT) | (idx << 1) | this.tag) as NetmemRef;
  }

  /**
   * The reference behind an RX descriptor, its data in `lastOffset`; 0 when there is none. A chunk that was posted is the
   * user's again also where the length is wrong.
   */
  private accept(d: number): NetmemRef | 0 {
    const { i32, isAligned } = this;
    const low = i32[d]!;
    const high = i32[d + 1]!;
    const chunk = isAligned ? (high === 0 ? low >>> this.shift : -1) : this.slotOf(low, high);
    if (chunk >>> 0 >= this.chunkCount || i32[this.statesAt + chunk] !== this.books.fillTag) return this.refuse();
    if ((i32[this.firstIdx + chunk]! & STATE_MASK) !== POSTED) return this.refuse();
    const within = isAligned ? low & (this.chunkSizeBytes - 1) : high >>> 16;
    const len = i32[d + 2]!;
    const ref = this.takeBack(chunk);
    if (len <= 0 || len > this.chunkSizeBytes - within) {
      returnNetmem(this.host, ref);
      return 0;
    }
    this.lastOffset = this.base + low + (isAligned ? 0 : within);
    return ref;
  }

  /** Unaligned chunks are posted where they begin, and come back like that. */
  private slotOf(low: number, high: number): number {
    if ((high & 0xffff) !== 0 || low < 0) return -1;
    const chunk = (low / this.chunkSizeBytes) | 0;
    return chunk * this.chunkSizeBytes === low ? chunk : -1;
  }

  private refuse(): 0 {
    this.badAddr = (this.badAddr + 1) | 0;
    return 0;
  }

  /**
   * What is no plain packet of one aligned chunk, from the `k`-th descriptor on, as results from `n` on. Returns the new number
   * of results; descriptors used in `lastLength`, 0 when the packet's end is not there yet or results have no room.
   */
  private receiveUnusual(ring: DescConsumer, k: number, n: number): number {
    const length = this.chainLength(ring, k);
    const wasSkipping = this.isSkipping;
    const isWhole = !wasSkipping && length <= this.maxPacketDescs;
    this.lastLength = 0;
    if (length === 0 || (isWhole && length > this.capacity - n)) return n;
    this.lastLength = length;
    this.isSkipping = (this.i32[ring.at(k + length - 1) + 3]! & CONTD) !== 0;
    if (this.takeChain(ring, k, length, n, isWhole && !this.isSkipping)) return n + length;
    if (!wasSkipping) this.broken = (this.broken + 1) | 0;
    return n;
  }

  /** Accepts `length` descriptors; keeps all of them or sends all of them home. */
  private takeChain(ring: DescConsumer, k: number, length: number, n: number, isWanted: boolean): boolean {
    const { i32, refs } = this;
    let isGood = isWanted;
    let kept = 0;
    for (let j = 0; j < length; j++) {
      const d = ring.at(k + j);
      const ref = this.accept(d);
      if (ref === 0) isGood = false;
      else if (!isGood) returnNetmem(this.host, ref);
      else {
        refs[n + kept] = ref;
        this.offsets[n + kept] = this.lastOffset;
        this.lengths[n + kept] = i32[d + 2]!;
        this.options[n + kept] = i32[d + 3]!;
        kept++;
      }
    }
    if (!isGood) for (let j = 0; j < kept; j++) returnNetmem(this.host, refs[n + j]! as NetmemRef);
    return isGood;
  }

  /** Descriptors up to the packet's end, or as many as there are when they are too many; 0 when more must come first. */
  private chainLength(ring: DescConsumer, k: number): number {
    const max = this.maxPacketDescs + 1;
    for (let length = 1; length <= max; length++) {
      if (ring.peek(k + length) < k + length)
        return this.isSkipping || (k === 0 && length > ring.size) ? length - 1 : 0;
      if ((this.i32[ring.at(k + length - 1) + 3]! & CONTD) === 0) return length;
    }
    return max;
  }

  private failPostAt(refs: Int32Array, k: number): never {
    this.books.fillPosted += k;
    this.fill?.advance(k);
    this.fill?.submit();
    return failPost(this.umem, refs[k]!, k);
  }
}
