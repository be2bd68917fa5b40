/*
 * data path
 *
 * A thread sleeps on one word, whatever it waits for: that of its inbox, see `RemoteReturns.prepareSleep`. A worker of a
 * group also waits for its hardware, for frames, for room to send to, and for commands. Every one of them is shown by an
 * atomic store; then whoever stored looks at the word. The sleeper sets the word, then looks at all of them. Both
 * sides are sequentially consistent, so one of the two sees the other.
 */
import type { RemoteReturns } from "@netmem/core";

/**
 * Wakes the thread that left the word it sleeps on at `wakeAt`, if it sleeps. For after an atomic store that shows it
 * something. Two loads when it is awake; a system call, some 5 us, when it sleeps, paid by one of those who try.
 */
export function wakeWorker(i32: Int32Array, wakeAt: number): void {
  // A worker says where it sleeps before it looks for the first time: whoever reads an older answer was seen by that look.
  const sleepingAt = Atomics.load(i32, wakeAt);
  if (sleepingAt === 0 || Atomics.load(i32, sleepingAt) === 0) return;
  if (Atomics.exchange(i32, sleepingAt, 0) !== 0) Atomics.notify(i32, sleepingAt);
}

/**
 * Sleeps until somebody wakes this thread, but no longer than `timeoutMs`, unless there is work. `hasWork` looks at
 * everything but the inbox, by atomic loads. May return for nothing.
 */
export function sleepUntilWork(
  i32: Int32Array,
  returns: Pick<RemoteReturns, "prepareSleep" | "cancelSleep" | "sleepingAt">,
  hasWork: () => boolean,
  timeoutMs: number,
): void {
  if (!returns.prepareSleep()) return;
  if (!hasWork()) Atomics.wait(i32, returns.sleepingAt, 1, timeoutMs);
  returns.cancelSleep();
}
