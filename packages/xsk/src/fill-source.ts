/*
 * data path
 *
 * Where a kernel's pool gets chunks from: entries of the fill ring, each checked, become buffers that are out. Aligned
 * chunks have a buffer each; others borrow one for as long as the kernel has them.
 */
import {
  GEN_SHIFT as GEN_SHIFT_,
  META_FREE,
  META_GEN_MASK,
  META_STATE_MASK,
  type NetmemRef,
  OWN_HOLD as OWN_HOLD_,
} from "@netmem/core";
import type { AddrConsumer } from "./addr-ring.ts";
import type { ChunkGeometry } from "./chunk-geometry.ts";
import type { UmemDma } from "./umem-dma.ts";
import type { PoolHome } from "./xsk-pool-home.ts";

const GEN_SHIFT = GEN_SHIFT_;
const HOLD = OWN_HOLD_;
const FREE = META_FREE;
const GEN_MASK = META_GEN_MASK;
const STATE_MASK = META_STATE_MASK;

export class FillSource {
  declare private readonly i32: Int32Array;
  declare private readonly ring: AddrConsumer;
  declare private readonly geometry: ChunkGeometry;
  declare private readonly dma: UmemDma | null;
  declare private readonly firstIdx: number;
  declare private readonly offsetsAt: number;
  /** Word offset of the owner record. */
  declare private readonly ownerAt: number;
  declare private readonly outTag: number;
  /** Buffers that are bound to no address, of unaligned chunks only. */
  declare private readonly freeHeads: Int32Array;
  declare private freeHeadCount: number;
  declare queueEmptyDescs: number;
  declare invalidDescs: number;
  declare aliasedDescs: number;

  constructor(
    i32: Int32Array,
    ring: AddrConsumer,
    geometry: ChunkGeometry,
    dma: UmemDma | null,
    home: PoolHome,
    ownerAt: number,
    outTag: number,
  ) {
    this.i32 = i32;
    this.ring = ring;
    this.geometry = geometry;
    this.dma = dma;
    this.firstIdx = home.area.firstIdx;
    this.offsetsAt = home.offsetsAt;
    this.ownerAt = ownerAt;
    this.outTag = outTag;
    this.freeHeads = Int32Array.from({ length: geometry.isAligned ? 0 : geometry.chunkCount }, (_, n) => n);
    this.freeHeadCount = this.freeHeads.length;
    this.queueEmptyDescs = 0;
    this.invalidDescs = 0;
    this.aliasedDescs = 0;
  }

  /** The next valid entry's buffer, 0 when there is none. */
  takeOne(): NetmemRef | 0 {
    const { ring } = this;
    if (!this.geometry.isAligned && this.freeHeadCount === 0) return 0;
    while (ring.peek(1) > 0) {
      const ref = this.bind(ring.low(0), ring.high(0));
      ring.advance(1);
      if (ref !== 0) return ref;
    }
    this.queueEmptyDescs = (this.queueEmptyDescs + 1) | 0;
    return 0;
  }

  /** The buffers of up to `max - from` entries into `out[from...]`; returns the new fill. Invalid entries are not replaced. */
  takeMany(out: Int32Array, from: number, max: number): number {
    const { ring } = this;
    const wanted = max - from;
    const heads = this.geometry.isAligned || this.freeHeadCount > wanted ? wanted : this.freeHeadCount;
    const count = ring.peek(heads);
    let n = from;
    for (let k = 0; k < count; k++) {
      const ref = this.bind(ring.low(k), ring.high(k));
      if (ref !== 0) out[n++] = ref;
    }
    ring.advance(count);
    if (n === from) this.queueEmptyDescs = (this.queueEmptyDescs + 1) | 0;
    return n;
  }

  /** Whether `count` entries are there. None at all counts as an empty ring. */
  has(count: number): boolean {
    const entries = this.ring.peek(count);
    if (entries === 0) this.queueEmptyDescs = (this.queueEmptyDescs + 1) | 0;
    return entries >= count;
  }

  /** The `n`-th buffer is bound to no address any more. */
  unbind(n: number): void {
    if (!this.geometry.isAligned) this.freeHeads[this.freeHeadCount++] = n;
  }

  /** The buffer for an address, 0 and a count for one that is none. */
  private bind(low: number, high: number): NetmemRef | 0 {
    const { geometry, i32 } = this;
    const offset = geometry.fillOffset(low, high);
    if (offset < 0 || this.crossesBreak(offset)) {
      this.invalidDescs = (this.invalidDescs + 1) | 0;
      return 0;
    }
    const n = geometry.isAligned ? offset >>> geometry.shift : this.freeHeads[this.freeHeadCount - 1]!;
    const idx = this.firstIdx + n;
    const meta = i32[idx]!;
    if ((meta & STATE_MASK) !== FREE) {
      this.aliasedDescs = (this.aliasedDescs + 1) | 0;
      return 0;
    }
    if (!geometry.isAligned) {
      this.freeHeadCount--;
      i32[this.offsetsAt + n] = geometry.offset + offset;
    }
    const gen = meta & GEN_MASK;
    i32[idx] = this.outTag | gen;
    i32[this.ownerAt + HOLD] = (i32[this.ownerAt + HOLD]! + 1) | 0;
    return ((gen << GEN_SHIFT) | (idx << 1) | 1) as NetmemRef;
  }

  private crossesBreak(offset: number): boolean {
    if (this.dma === null || this.geometry.isAligned) return false;
    return this.dma.crossesBreak(offset, this.geometry.chunkSizeBytes);
  }
}
