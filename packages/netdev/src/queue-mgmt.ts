/** What a driver must offer so that one queue can get new memory while the device is up (kernel: `netdev_queue_mgmt_ops`). */
import type { HeaderSplit } from "./header-split.ts";
import type { RxQueue } from "./rx-queue.ts";

/**
 * How a queue is to be composed. The provider and the rest are in force on the {@link RxQueue} already when the hooks
 * are called, so that pools made for the queue find them there.
 */
export type QueueConfig = Pick<RxQueue, "queueIdx" | "provider" | "rxPageSizeBytes" | "xsk"> & {
  readonly headerSplit: HeaderSplit;
};

/**
 * The receiving half of a queue in four steps, so that the device can make new memory ready before it gives up the old.
 * `Mem` is everything that the queue needs to run: pools, buffers to post. What is in it is the driver's business; it
 * belongs to whoever was handed it last.
 *
 * With these hooks `start` is `queueStart(memAlloc())` and `stop` is `memFree(queueStop())`, plus the transmitting half,
 * which a restart leaves alone.
 */
export interface QueueMgmtOps<Mem extends object = object> {
  /** The queue can put headers and payload into different buffers. Default false. */
  readonly canSplitHeaders?: boolean;
  /** Largest header-split threshold. Bytes, default 0. */
  readonly maxHdsThreshBytes?: number;
  /** The queue can use buffers of another size than a page where its provider asks for it. Default false. */
  readonly canSetRxPageSize?: boolean;
  /** The queue can receive into an AF_XDP pool. Default false. */
  readonly canUseXsk?: boolean;
  /** Throws a coded error for a composition that the driver cannot do. Nothing has changed yet. */
  validateConfig?(config: QueueConfig): void;
  /**
   * Makes all that the queue needs, so that {@link queueStart} has little left to fail. The old memory is still in use:
   * for a moment there are two. Throws a coded error, holding nothing then.
   */
  memAlloc(): Mem;
  /** Gives back memory that the queue does not run on: destroys its pools, returns its buffers. Must not throw. */
  memFree(mem: Mem): void;
  /**
   * Registers the memory model, posts buffers, lets the hardware receive and interrupt. The poll instance is enabled.
   * Throws a coded error when it cannot: the memory is the caller's then, and may be started again.
   */
  queueStart(mem: Mem): void;
  /**
   * Stops receiving and returns the memory in use, posted buffers included. The poll instance is disabled, and the
   * device has polled until nothing was left; packets that real hardware received since are handed on first. The device
   * unregisters the memory model.
   */
  queueStop(): Mem;
}
