import { type AbortSignalLike, checkInt, NetmemError, type NetmemRef } from "@netmem/core";
import { ALLOC_RETRY_MS } from "./limits.ts";
import { failDestroyed } from "./pool-errors.ts";
import { type PoolState, SlowBit } from "./pool-state.ts";
import { setSlow } from "./slow-mode.ts";

/**
 * How long `allocWait` waits, before whom, and what may stop it.
 *
 * A put on the pool's thread, or a return from another one, hands its buffer to the first who waits; nobody who comes later
 * finds it in the cache. A buffer that becomes free elsewhere, with the page allocator for instance, is noticed within 10
 * ms. No buffer is ever lost: the promise is resolved with it, or has rejected before (`ERR_NETMEM_ALLOC_TIMEOUT`,
 * ETIMEDOUT; `ERR_NETMEM_ALLOC_ABORTED`, ECANCELED, with the signal's reason as cause).
 */
export interface AllocWaitOptions {
  readonly signal?: AbortSignalLike;
  /** Higher goes first, -1000 to 1000; of equals, whoever asked first. Default 0. */
  readonly priority?: number;
  /** Milliseconds on the host's clock; absent = for ever. */
  readonly timeoutMs?: number;
}

/** A pool as the queue of its waiters sees it. */
export interface WaitedPool extends PoolState {
  allocNetmem(): NetmemRef | 0;
}

/** See `PagePool.allocWait`. */
export function allocWait(pool: WaitedPool, options: AllocWaitOptions): Promise<NetmemRef> {
  return new Promise((resolve, reject) => {
    checkInt("timeoutMs", options.timeoutMs ?? 0, 0, 2 ** 31 - 1);
    const priority = checkInt("priority", options.priority ?? 0, -1000, 1000);
    if ((pool.slow & SlowBit.Detached) !== 0) failDestroyed(pool, "allocWait()");
    if (options.signal?.aborted === true) throw abortError(pool, options.signal.reason);
    pool.life.allocQueue ??= new AllocQueue(pool);
    pool.life.allocQueue.add(new AllocWaiter(pool, options, priority, resolve, reject));
  });
}

/** The pool is being destroyed: nobody gets a buffer any more. */
export function rejectWaiters(pool: PoolState): void {
  pool.life.allocQueue?.rejectAll();
}

/**
 * Who waits for a buffer of one pool, in the order that they will be served. A put that frees a buffer hands it to the
 * first, so that nobody who comes later finds it in the cache.
 */
export class AllocQueue {
  private readonly pool: WaitedPool;
  private waiters: AllocWaiter[] = [];
  private timer = 0;
  private stopWatch: (() => void) | null = null;
  private isServing = false;

  constructor(pool: WaitedPool) {
    this.pool = pool;
  }

  get size(): number {
    return this.waiters.length;
  }

  /** Puts a waiter behind those that go first, and serves it at once if it is the first and there is a buffer. */
  add(waiter: AllocWaiter): void {
    const behind = this.waiters.findIndex((other) => other.priority < waiter.priority);
    this.waiters.splice(behind < 0 ? this.waiters.length : behind, 0, waiter);
    if (this.waiters[0] === waiter) this.serve();
    if (this.waiters.includes(waiter)) waiter.start();
    this.update();
  }

  remove(waiter: AllocWaiter): void {
    this.waiters = this.waiters.filter((other) => other !== waiter);
    this.update();
  }

  rejectAll(): void {
    const { pool } = this;
    for (const waiter of this.waiters.splice(0)) waiter.fail(destroyedError(pool));
    this.update();
  }

  /** Hands out what there is. Never throws: the put that got here was right. */
  private serve(): void {
    if (this.isServing) return;
    this.isServing = true;
    while (this.waiters.length > 0) {
      const ref = this.take();
      if (ref === 0) break;
      this.waiters.shift()!.finish(ref);
    }
    this.isServing = false;
  }

  /** A buffer, 0 for none. What the provider throws is the first waiter's. */
  private take(): NetmemRef | 0 {
    try {
      return this.pool.allocNetmem();
    } catch (error) {
      this.waiters.shift()!.fail(error);
      return 0;
    }
  }

  private readonly onFreed = (): void => {
    this.serve();
    this.update();
  };

  /** Puts leave their fast path, the inbox is watched and the clock ticks only while somebody waits. */
  private update(): void {
    const { pool } = this;
    const { clock } = pool.host;
    const waiting = this.waiters.length > 0;
    if (waiting === (pool.onFreed !== null)) return;
    pool.onFreed = waiting ? this.onFreed : null;
    if (!pool.freed) setSlow(pool, SlowBit.Waiting, waiting);
    clock.clearTimer(this.timer);
    this.timer = waiting ? clock.setTimer(this.onTick, ALLOC_RETRY_MS) : 0;
    this.stopWatch?.();
    this.stopWatch = waiting ? pool.host.watchInbox() : null;
  }

  private readonly onTick = (): void => {
    this.timer = this.pool.host.clock.setTimer(this.onTick, ALLOC_RETRY_MS);
    this.onFreed();
  };
}

/** One pending `allocWait`. */
class AllocWaiter {
  readonly priority: number;
  private readonly pool: PoolState;
  private readonly options: AllocWaitOptions;
  private readonly resolve: (ref: NetmemRef) => void;
  private readonly reject: (error: unknown) => void;
  private timer = 0;

  constructor(
    pool: PoolState,
    options: AllocWaitOptions,
    priority: number,
    resolve: (ref: NetmemRef) => void,
    reject: (error: unknown) => void,
  ) {
    this.pool = pool;
    this.options = options;
    this.priority = priority;
    this.resolve = resolve;
    this.reject = reject;
  }

  /** It has to wait. */
  start(): void {
    const { clock } = this.pool.host;
    this.options.signal?.addEventListener("abort", this.onAbort);
    if (this.options.timeoutMs !== undefined) this.timer = clock.setTimer(this.onTimeout, this.options.timeoutMs);
  }

  /** The buffer is the caller's from here on, whatever happens to the signal afterwards. */
  finish(ref: NetmemRef): void {
    this.cleanUp();
    this.resolve(ref);
  }

  fail(error: unknown): void {
    this.cleanUp();
    this.reject(error);
  }

  private readonly onAbort = (): void => {
    this.pool.life.allocQueue?.remove(this);
    this.fail(abortError(this.pool, this.options.signal?.reason));
  };

  private readonly onTimeout = (): void => {
    this.pool.life.allocQueue?.remove(this);
    this.fail(timeoutError(this.pool, this.options.timeoutMs ?? 0));
  };

  private cleanUp(): void {
    this.pool.host.clock.clearTimer(this.timer);
    this.options.signal?.removeEventListener("abort", this.onAbort);
  }
}

function abortError(pool: PoolState, cause: unknown): NetmemError {
  return new NetmemError({
    code: "ERR_NETMEM_ALLOC_ABORTED",
    errno: "ECANCELED",
    reason: `waiting for a buffer of ${pool.params.name} ${pool.id} was aborted`,
    remedy: "No buffer was allocated.",
    param: "signal",
    value: pool.id,
    cause,
  });
}

function timeoutError(pool: PoolState, timeoutMs: number): NetmemError {
  return new NetmemError({
    code: "ERR_NETMEM_ALLOC_TIMEOUT",
    errno: "ETIMEDOUT",
    reason: `no buffer of ${pool.params.name} ${pool.id} became free within ${timeoutMs} ms`,
    remedy: "Return buffers sooner, make the pool's memory larger, or wait longer.",
    param: "timeoutMs",
    value: timeoutMs,
  });
}

function destroyedError(pool: PoolState): unknown {
  try {
    return failDestroyed(pool, "allocWait()");
  } catch (error) {
    return error;
  }
}
