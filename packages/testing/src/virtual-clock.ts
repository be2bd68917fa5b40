const MAX_TIMERS_PER_ADVANCE = 1_000_000;

interface Timer {
  readonly id: number;
  readonly dueMs: number;
  readonly fn: () => void;
}

/**
 * A clock that moves only when told. Timers run inside {@link VirtualClock.advance}, in order of due time and, when due
 * together, in the order they were set.
 */
export class VirtualClock {
  #nowMs: number;
  #nextId = 1;
  #advancing = false;
  /** Sorted: the next one due comes first. */
  readonly #timers: Timer[] = [];

  /** @param startMs what {@link VirtualClock.nowMs} says before the first advance. */
  constructor(startMs = 0) {
    this.#nowMs = startMs;
  }

  /** The virtual time in milliseconds. */
  nowMs(): number {
    return this.#nowMs;
  }

  /** How many timers wait to run. */
  get pendingCount(): number {
    return this.#timers.length;
  }

  /**
   * Runs `fn` once, when the clock has moved on by `delayMs` (0 or more, fractions allowed; RangeError otherwise).
   * Returns an id for {@link VirtualClock.clearTimer}, never 0.
   */
  setTimer(fn: () => void, delayMs: number): number {
    checkDuration("setTimer", delayMs);
    const timer: Timer = { id: this.#nextId++, dueMs: this.#nowMs + delayMs, fn };
    let at = this.#timers.length;
    while (at > 0 && (this.#timers[at - 1]?.dueMs ?? 0) > timer.dueMs) at--;
    this.#timers.splice(at, 0, timer);
    return timer.id;
  }

  /** Forgets a timer. An id that ran, was cleared or never existed is ignored. */
  clearTimer(id: number): void {
    const at = this.#timers.findIndex((timer) => timer.id === id);
    if (at >= 0) this.#timers.splice(at, 1);
  }

  /**
   * Moves the clock by `ms` (0 or more) and runs every timer that becomes due, including those that timers set, each at
   * its own due time. An error thrown by a timer comes out here; the clock then stands at that timer's due time and the
   * other timers are kept. Throws Error when called from a timer, and after a million timers in one call, which means
   * a timer that sets itself again with no delay.
   */
  advance(ms: number): void {
    checkDuration("advance", ms);
    if (this.#advancing) throw new Error("VirtualClock.advance: called from a timer that advance is running");
    const endMs = this.#nowMs + ms;
    this.#advancing = true;
    try {
      this.#runUntil(endMs);
    } finally {
      this.#advancing = false;
    }
    this.#nowMs = endMs;
  }

  #runUntil(endMs: number): void {
    for (let ran = 0; ; ran++) {
      const next = this.#timers[0];
      if (next === undefined || next.dueMs > endMs) return;
      if (ran === MAX_TIMERS_PER_ADVANCE) {
        throw new Error(`VirtualClock.advance: ${ran} timers ran and more are due at ${next.dueMs} ms`);
      }
      this.#timers.shift();
      this.#nowMs = next.dueMs;
      next.fn();
    }
  }
}

function checkDuration(method: string, ms: number): void {
  if (!(ms >= 0 && ms < Infinity)) {
    throw new RangeError(`VirtualClock.${method}: the duration must be finite and not negative, got ${ms}`);
  }
}
