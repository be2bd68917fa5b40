/*
 * data path
 *
 * Which pages a pool has mapped: one bit per page of the window, and above it one bit per 32 of those, so that taking
 * every mapping down looks at 1/1024 of the window and at what is there. Kernel: the pool's xarray.
 */

/** A set of page indices. */
export class MappedPages {
  // "declare": see docs/decisions/0007.
  declare private readonly words: Int32Array;
  declare private readonly groups: Int32Array;
  /** Pages in the set. */
  declare count: number;

  constructor(pageCount: number) {
    this.words = new Int32Array((pageCount + 31) >>> 5);
    this.groups = new Int32Array((pageCount + 1023) >>> 10);
    this.count = 0;
  }

  add(idx: number): void {
    this.words[idx >>> 5]! |= 1 << idx;
    this.groups[idx >>> 10]! |= 1 << (idx >>> 5);
    this.count++;
  }

  has(idx: number): boolean {
    return (this.words[idx >>> 5]! & (1 << idx)) !== 0;
  }

  /** False when it was not in the set. */
  delete(idx: number): boolean {
    if (!this.has(idx)) return false;
    const word = this.words[idx >>> 5]! & ~(1 << idx);
    this.words[idx >>> 5] = word;
    if (word === 0) this.groups[idx >>> 10]! &= ~(1 << (idx >>> 5));
    this.count--;
    return true;
  }

  /** Takes any page out of group `from` or a later one; -1 when there is none. `idx >>> 10` is where to go on. */
  takeFrom(from: number): number {
    for (let group = from; group < this.groups.length; group++) {
      const bits = this.groups[group]!;
      if (bits === 0) continue;
      const at = (group << 5) | (31 - Math.clz32(bits));
      const idx = (at << 5) | (31 - Math.clz32(this.words[at]!));
      this.delete(idx);
      return idx;
    }
    return -1;
  }
}
