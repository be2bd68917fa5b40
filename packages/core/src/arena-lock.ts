/*
 * data path
 *
 * A lock is one arena word:
 *
 *   8        7                0
 *  +--------+------------------+
 *  |SLEEPERS| worker id + 1    |   0 = free
 *  +--------+------------------+
 *
 * It names its holder, so that a lock whose holder died is found and taken over. Nobody calls out of the code base while
 * holding one. A thread spins for a few microseconds, then sleeps if its runtime lets it (the main thread of a browser
 * may not), and gives up after a time in which no live holder can have failed to let go.
 */
import { NetmemError } from "./errors.ts";

const HOLDER_MASK = 0xff;
/** Somebody may sleep on the word: whoever releases it wakes one. */
const SLEEPERS = 0x100;

/** Looks at the word before sleeping; the pauses between them double up to {@link MAX_PAUSES}. */
const SPINS = 64;
const MAX_PAUSES = 64;
/** A thread that may not sleep looks this often, some tenths of a second, ... */
const SPINS_WITHOUT_SLEEP = 200_000;
/** ... and one that may, sleeps this often for so long without anybody waking it. */
const SLEEPS = 100;
const SLEEP_MS = 20;

/** What {@link lockArena} needs of a host. */
export interface LockingHost {
  readonly i32: Int32Array;
  readonly threaded: 0 | 1;
  readonly workerId: number;
}

/** Takes the lock at word `at` if it is free. True: the caller holds it. One compareExchange, about 9 ns. */
export function tryLock(i32: Int32Array, at: number, workerId: number): boolean {
  // Acquires; partner: the compareExchange or exchange of releaseLock.
  return Atomics.compareExchange(i32, at, 0, workerId + 1) === 0;
}

/**
 * Takes the lock at word `at`, waiting for its holder. About 9 ns when it is free.
 *
 * @throws `ERR_NETMEM_LOCK_STUCK` (ETIMEDOUT) with the holder's id as value when it does not let go, most likely because
 * it is dead; `ERR_NETMEM_LOCK_HELD` (EDEADLK) when the caller has it already. The caller does not hold it then.
 */
export function acquireLock(i32: Int32Array, at: number, workerId: number): void {
  if (Atomics.compareExchange(i32, at, 0, workerId + 1) === 0) return;
  const isTaken = acquireWithin(i32, at, workerId, SPINS, canSleep() ? SLEEPS : 0);
  if (isTaken || (!canSleep() && spin(i32, at, workerId, SPINS_WITHOUT_SLEEP))) return;
  failStuck(i32, at);
}

/**
 * As {@link acquireLock}, with bounds: `spins` looks at the word, then `sleeps` sleeps that nobody ended. Returns whether
 * the caller holds the lock.
 * @throws `ERR_NETMEM_LOCK_HELD` (EDEADLK).
 */
export function acquireWithin(i32: Int32Array, at: number, workerId: number, spins: number, sleeps: number): boolean {
  return spin(i32, at, workerId, spins) || sleep(i32, at, workerId, sleeps);
}

/**
 * Lets go of the lock, and wakes one thread that sleeps for it. About 9 ns when none does.
 *
 * @throws `ERR_NETMEM_LOCK_NOT_HELD` (EPERM) when worker `workerId` does not hold it; nothing has changed then.
 */
export function releaseLock(i32: Int32Array, at: number, workerId: number): void {
  // Releases everything done under the lock; partner: the compareExchange that takes it.
  const word = Atomics.compareExchange(i32, at, workerId + 1, 0);
  if (word !== workerId + 1) releaseSlow(i32, at, workerId, word);
}

/** The worker that holds the lock, -1 for nobody. */
export function lockHolder(i32: Int32Array, at: number): number {
  return (Atomics.load(i32, at) & HOLDER_MASK) - 1;
}

/**
 * Takes over a lock whose holder is dead. True: the caller holds it now, must assume that what it guards was left half
 * changed, put that right, and release the lock. False: the dead worker did not have it. The caller knows that worker
 * `deadWorkerId` runs no more, from its exit event for instance, and that nobody else repairs after it.
 */
export function repairLock(i32: Int32Array, at: number, deadWorkerId: number, workerId: number): boolean {
  for (;;) {
    const word = Atomics.load(i32, at);
    if ((word & HOLDER_MASK) !== deadWorkerId + 1) return false;
    // Twice at most: all that others can do to a word with a dead holder is to set SLEEPERS.
    if (Atomics.compareExchange(i32, at, word, (word & SLEEPERS) | (workerId + 1)) === word) return true;
  }
}

/** {@link acquireLock} for code that runs on hosts with one thread too, where it costs a compare. */
export function lockArena(host: LockingHost, at: number): void {
  if (host.threaded !== 0) acquireLock(host.i32, at, host.workerId);
}

/** Undoes {@link lockArena}. */
export function unlockArena(host: LockingHost, at: number): void {
  if (host.threaded !== 0) releaseLock(host.i32, at, host.workerId);
}

function spin(i32: Int32Array, at: number, workerId: number, spins: number): boolean {
  let pauses = 1;
  for (let n = 0; n < spins; n++) {
    const word = Atomics.load(i32, at);
    if (word === 0 && Atomics.compareExchange(i32, at, 0, workerId + 1) === 0) return true;
    if ((word & HOLDER_MASK) === workerId + 1) failHeld(workerId);
    for (let pause = 0; pause < pauses; pause++) relax();
    if (pauses < MAX_PAUSES) pauses *= 2;
  }
  return false;
}

/** Whoever slept takes the word with SLEEPERS set, because others may still sleep: each release then wakes the next. */
function sleep(i32: Int32Array, at: number, workerId: number, sleeps: number): boolean {
  let timeouts = 0;
  while (timeouts < sleeps) {
    const word = Atomics.load(i32, at);
    if (word === 0) {
      if (Atomics.compareExchange(i32, at, 0, (workerId + 1) | SLEEPERS) === 0) return true;
    } else if ((word & SLEEPERS) !== 0 || Atomics.compareExchange(i32, at, word, word | SLEEPERS) === word) {
      // Partner: the notify of releaseSlow. A time limit, because a thread that was woken may die before it takes the lock.
      if (Atomics.wait(i32, at, word | SLEEPERS, SLEEP_MS) === "timed-out") timeouts++;
    }
  }
  return false;
}

function releaseSlow(i32: Int32Array, at: number, workerId: number, word: number): void {
  if ((word & HOLDER_MASK) !== workerId + 1) failNotHeld(workerId, word);
  Atomics.exchange(i32, at, 0);
  // Partner: the wait of sleep.
  Atomics.notify(i32, at, 1);
}

/** Newer than some runtimes. */
interface MaybePausing {
  pause?(): void;
}

/** Tells the processor that this is a loop that waits, where the runtime can. */
function relax(): void {
  (Atomics as MaybePausing).pause?.();
}

/** Control path: asks the runtime, which refuses before it looks at the value. */
function canSleep(): boolean {
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1, 0);
    return true;
  } catch {
    return false;
  }
}

function failStuck(i32: Int32Array, at: number): never {
  const holder = lockHolder(i32, at);
  throw new NetmemError({
    code: "ERR_NETMEM_LOCK_STUCK",
    errno: "ETIMEDOUT",
    reason: `the lock at word ${at} is held by worker ${holder}, which does not let go`,
    remedy: "If that worker has ended, reclaim what it left; if it is stopped in a debugger, let it run.",
    param: "holder",
    value: holder,
  });
}

function failHeld(workerId: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_LOCK_HELD",
    errno: "EDEADLK",
    reason: `worker ${workerId} waits for a lock that it holds`,
    remedy:
      "Do not call into the allocator from code that runs under its lock; give every thread a worker id of its own.",
    param: "workerId",
    value: workerId,
  });
}

function failNotHeld(workerId: number, word: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_LOCK_NOT_HELD",
    errno: "EPERM",
    reason: `worker ${workerId} lets go of a lock that ${word === 0 ? "nobody" : `worker ${(word & HOLDER_MASK) - 1}`} holds`,
    remedy: "Release a lock once, on the thread that took it.",
    param: "workerId",
    value: workerId,
  });
}
