import { checkInt, type TimerId } from "@netmem/core";
import { holdersOf } from "./holders.ts";
import { outsideCount } from "./inflight.ts";
import type { PagePool } from "./page-pool.ts";

/** What {@link QueueMonitor} takes for normal. */
export interface QueueMonitorParams {
  /** Buffers that are outside in steady state: the device's receive ring. Default: the pool's `poolSize`. */
  readonly shareCount?: number;
  /** Buffers beyond the share that may stand for ever. Default: an eighth of the share, at least 1. */
  readonly markCount?: number;
  /** Length of a window in milliseconds. Default 100. */
  readonly windowMs?: number;
  /** So many windows in a row that never got down to the mark make a standing queue. Default 5. */
  readonly windowCount?: number;
  /** Called once when a queue begins to stand and once when it no longer does. */
  readonly onChange: (report: QueueReport) => void;
}

/** One change of a queue's state. */
export interface QueueReport {
  readonly kind: "standing" | "cleared";
  readonly pool: PagePool;
  /** Least number of buffers beyond the share since `sinceMs`; for "cleared": now. */
  readonly depth: number;
  /** When the queue began to stand, on the host's clock. */
  readonly sinceMs: number;
  /** Some of the buffers outside, with who touched them last where the pool has the debug level. Empty for "cleared". */
  readonly holders: readonly string[];
}

const HOLDERS_NAMED = 16;

/**
 * Tells a good queue from a bad one by how many of a pool's buffers are outside. A good queue takes a burst and drains:
 * somewhere in every window its depth is down at the mark. A standing queue never is, so its *minimum* says what only
 * adds delay and pins memory. Nothing is dropped here; that stays the user's.
 *
 * Costs the data path nothing: whoever polls calls {@link sample} now and then, or {@link start} sets a timer.
 */
export class QueueMonitor {
  readonly pool: PagePool;
  private readonly share: number;
  private readonly mark: number;
  private readonly windowMs: number;
  private readonly windowCount: number;
  private readonly onChange: (report: QueueReport) => void;
  private timer: TimerId = 0;
  private windowFromMs: number;
  private windowMin = Infinity;
  /** Windows in a row that stayed above the mark, since when, and the least depth in them. */
  private badWindows = 0;
  private sinceMs = 0;
  private depth = Infinity;
  private isReported = false;

  /** @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) */
  constructor(pool: PagePool, params: QueueMonitorParams) {
    const share = checkInt("shareCount", params.shareCount ?? pool.params.ringSize, 0, 2 ** 30);
    this.pool = pool;
    this.share = share;
    this.mark = checkInt("markCount", params.markCount ?? Math.max(1, share >>> 3), 0, 2 ** 30);
    this.windowMs = checkInt("windowMs", params.windowMs ?? 100, 1, 2 ** 31 - 1);
    this.windowCount = checkInt("windowCount", params.windowCount ?? 5, 1, 2 ** 20);
    this.onChange = params.onChange;
    this.windowFromMs = pool.host.clock.nowMs();
  }

  /** Whether a queue stands now, as of the last sample. */
  get isStanding(): boolean {
    return this.isReported;
  }

  /** Buffers outside beyond the share, never below 0. */
  depthNow(): number {
    return this.pool.freed ? 0 : Math.max(0, outsideCount(this.pool) - this.share);
  }

  /** Looks once. A handful of loads; pass the time if it is known. */
  sample(nowMs: number = this.pool.host.clock.nowMs()): void {
    const depth = this.depthNow();
    if (depth <= this.mark) return this.clear(nowMs, depth);
    if (depth < this.windowMin) this.windowMin = depth;
    if (nowMs - this.windowFromMs >= this.windowMs) this.closeWindow(nowMs, depth);
  }

  /** Samples by the host's clock, `everyMs` apart (default: eight times per window), until {@link stop} or the pool ends. */
  start(everyMs: number = Math.max(1, this.windowMs >>> 3)): void {
    checkInt("everyMs", everyMs, 1, 2 ** 31 - 1);
    this.stop();
    const tick = (): void => {
      // Before the report, whose receiver may stop.
      this.timer = this.pool.freed ? 0 : this.pool.host.clock.setTimer(tick, everyMs);
      this.sample();
    };
    this.timer = this.pool.host.clock.setTimer(tick, everyMs);
  }

  stop(): void {
    if (this.timer !== 0) this.pool.host.clock.clearTimer(this.timer);
    this.timer = 0;
  }

  /** A window went by above the mark. */
  private closeWindow(nowMs: number, depth: number): void {
    if (this.badWindows === 0) this.sinceMs = this.windowFromMs;
    this.badWindows++;
    this.depth = Math.min(this.depth, this.windowMin);
    if (this.badWindows >= this.windowCount && !this.isReported) this.report();
    this.windowFromMs = nowMs;
    this.windowMin = depth;
  }

  private report(): void {
    this.isReported = true;
    const { pool, depth, sinceMs } = this;
    this.onChange({ kind: "standing", pool, depth, sinceMs, holders: holdersOf(pool, HOLDERS_NAMED) });
  }

  /** The queue got down to the mark: what stood before no longer counts. */
  private clear(nowMs: number, depth: number): void {
    const wasReported = this.isReported;
    const { pool, sinceMs } = this;
    this.isReported = false;
    this.badWindows = 0;
    this.depth = Infinity;
    this.windowFromMs = nowMs;
    this.windowMin = Infinity;
    if (wasReported) this.onChange({ kind: "cleared", pool, depth, sinceMs, holders: [] });
  }
}
