import type { QueueMgmtOps } from "./queue-mgmt.ts";

/** Where a queue's buffers came from and how they went back, as far as its driver can tell. Buffers since creation. */
export interface QueueDriverStats {
  readonly alloc: {
    /** From a list that the driver or its pool keeps. */
    readonly fast: number;
    /** Batches brought into that list from returned buffers. */
    readonly refill: number;
    /** From the page allocator or a provider. */
    readonly slow: number;
  };
  readonly recycle: {
    /** Back to that list at once. */
    readonly cached: number;
    /** Back by way of a ring or a counter, later. */
    readonly ring: number;
    /** Given up: back to where buffers are allocated. */
    readonly released: number;
  };
}

/**
 * One object per RX/TX queue pair, so that each queue of a device can have a driver of its own. The device calls it on
 * the control path and once per burst, never once per packet.
 *
 * A driver owns every buffer that it posted. {@link poll} hands packets on; {@link stop} brings the rest home.
 */
export interface QueueDriver {
  /** Short name of what the queue is made of, e.g. "page_pool". */
  readonly composition: string;
  /** Lets the device restart the receiving half alone, which providers, AF_XDP pools and header split need. */
  readonly mgmt?: QueueMgmtOps;
  /**
   * Registers the queue's memory model (`host.mem.regMemModel`), posts buffers, lets the hardware interrupt. The queue is
   * registered already. Throws a coded error when it cannot, holding nothing then.
   */
  start(): void;
  /**
   * The poll instance is disabled already. Takes back every posted buffer and every frame not yet sent,
   * and returns them. May be started again afterwards.
   */
  stop(): void;
  /**
   * Completes transmitted frames, receives up to `budget` packets, refills, flushes the queue's burst. With fewer than
   * `budget` packets it calls `napi.completeDone` and, when true, unmasks the interrupt. Returns packets received.
   */
  poll(budget: number): number;
  /**
   * Takes `frames[0..n)` for transmission, in order, as far as there is room, and returns how many. Those are the
   * driver's, the rest stays with the caller (kernel: `ndo_xdp_xmit`). An unreadable frame is not taken.
   */
  xdpXmit(frames: Int32Array, n: number): number;
  /** Buffers that left their allocator for this queue and are not home, as far as the driver can tell. */
  inflight(): number;
  getStats(): QueueDriverStats;
}
