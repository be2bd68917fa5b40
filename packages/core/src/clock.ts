/** Identifies a timer of a {@link Clock}. */
export type TimerId = number;

/** Time as the host sees it. Injected, so that tests can turn the hands. */
export interface Clock {
  /** Milliseconds since an arbitrary start; never goes back. */
  nowMs(): number;
  /** Calls `fn` once, `delayMs` from now. Must not keep the process alive. */
  setTimer(fn: () => void, delayMs: number): TimerId;
  /** Forgets a timer; unknown ids are ignored. */
  clearTimer(id: TimerId): void;
}
