const TWO_POW_31 = 2 ** 31;
const TWO_POW_32 = 2 ** 32;

/** What {@link Prng.shuffle} reorders: an array or any typed array of numbers. */
export interface MutableList<T> {
  readonly length: number;
  [index: number]: T;
}

/**
 * A seeded pseudo-random generator (sfc32): the same seed gives the same draws on every platform. Not for secrets.
 *
 * No draw allocates, except {@link Prng.fork}. Print {@link Prng.seed} when a randomised test fails.
 */
export class Prng {
  /** The seed this generator was made from. */
  readonly seed: number;
  readonly #state = new Int32Array(4);

  /** @param seed any safe integer. Throws RangeError for anything else. */
  constructor(seed: number) {
    if (!Number.isSafeInteger(seed)) throw new RangeError(`Prng: the seed must be a safe integer, got ${seed}`);
    this.seed = seed;
    this.#state[0] = Math.floor(seed / TWO_POW_32);
    this.#state[1] = seed;
    this.#state[2] = 0x9e3779b9;
    this.#state[3] = 1;
    // sfc32 needs about a dozen rounds until seeds that differ in one bit give unrelated draws.
    for (let round = 0; round < 16; round++) this.nextInt32();
  }

  /** The next 32 random bits as a signed integer, -2^31..2^31-1: the draw that never becomes a heap number. */
  nextInt32(): number {
    const state = this.#state;
    const b = state[1]!;
    const c = state[2]!;
    const counter = state[3]!;
    const result = (state[0]! + b + counter) | 0;
    state[3] = counter + 1;
    state[0] = b ^ (b >>> 9);
    state[1] = c + (c << 3);
    state[2] = ((c << 21) | (c >>> 11)) + result;
    return result;
  }

  /** The next 32 random bits as 0..2^32-1. Values from 2^31 on may become heap numbers where the call is not inlined. */
  nextU32(): number {
    return this.nextInt32() >>> 0;
  }

  /** A uniform integer in 0..n-1, without modulo bias. `n` is 1..2^31-1; throws RangeError otherwise. */
  below(n: number): number {
    if (n < 1 || (n | 0) !== n) throw new RangeError(`Prng.below: n must be an integer in 1..2^31-1, got ${n}`);
    let bits = 0;
    let value = 0;
    do {
      bits = this.nextInt32() >>> 1;
      value = bits % n;
      // Overflows to negative exactly for the incomplete last stretch of n values below 2^31.
    } while (((bits - value + (n - 1)) | 0) < 0);
    return value;
  }

  /** A uniform integer in lo..hi, both ends included. `hi - lo` must be 0..2^31-2. */
  range(lo: number, hi: number): number {
    return lo + this.below(hi - lo + 1);
  }

  /** True with probability `p` (0..1). */
  bool(p: number): boolean {
    return this.nextInt32() >>> 1 < p * TWO_POW_31;
  }

  /** One element, each with the same chance. Throws RangeError for an empty list. */
  pick<T>(items: ArrayLike<T>): T {
    return items[this.below(items.length)] as T;
  }

  /** Reorders `items` in place (Fisher-Yates) and returns it. */
  shuffle<L extends MutableList<unknown>>(items: L): L {
    for (let last = items.length - 1; last > 0; last--) {
      const other = this.below(last + 1);
      const moved = items[last];
      items[last] = items[other];
      items[other] = moved;
    }
    return items;
  }

  /** A new generator whose draws are independent of this one's; takes two draws from this one. Allocates. */
  fork(): Prng {
    const high = this.nextInt32() & 0x1fffff;
    return new Prng(high * TWO_POW_32 + this.nextU32());
  }
}
