const TWO_POW_16 = 2 ** 16;
const TWO_POW_32 = 2 ** 32;
const NS_PER_SEC = 1_000_000_000;
const BINARY_BIT = 0x80;

/** Turns seconds and nanoseconds into the 64-bit ticks of an interface, exactly, without making garbage. */
export class TickScale {
  /** Results of the last {@link TickScale.convert}: unsigned words. */
  high = 0;
  low = 0;
  readonly #isBinary: boolean;
  readonly #ticksPerSec: number;

  /** @param resolution a power of 10 in 0..9, or of 2 in 0..23 with bit 7 set; see {@link TickScale.isWritable}. */
  constructor(resolution: number) {
    this.#isBinary = (resolution & BINARY_BIT) !== 0;
    this.#ticksPerSec = this.#isBinary ? 2 ** (resolution & ~BINARY_BIT) : 10 ** resolution;
  }

  /** Whether ticks of this resolution can be computed exactly in doubles. */
  static isWritable(resolution: number): boolean {
    const exponent = resolution & ~BINARY_BIT;
    return Number.isInteger(resolution) && exponent >= 0 && exponent <= (resolution & BINARY_BIT ? 23 : 9);
  }

  /** `sec` is 0..2^32-1. What is finer than a tick is cut off. */
  convert(sec: number, ns: number): void {
    const ticksPerSec = this.#ticksPerSec;
    // The product would pass 2^53 for powers of 10, the quotient of the other branch is no integer for powers of 2.
    const fraction = Math.floor(this.#isBinary ? (ns * ticksPerSec) / NS_PER_SEC : ns / (NS_PER_SEC / ticksPerSec));
    // sec * ticksPerSec may pass 2^53, so it is multiplied by halves.
    const upper = Math.floor(sec / TWO_POW_16) * ticksPerSec;
    const lower = (sec % TWO_POW_16) * ticksPerSec + fraction;
    const upperHigh = Math.floor(upper / TWO_POW_16);
    const sum = (upper - upperHigh * TWO_POW_16) * TWO_POW_16 + lower;
    const carry = Math.floor(sum / TWO_POW_32);
    this.high = upperHigh + carry;
    this.low = sum - carry * TWO_POW_32;
  }
}
