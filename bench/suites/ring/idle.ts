const SPINS = 20_000;
const YIELD_MS = 0.05;

/** For a loop that waits for the other thread: spins, then leaves the CPU to whoever needs it. */
export class Idle {
  private readonly i32: Int32Array;
  /** A word that stays 0. */
  private readonly at: number;
  private spins = 0;

  constructor(i32: Int32Array, at: number) {
    this.i32 = i32;
    this.at = at;
  }

  /** Once per turn, with what the turn has done. */
  after(done: number): void {
    if (done > 0) this.spins = 0;
    else if (++this.spins > SPINS) Atomics.wait(this.i32, this.at, 0, YIELD_MS);
  }
}
