import type { NetmemRef } from "./netmem-ref.ts";

/**
 * How buffers reach owners on other threads, and how those of other threads reach this one. Injected into the host:
 * `createReturns` of `@netmem/ring`. Every thread has one inbox, whatever the number of its owners; what is put in is
 * seen by its owner after {@link flush}.
 */
export interface RemoteReturns {
  /**
   * Takes entries of `refs[from..end)` for as long as they are live, exclusively held buffers of owners on other threads.
   * Returns how many.
   */
  takeRun(refs: Int32Array, from: number, end: number): number;
  /** Takes one live buffer, whose last holder the caller is, for an owner of worker `threadId`. */
  push(ref: NetmemRef, threadId: number): void;
  /** Hands over everything taken. */
  flush(): void;
  /** Empties the inboxes that this thread looks after by `deliverReturns`. Returns how many entries there were. */
  drain(): number;
  /** Whether {@link drain} would find something. One atomic load per inbox. */
  hasWork(): boolean;
  /**
   * For a thread without work: true when nothing is there; `wake` is then called, or the word at {@link sleepingAt}
   * notified, when something comes. Ended by {@link cancelSleep}.
   */
  prepareSleep(): boolean;
  cancelSleep(): void;
  /** Word for `Atomics.wait(i32, sleepingAt, 1)` after {@link prepareSleep} said true. */
  readonly sleepingAt: number;
  /** Hands over what a dead worker had put in and not flushed. Returns how many entries that were. */
  finish(workerId: number): number;
  /** From now on this thread empties the inbox of a dead worker as well, until {@link disown}. */
  adopt(workerId: number): void;
  disown(workerId: number): void;
  /** Brings home what a dead worker held through channels, and what was on its way to it. */
  takeBack(workerId: number): HeldBuffers;
}

/** What {@link RemoteReturns.takeBack} found. */
export interface HeldBuffers {
  /** Buffers that were in channels of the worker and that nobody will take: sent home. */
  readonly queued: number;
  /** Buffers that it had taken from a channel and held alone: sent home. */
  readonly taken: number;
  /**
   * References of buffers that it had taken and that others hold as well. What it did with its share cannot be known, so
   * they stay as they are.
   */
  readonly doubtful: readonly NetmemRef[];
}

/** What became of buffers that came home from other threads. Counts run freely through 2^32. */
export interface ReturnCounts {
  /** Entries that came. */
  delivered: number;
  /**
   * Entries that were no live reference, most likely returned twice, and those whose owner died and was not adopted. Each is
   * reported by a warning.
   */
  refused: number;
}
