/*
 * data path
 *
 * Which pages of a chunk are free: one bit per page, and above it one bit per word that has a free page. Pages are handed
 * out upwards from where the last search ended, so that a batch is one run of the device where that is possible: what is
 * landed together is one copy then.
 */
const WORD_BITS = 32;
const WORD_SHIFT = 5;
const WORD_MASK = 31;

/** Position of the lowest set bit. */
function lowestBit(word: number): number {
  return WORD_MASK - Math.clz32(word & -word);
}

export class PageBitmap {
  declare private readonly words: Int32Array;
  declare private readonly summary: Int32Array;
  declare private cursor: number;
  /** Free pages. */
  declare freeCount: number;
  declare readonly pageCount: number;

  /** All `pageCount` pages are free. */
  constructor(pageCount: number) {
    this.words = new Int32Array(Math.ceil(pageCount / WORD_BITS));
    this.summary = new Int32Array(Math.ceil(this.words.length / WORD_BITS));
    this.cursor = 0;
    this.freeCount = 0;
    this.pageCount = pageCount;
    for (let page = 0; page < pageCount; page++) this.put(page);
  }

  /** Takes up to `max` free pages into `out[at...]`; returns how many. About 2 ns a page. */
  take(out: Int32Array, at: number, max: number): number {
    const { words } = this;
    const total = this.freeCount < max ? this.freeCount : max;
    let n = 0;
    let w = this.cursor;
    while (n < total) {
      w = this.nextWord(w);
      let bits = words[w]!;
      for (; bits !== 0 && n < total; bits &= bits - 1) out[at + n++] = (w << WORD_SHIFT) + lowestBit(bits);
      words[w] = bits;
      if (bits === 0) this.summary[w >>> WORD_SHIFT] = this.summary[w >>> WORD_SHIFT]! & ~(1 << (w & WORD_MASK));
    }
    this.cursor = w;
    this.freeCount -= total;
    return total;
  }

  /** Gives a page back; false when it is free already. */
  put(page: number): boolean {
    const w = page >>> WORD_SHIFT;
    const bit = 1 << (page & WORD_MASK);
    const bits = this.words[w]!;
    if ((bits & bit) !== 0) return false;
    this.words[w] = bits | bit;
    this.summary[w >>> WORD_SHIFT] = this.summary[w >>> WORD_SHIFT]! | (1 << (w & WORD_MASK));
    this.freeCount++;
    return true;
  }

  isFree(page: number): boolean {
    return (this.words[page >>> WORD_SHIFT]! & (1 << (page & WORD_MASK))) !== 0;
  }

  /** The first word from `from` on, and then from 0, that has a free page; there is one. */
  private nextWord(from: number): number {
    const { summary } = this;
    let s = from >>> WORD_SHIFT;
    let bits = summary[s]! & (-1 << (from & WORD_MASK));
    while (bits === 0) {
      s = s + 1 === summary.length ? 0 : s + 1;
      bits = summary[s]!;
    }
    return (s << WORD_SHIFT) + lowestBit(bits);
  }
}
