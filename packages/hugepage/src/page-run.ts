/*
 * data path
 *
 * Pages that follow each other, handed out one by one or in units of 2^unitOrder. One bit per unit says that it is free;
 * the lowest goes out first, so that few pages are in use and those are warm. A page that came home while somebody else
 * holds it is neither free nor out: it waits under a second bit until the others have let go.
 *
 *   freeBits[n >>> 5] bit (n & 31)    unit n is free; its page is firstIdx + (n << unitOrder)
 */
import {
  GEN_ONE as GEN_ONE_,
  GEN_SHIFT as GEN_SHIFT_,
  type Host,
  IDX_MASK as IDX_MASK_,
  META_GEN_MASK as META_GEN_MASK_,
  REF_MASK as REF_MASK_,
} from "@netmem/core";

const GEN_ONE = GEN_ONE_;
const GEN_SHIFT = GEN_SHIFT_;
const IDX_MASK = IDX_MASK_;
const META_GEN_MASK = META_GEN_MASK_;
const REF_MASK = REF_MASK_;

export class PageRun {
  // "declare": see docs/decisions/0007. Hot fields first.
  declare private readonly i32: Int32Array;
  declare private readonly freeBits: Int32Array;
  /** Units that are free. */
  declare freeCount: number;
  /** No word before it has a free unit. */
  declare private cursor: number;
  /** First page. */
  declare readonly firstIdx: number;
  declare private readonly unitOrder: number;
  declare private readonly pageRefAt: number;
  declare readonly unitCount: number;
  declare private readonly heldBits: Int32Array;
  /** Units that wait for others to let go. */
  declare heldCount: number;
  declare private readonly host: Host;
  /** log2 of all its pages. */
  declare readonly order: number;
  /** DMA page frame number of the first page, 0 while it is not mapped. */
  declare pfn: number;

  /** All units free. Control path. */
  constructor(host: Host, firstIdx: number, order: number, unitOrder: number) {
    const unitCount = 1 << (order - unitOrder);
    const words = (unitCount + 31) >>> 5;
    this.i32 = host.i32;
    this.freeBits = new Int32Array(words).fill(-1);
    this.freeCount = unitCount;
    this.cursor = 0;
    this.firstIdx = firstIdx;
    this.unitOrder = unitOrder;
    this.pageRefAt = host.pageRefAt;
    this.unitCount = unitCount;
    this.heldBits = new Int32Array(words);
    this.heldCount = 0;
    this.host = host;
    this.order = order;
    this.pfn = 0;
    if (unitCount < 32) this.freeBits[0] = (1 << unitCount) - 1;
  }

  /** References of free units into `out[from..max)`; returns where it stopped. They are out from now on. */
  take(out: Int32Array, from: number, max: number): number {
    const { i32, freeBits, firstIdx, unitOrder } = this;
    const words = freeBits.length;
    let n = from;
    let word = this.cursor;
    for (; word < words && n < max; word++) {
      let bits = freeBits[word]!;
      while (bits !== 0 && n < max) {
        const low = bits & -bits;
        const idx = firstIdx + (((word << 5) + 31 - Math.clz32(low)) << unitOrder);
        out[n++] = ((i32[idx]! & META_GEN_MASK) << GEN_SHIFT) | (idx << 1);
        bits ^= low;
      }
      freeBits[word] = bits;
      if (bits !== 0) break;
    }
    this.cursor = word;
    this.freeCount -= n - from;
    return n;
  }

  /** Takes a unit home that somebody else may hold as well. False when it is home already. */
  put(ref: number): boolean {
    const idx = (ref >>> 1) & IDX_MASK;
    const unit = (idx - this.firstIdx) >>> this.unitOrder;
    const word = unit >>> 5;
    const bit = 1 << (unit & 31);
    const free = this.freeBits[word]!;
    if ((free & bit) !== 0 || (this.heldCount !== 0 && (this.heldBits[word]! & bit) !== 0)) return false;
    if (this.i32[this.pageRefAt + idx] !== 0) {
      this.heldBits[word] = this.heldBits[word]! | bit;
      this.heldCount++;
      return true;
    }
    this.freeBits[word] = free | bit;
    this.freeCount++;
    if (word < this.cursor) this.cursor = word;
    return true;
  }

  /** Frees what waits and is held by nobody any more. A new generation makes the others' references stale. */
  recoverHeld(): void {
    const { i32, host, heldBits } = this;
    for (let unit = 0; unit < this.unitCount && this.heldCount > 0; unit++) {
      const bit = 1 << (unit & 31);
      const idx = this.firstIdx + (unit << this.unitOrder);
      if ((heldBits[unit >>> 5]! & bit) === 0 || i32[this.pageRefAt + idx] !== 0) continue;
      heldBits[unit >>> 5] = heldBits[unit >>> 5]! & ~bit;
      this.heldCount--;
      const next = (((i32[idx]! & META_GEN_MASK) << GEN_SHIFT) + GEN_ONE) & REF_MASK;
      i32[idx] = next >>> GEN_SHIFT;
      i32[host.ppRefAt + idx] = 0;
      this.freeBits[unit >>> 5] = this.freeBits[unit >>> 5]! | bit;
      this.freeCount++;
      this.cursor = 0;
    }
  }

  /** Whether all of it is home and nobody's. */
  isWhole(): boolean {
    return this.freeCount === this.unitCount;
  }

  /** First page of a unit. Control path. */
  pageOf(unit: number): number {
    return this.firstIdx + (unit << this.unitOrder);
  }
}
