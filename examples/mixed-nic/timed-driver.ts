import type { QueueDriver, QueueDriverStats, QueueMgmtOps } from "@netmem/netdev";

/** A driver with a stop-watch around each poll. */
export class TimedDriver implements QueueDriver {
  declare readonly mgmt?: QueueMgmtOps;
  /** Time in polls so far. Milliseconds. */
  pollMs = 0;
  private readonly inner: QueueDriver;

  constructor(inner: QueueDriver) {
    this.inner = inner;
    if (inner.mgmt !== undefined) this.mgmt = inner.mgmt;
  }

  get composition(): string {
    return this.inner.composition;
  }

  start(): void {
    this.inner.start();
  }

  stop(): void {
    this.inner.stop();
  }

  poll(budget: number): number {
    const start = performance.now();
    const work = this.inner.poll(budget);
    this.pollMs += performance.now() - start;
    return work;
  }

  xdpXmit(frames: Int32Array, n: number): number {
    return this.inner.xdpXmit(frames, n);
  }

  inflight(): number {
    return this.inner.inflight();
  }

  getStats(): QueueDriverStats {
    return this.inner.getStats();
  }
}
