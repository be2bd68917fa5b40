/*
 * data path
 *
 * The transmitting half of a user's end: pieces of buffers go into the TX ring as addresses, and their references home
 * when those addresses come back. Every descriptor holds one reference. Nothing is shown to the kernel that it would
 * refuse: it never completes such a descriptor in zero-copy mode, and the buffer would be lost.
 */
import {
  failReturn as failReturn_,
  GEN_SHIFT as GEN_SHIFT_,
  type Host,
  IDX_MASK as IDX_MASK_,
  META_GEN_MASK,
  META_OUT,
  META_STATE_MASK,
  type NetmemRef,
  refNetmem,
  returnNetmem as returnNetmem_,
} from "@netmem/core";
import { DescOption } from "./abi.ts";
import { AddrConsumer } from "./addr-ring.ts";
import type { ChunkGeometry } from "./chunk-geometry.ts";
import { DescProducer } from "./desc-ring.ts";
import { type QueueBooks, TX_COUNT_BITS as TX_COUNT_BITS_, TX_COUNT_MASK as TX_COUNT_MASK_ } from "./queue-books.ts";
import type { XskRingLayout } from "./ring-layout.ts";
import type { Umem } from "./umem.ts";

const GEN_SHIFT = GEN_SHIFT_;
const IDX_MASK = IDX_MASK_;
const OUT = META_OUT;
const LIVE_MASK = META_STATE_MASK | META_GEN_MASK;
const CONTD = DescOption.PktContd;
const TX_COUNT_BITS = TX_COUNT_BITS_;
const TX_COUNT_MASK = TX_COUNT_MASK_;
const returnNetmem = returnNetmem_;
const failReturn = failReturn_;
/** Verdicts below zero on a piece. */
const REFUSED = -1;
const TOO_MANY = -2;

export class XskTx {
  declare private readonly i32: Int32Array;
  declare private readonly ring: DescProducer | null;
  declare private readonly completion: AddrConsumer | null;
  declare private readonly books: QueueBooks;
  declare private readonly geometry: ChunkGeometry;
  declare private readonly statesAt: number;
  declare private readonly txRefsAt: number;
  declare private readonly base: number;
  declare private readonly chunkCount: number;
  declare private readonly firstIdx: number;
  declare private readonly shift: number;
  /** Bytes of an aligned chunk less one; -1, which no length passes, where more than that is to be looked at. */
  declare private readonly mask: number;
  declare private readonly tag: number;
  /** At most the ring's size: what is larger never has room. */
  declare private readonly maxPacketDescs: number;
  /** Descriptors of each piece of the packet that is being sent. */
  declare private readonly pieceDescs: Int32Array;
  declare refused: number;
  declare badAddr: number;
  declare private readonly host: Host;

  constructor(
    umem: Umem,
    books: QueueBooks,
    ring: XskRingLayout | null,
    completion: XskRingLayout | null,
    maxPacketDescs: number,
  ) {
    const { host, geometry } = umem;
    this.i32 = host.i32;
    this.ring = ring === null ? null : new DescProducer(host.i32, ring);
    this.completion = completion === null ? null : new AddrConsumer(host.i32, completion);
    this.books = books;
    this.geometry = geometry;
    this.statesAt = umem.statesAt;
    this.txRefsAt = umem.txRefsAt;
    this.base = geometry.offset;
    this.chunkCount = geometry.chunkCount;
    this.firstIdx = umem.firstIdx;
    this.shift = geometry.shift;
    this.mask = geometry.isAligned && geometry.txMetadataBytes === 0 ? geometry.chunkSizeBytes - 1 : -1;
    this.tag = umem.tag;
    this.maxPacketDescs = ring === null ? maxPacketDescs : Math.min(maxPacketDescs, ring.size) | 0;
    this.pieceDescs = new Int32Array(maxPacketDescs);
    this.refused = 0;
    this.badAddr = 0;
    this.host = host;
  }

  room(want: number): number {
    return this.ring === null ? 0 : this.ring.room(want);
  }

  /** Entries of the TX and of the completion ring that the other end has not taken, or this one. Control path. */
  get filledCounts(): readonly [tx: number, completion: number] {
    return [(this.ring?.filledCount ?? 0) + (this.ring?.stagedCount ?? 0), this.completion?.filledCount ?? 0];
  }

  get corruptCount(): number {
    return (this.ring?.corruptCount ?? 0) + (this.completion?.corruptCount ?? 0);
  }

  transmit(refs: Int32Array, offsets: Int32Array, lengths: Int32Array, pieces: number): boolean {
    const { ring } = this;
    if (ring === null) return false;
    for (let n = 0; n < pieces; n++) this.checkLive(refs[n]! as NetmemRef);
    const room = ring.room(this.maxPacketDescs);
    const limit = room < this.maxPacketDescs ? room : this.maxPacketDescs;
    let descs = 0;
    for (let n = 0; n < pieces; n++) {
      const more = n === pieces - 1 ? 0 : CONTD;
      const used = this.sendPiece(ring, refs[n]! as NetmemRef, offsets[n]!, lengths[n]!, more, limit - descs);
      if (used < 0) {
        this.unsend(ring, refs, n, descs);
        if (used === REFUSED || room >= this.maxPacketDescs) this.refused = (this.refused + 1) | 0;
        return false;
      }
      this.pieceDescs[n] = used;
      descs += used;
    }
    this.books.txPosted += descs;
    return descs > 0;
  }

  transmitOne(ref: NetmemRef, offset: number, lenBytes: number, options: number): boolean {
    const { ring, i32, statesAt, mask } = this;
    if (ring === null) return false;
    const idx = (ref >>> 1) & IDX_MASK;
    const chunk = idx - this.firstIdx;
    const low = offset - this.base;
    const isLive = (i32[idx]! & LIVE_MASK) === (OUT | (ref >> GEN_SHIFT)) && (ref & 1) === this.tag;
    const within = low - (chunk << this.shift);
    const isInside = low >= 0 && within === (low & mask) && within + lenBytes - 1 <= mask && lenBytes > 0;
    const isPlain = isLive && isInside && options === 0 && chunk >>> 0 < this.chunkCount && i32[statesAt + chunk] === 0;
    if (!isPlain) return this.transmitUnusual(ring, ref, offset, lenBytes, options);
    if (ring.room(1) === 0) return false;
    i32[statesAt + chunk] = this.books.txTag | 1;
    i32[this.txRefsAt + chunk] = ref;
    ring.put(low, 0, lenBytes, 0);
    this.books.txPosted++;
    return true;
  }

  submit(): boolean {
    if (this.ring === null) return false;
    this.ring.submit();
    return this.ring.needsWakeup();
  }

  complete(max: number): number {
    const { completion } = this;
    if (completion === null) return 0;
    const count = completion.peek(max);
    if (count <= 0) return 0;
    const { i32, host, books, statesAt, txRefsAt, chunkCount } = this;
    let done = 0;
    let k = 0;
    try {
      while (k < count) {
        const chunk = completion.high(k) === 0 ? this.geometry.chunkOf(completion.low(k)) : -1;
        const state = chunk >>> 0 < chunkCount ? i32[statesAt + chunk]! : 0;
        k++;
        if (state <= 0 || (state ^ books.txTag) >>> TX_COUNT_BITS !== 0) {
          this.badAddr = (this.badAddr + 1) | 0;
          continue;
        }
        i32[statesAt + chunk] = (state & TX_COUNT_MASK) === 1 ? 0 : state - 1;
        done++;
        returnNetmem(host, i32[txRefsAt + chunk]! as NetmemRef);
      }
    } finally {
      // Also when a return throws, because its user returned the buffer meanwhile.
      completion.release(k);
      books.txPosted -= done;
    }
    return done;
  }

  /** Sends home what was sent and not completed. Returns how many references. Control path. */
  takeAllBack(): number {
    const { i32, host, books, statesAt } = this;
    let count = 0;
    for (let chunk = 0; chunk < this.chunkCount; chunk++) {
      const state = i32[statesAt + chunk]!;
      if (state <= 0 || (state ^ books.txTag) >>> TX_COUNT_BITS !== 0) continue;
      i32[statesAt + chunk] = 0;
      const held = state & TX_COUNT_MASK;
      for (let n = 0; n < held; n++) returnNetmem(host, i32[this.txRefsAt + chunk]! as NetmemRef);
      count += held;
    }
    books.txPosted = 0;
    return count;
  }

  /** Another type, other holders, other places, metadata, misuse. */
  private transmitUnusual(
    ring: DescProducer,
    ref: NetmemRef,
    offset: number,
    lenBytes: number,
    options: number,
  ): boolean {
    this.checkLive(ref);
    if (ring.room(1) === 0) return false;
    if (this.sendDesc(ring, ref, offset, lenBytes, options & ~CONTD) < 0) {
      this.refused = (this.refused + 1) | 0;
      return false;
    }
    this.books.txPosted++;
    return true;
  }

  /** Throws a misuse error for a reference that is not live. */
  private checkLive(ref: NetmemRef): void {
    const meta = this.i32[(ref >>> 1) & IDX_MASK]!;
    if (ref <= 0 || (meta & LIVE_MASK) !== (OUT | (ref >>> GEN_SHIFT))) failReturn(this.host, ref, 0);
  }

  /** Stages one piece, cut where chunks end. Descriptors used, at most `max`; below zero, and nothing is staged then. */
  private sendPiece(
    ring: DescProducer,
    ref: NetmemRef,
    offset: number,
    lenBytes: number,
    more: number,
    max: number,
  ): number {
    let used = 0;
    let done = 0;
    let verdict = lenBytes > 0 ? 0 : REFUSED;
    while (done < lenBytes && verdict === 0) {
      const piece = this.pieceAt(offset + done, lenBytes - done);
      const isLast = done + piece === lenBytes;
      if (used === max) verdict = TOO_MANY;
      else if (this.sendDesc(ring, ref, offset + done, piece, isLast ? more : CONTD) < 0) verdict = REFUSED;
      else {
        // Each descriptor completes by itself, and gives back a reference.
        if (used > 0) refNetmem(this.host, ref);
        done += piece;
        used++;
      }
    }
    if (verdict === 0) return used;
    this.dropExtra(ref, used);
    this.unstage(ring, used);
    return verdict;
  }

  /** Bytes of a piece that fit into the chunk at `offset`; without alignment, into the largest descriptor. */
  private pieceAt(offset: number, lenBytes: number): number {
    const { geometry } = this;
    const size = geometry.chunkSizeBytes;
    const room = geometry.isAligned ? size - ((offset - this.base) & (size - 1)) : size - geometry.txMetadataBytes;
    return lenBytes < room ? lenBytes : room;
  }

  /** Stages one descriptor; below zero when the kernel would not send it, or another queue is sending the chunk. */
  private sendDesc(ring: DescProducer, ref: NetmemRef, offset: number, lenBytes: number, options: number): number {
    const { i32, books, geometry } = this;
    const low = offset - this.base;
    if (geometry.txOffset(low, 0, lenBytes, options) < 0) return REFUSED;
    const chunk = geometry.chunkOf(low);
    if (chunk >= this.chunkCount || !this.isInside(ref, chunk, offset, lenBytes)) return REFUSED;
    const at = this.statesAt + chunk;
    const state = i32[at]!;
    if (state !== 0) {
      const isOurs = (state ^ books.txTag) >>> TX_COUNT_BITS === 0 && i32[this.txRefsAt + chunk] === ref;
      if (!isOurs || (state & TX_COUNT_MASK) === TX_COUNT_MASK) return REFUSED;
      i32[at] = state + 1;
    } else {
      i32[at] = books.txTag | 1;
      i32[this.txRefsAt + chunk] = ref;
    }
    ring.put(low, 0, lenBytes, options);
    return 0;
  }

  /** The bytes lie in the buffer, and the CPU could read them. Bytes of one aligned chunk do if the buffer is that chunk. */
  private isInside(ref: NetmemRef, chunk: number, offset: number, lenBytes: number): boolean {
    const isChunk = ((ref >>> 1) & IDX_MASK) - this.firstIdx === chunk && (ref & 1) === this.tag;
    if (isChunk && this.geometry.isAligned) return true;
    const { host } = this;
    if (!host.isReadable(ref)) return false;
    const within = offset - host.offsetOf(ref);
    return within >= 0 && within + lenBytes <= host.bufferBytes(ref);
  }

  /** Takes back the `descs` descriptors of the first `pieces` pieces, and the references taken for them. */
  private unsend(ring: DescProducer, refs: Int32Array, pieces: number, descs: number): void {
    for (let n = 0; n < pieces; n++) this.dropExtra(refs[n]! as NetmemRef, this.pieceDescs[n]!);
    this.unstage(ring, descs);
  }

  private dropExtra(ref: NetmemRef, descs: number): void {
    for (let n = 1; n < descs; n++) returnNetmem(this.host, ref);
  }

  private unstage(ring: DescProducer, count: number): void {
    const { i32, statesAt } = this;
    const staged = ring.stagedCount;
    for (let n = 1; n <= count; n++) {
      const at = statesAt + this.geometry.chunkOf(i32[ring.stagedAt(staged - n)]!);
      i32[at] = (i32[at]! & TX_COUNT_MASK) === 1 ? 0 : i32[at]! - 1;
    }
    ring.cancel(count);
  }
}
