const TWO_POW_16 = 2 ** 16;
const TWO_POW_32 = 2 ** 32;
const NS_PER_SEC = 1_000_000_000;
const BINARY_BIT = 0x80;
const MAX_FAST_EXPONENT = 9;

/**
 * Turns the 64-bit tick counts of one interface into seconds and nanoseconds, exactly, in integers.
 *
 * Resolutions of 10^-0 to 10^-9 seconds, which is what programs write, make no garbage; others go through BigInt.
 */
export class TimestampScale {
  /** Results of the last {@link TimestampScale.convert}. */
  sec = 0;
  ns = 0;
  readonly #resolution: number;
  readonly #offsetSec: number;
  readonly #ticksPerSec: number;
  readonly #nsPerTick: number;

  /**
   * @param resolution as in the if_tsresol option: a power of 10 (0..127), or of 2 if bit 7 is set.
   * @param offsetSec as in the if_tsoffset option: added to every timestamp.
   */
  constructor(resolution: number, offsetSec: number) {
    this.#resolution = resolution;
    this.#offsetSec = offsetSec;
    this.#ticksPerSec = 10 ** Math.min(resolution, MAX_FAST_EXPONENT);
    this.#nsPerTick = NS_PER_SEC / this.#ticksPerSec;
  }

  /** Converts a tick count given as two unsigned words. False: so far off that its seconds are no safe integer. */
  convert(high: number, low: number): boolean {
    if (this.#resolution <= MAX_FAST_EXPONENT) this.#convertDecimal(high, low);
    else this.#convertAny(high, low);
    this.sec += this.#offsetSec;
    return Number.isSafeInteger(this.sec);
  }

  /** Long division by 16-bit digits: every intermediate value stays below 2^46, so doubles are exact. */
  #convertDecimal(high: number, low: number): void {
    const divisor = this.#ticksPerSec;
    const highQuotient = Math.floor(high / divisor);
    const middle = (high - highQuotient * divisor) * TWO_POW_16 + (low >>> 16);
    const middleQuotient = Math.floor(middle / divisor);
    const last = (middle - middleQuotient * divisor) * TWO_POW_16 + (low & 0xffff);
    const lastQuotient = Math.floor(last / divisor);
    this.sec = highQuotient * TWO_POW_32 + middleQuotient * TWO_POW_16 + lastQuotient;
    this.ns = (last - lastQuotient * divisor) * this.#nsPerTick;
  }

  #convertAny(high: number, low: number): void {
    const ticks = (BigInt(high) << 32n) | BigInt(low);
    const exponent = BigInt(this.#resolution & ~BINARY_BIT);
    const ticksPerSec = this.#resolution & BINARY_BIT ? 1n << exponent : 10n ** exponent;
    this.sec = Number(ticks / ticksPerSec);
    this.ns = Number(((ticks % ticksPerSec) * BigInt(NS_PER_SEC)) / ticksPerSec);
  }
}
