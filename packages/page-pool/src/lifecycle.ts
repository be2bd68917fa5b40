import {
  type AbortSignalLike,
  asNetmemRef,
  checkInt,
  type MemoryProviderOps,
  NetmemError,
  OWNER_NONE,
  pageRefCount,
} from "@netmem/core";
import { rejectWaiters } from "./alloc-wait.ts";
import { freeFragPage } from "./frag.ts";
import { holdersOf } from "./holders.ts";
import { inflightOf, isDrained, outsideCount } from "./inflight.ts";
import { DEFER_TIME_MS, DEFER_WARN_INTERVAL_MS } from "./limits.ts";
import type { PoolDma } from "./pool-dma.ts";
import { releaseHome } from "./pool-home.ts";
import { untiePool } from "./pool-ties.ts";
import { type PoolState, SlowBit } from "./pool-state.ts";
import { popCache, releaseFromPool, warnUnmap } from "./release.ts";
import { setSlow } from "./slow-mode.ts";
import { readStats } from "./stats.ts";

/** How long {@link drained} waits, and what may stop it. */
export interface DrainOptions {
  readonly signal?: AbortSignalLike;
  /** Milliseconds on the host's clock; absent = for ever. */
  readonly timeoutMs?: number;
}

/** `page_pool_inflight(strict)`: warns when more came home than ever left. */
function strictInflight(pool: PoolState): number {
  const inflight = inflightOf(pool);
  if (inflight < 0) {
    pool.host.warn(
      "WARN_NETMEM_NEGATIVE_INFLIGHT",
      `${pool.params.name} ${pool.id}: negative (${inflight}) in-flight buffers`,
    );
  }
  return inflight;
}

/** Drops one user; the last one takes the pool down (`page_pool_destroy`). True once the pool is gone. */
export function destroyPool(pool: PoolState): boolean {
  if (pool.userCount === 0) return pool.freed;
  pool.userCount--;
  if (pool.userCount > 0) return false;
  pool.napi = null;
  pool.cpuid = -1;
  pool.promote = false;
  setSlow(pool, SlowBit.Detached, true);
  rejectWaiters(pool);
  freeFragPage(pool);
  if (tryRelease(pool)) return true;
  pool.life.detachedAtMs = pool.host.clock.nowMs();
  pool.life.warnedAtMs = pool.life.detachedAtMs;
  pool.host.pools.publish("change", pool.id);
  pool.host.clock.setTimer(() => retryRelease(pool), DEFER_TIME_MS);
  return false;
}

/** One attempt to free a destroyed pool: empties what it holds and looks whether anything is still out. */
function tryRelease(pool: PoolState): boolean {
  if (pool.freed) return true;
  pool.host.drainInbox();
  // What came home may have been what the last attempt waited for.
  if (pool.freed) return true;
  scrub(pool);
  if (strictInflight(pool) !== 0) return false;
  freePool(pool);
  return true;
}

function retryRelease(pool: PoolState): void {
  if (tryRelease(pool)) return;
  // A negative count cannot come right again; the kernel gives up here as well.
  if (inflightOf(pool) < 0) return;
  const now = pool.host.clock.nowMs();
  if (pool.params.ifindex === 0 && now - pool.life.warnedAtMs >= DEFER_WARN_INTERVAL_MS) {
    pool.life.warnedAtMs = now;
    const seconds = Math.floor((now - pool.life.detachedAtMs) / 1000);
    const holders = holdersOf(pool, 4).join(", ");
    pool.host.warn(
      "WARN_NETMEM_STALLED_SHUTDOWN",
      `stalled shutdown of ${pool.params.name} ${pool.id}: ${inflightOf(pool)} in flight for ${seconds} s: ${holders}`,
    );
  }
  pool.host.clock.setTimer(() => retryRelease(pool), DEFER_TIME_MS);
}

function scrub(pool: PoolState): void {
  if (pool.life.destroyTicks === 0) {
    popCache(pool, pool.cacheSize);
    if (pool.dma !== null) unmapAll(pool, pool.dma);
  }
  pool.life.destroyTicks++;
  pool.debug?.flush();
  for (let ref = pool.ring.consume(); ref !== 0; ref = pool.ring.consume()) {
    const page = asNetmemRef(ref);
    if ((ref & 1) === 0 && pageRefCount(pool.host, page) !== 1) {
      pool.host.warn(
        "WARN_NETMEM_RING_REFCNT",
        `${pool.params.name} ${pool.id}: page 0x${ref.toString(16)} in the ring has other holders`,
      );
    }
    releaseFromPool(pool, page);
  }
}

/**
 * Buffers outside lose their mapping now, so that a device may go away before its last buffer comes home. What a
 * provider mapped stays: only it knows how many buffers a mapping covers.
 */
function unmapAll(pool: PoolState, dma: PoolDma): void {
  setSlow(pool, SlowBit.DmaSync, false);
  dma.unmapAll((error) => warnUnmap(pool, error));
}

function freePool(pool: PoolState): void {
  pool.disconnect?.();
  pool.host.pools.publish("del", pool.id);
  leaveHome(pool);
  if (pool.provider !== null) dismissProvider(pool, pool.provider);
}

/** The pool is gone whatever the provider's last hook does. */
function dismissProvider(pool: PoolState, provider: MemoryProviderOps): void {
  try {
    provider.destroy(pool);
  } catch (error) {
    pool.host.warn("WARN_NETMEM_PROVIDER_DESTROY", `provider ${provider.name}, ${pool.params.name}: ${String(error)}`);
  }
}

/** Undoes a creation that failed; the provider is told only when its `init` had succeeded. */
export function abandonPool(pool: PoolState, initialised: boolean): void {
  pool.userCount = 0;
  pool.slow |= SlowBit.Detached;
  leaveHome(pool);
  if (initialised && pool.provider !== null) dismissProvider(pool, pool.provider);
}

/** From here on the pool object points at the record of "nobody", so that late calls find neither cache nor owner. */
function leaveHome(pool: PoolState): void {
  const { host } = pool;
  pool.life.finalStats = readStats(pool);
  pool.freed = true;
  untiePool(pool);
  host.pools.remove(pool.id);
  releaseHome(pool);
  pool.at = host.owners.recordAt(OWNER_NONE);
  pool.outTag = -1;
}

function drainError(pool: PoolState, code: string, why: string, cause?: unknown): NetmemError {
  return new NetmemError({
    code,
    reason: `${why}: ${outsideCount(pool)} buffers of ${pool.params.name} ${pool.id} are outside: ${holdersOf(pool, 8).join(", ")}`,
    remedy: "Return them; the pool stays listed until then.",
    param: "pool",
    value: pool.id,
    cause,
  });
}

/**
 * Resolves at the put after which no user holds a buffer; a destroyed pool is gone by then.
 *
 * @throws `ERR_NETMEM_DRAIN_TIMEOUT`, or `ERR_NETMEM_DRAIN_ABORTED` with the signal's reason as cause; both name holders.
 */
export function drained(pool: PoolState, options: DrainOptions): Promise<void> {
  pool.host.drainInbox();
  if (pool.freed || isDrained(pool)) {
    if (pool.userCount === 0) tryRelease(pool);
    return Promise.resolve();
  }
  if (options.signal?.aborted === true) {
    return Promise.reject(drainError(pool, "ERR_NETMEM_DRAIN_ABORTED", "aborted", options.signal.reason));
  }
  return new Promise((resolve, reject) => new DrainWaiter(pool, options, resolve, reject).start());
}

/** Runs everybody who waits for the pool to drain. Called by the put that brought the last buffer home. */
function notifyDrained(pool: PoolState): void {
  const waiters = pool.life.drainWaiters ?? new Set();
  pool.life.drainWaiters = null;
  watch(pool);
  if (pool.userCount === 0) tryRelease(pool);
  for (const waiter of waiters) waiter();
}

/**
 * Keeps puts on the slow path only while somebody waits. Core's `unrefNetmem` drops pieces of the fragment page without
 * telling the pool, so a timer looks as well.
 */
function watch(pool: PoolState): void {
  const { life, host } = pool;
  const waiting = life.drainWaiters !== null && life.drainWaiters.size > 0;
  pool.onDrained = waiting ? () => notifyDrained(pool) : null;
  host.clock.clearTimer(life.drainTimer);
  life.drainTimer = waiting ? host.clock.setTimer(() => lookDrained(pool), DEFER_TIME_MS) : 0;
  if (waiting) life.stopWatch ??= host.watchInbox();
  else {
    life.stopWatch?.();
    life.stopWatch = null;
  }
  if (!pool.freed) setSlow(pool, SlowBit.Watched, waiting);
}

function lookDrained(pool: PoolState): void {
  pool.host.drainInbox();
  if (pool.freed || isDrained(pool)) notifyDrained(pool);
  else watch(pool);
}

/** One pending {@link drained}. */
class DrainWaiter {
  private readonly pool: PoolState;
  private readonly options: DrainOptions;
  private readonly resolve: () => void;
  private readonly reject: (error: NetmemError) => void;
  private timer = 0;

  constructor(pool: PoolState, options: DrainOptions, resolve: () => void, reject: (error: NetmemError) => void) {
    this.pool = pool;
    this.options = options;
    this.resolve = resolve;
    this.reject = reject;
  }

  start(): void {
    const { pool, options } = this;
    checkInt("timeoutMs", options.timeoutMs ?? 0, 0, 2 ** 31 - 1);
    (pool.life.drainWaiters ??= new Set()).add(this.finish);
    watch(pool);
    options.signal?.addEventListener("abort", this.onAbort);
    if (options.timeoutMs !== undefined) this.timer = pool.host.clock.setTimer(this.onTimeout, options.timeoutMs);
  }

  private readonly onAbort = (): void => this.fail("ERR_NETMEM_DRAIN_ABORTED", "aborted", this.options.signal?.reason);

  private readonly onTimeout = (): void =>
    this.fail("ERR_NETMEM_DRAIN_TIMEOUT", `not drained after ${String(this.options.timeoutMs)} ms`);

  private readonly finish = (): void => {
    this.cleanUp();
    this.resolve();
  };

  private fail(code: string, why: string, cause?: unknown): void {
    this.pool.life.drainWaiters?.delete(this.finish);
    watch(this.pool);
    this.cleanUp();
    this.reject(drainError(this.pool, code, why, cause));
  }

  private cleanUp(): void {
    this.pool.host.clock.clearTimer(this.timer);
    this.options.signal?.removeEventListener("abort", this.onAbort);
  }
}
