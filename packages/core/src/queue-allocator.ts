import type { NetmemRef } from "./netmem-ref.ts";

/**
 * What a driver asks for buffers, whatever stands behind its queue: a page pool, an XSK pool, a device-memory
 * allocator, page fragments. Owner's thread only.
 */
export interface QueueAllocator {
  /** One buffer, 0 when exhausted. The caller must return it once. */
  allocNetmem(): NetmemRef | 0;
  /** Up to `max` buffers into `out[0..n)`; returns n. */
  allocBulk(out: Int32Array, max: number): number;
  /**
   * Gives a buffer back. `dmaSyncSize` is the number of bytes that the CPU may have touched, -1 for all;
   * `allowDirect` promises that the caller is the queue's own poll.
   */
  put(ref: NetmemRef, dmaSyncSize: number, allowDirect: boolean): void;
  /** Of an allocator that hands out pieces of buffers: bytes of each piece. Absent where buffers are whole. */
  readonly fragBytes?: number;
  /** With {@link fragBytes}: where the last piece begins, in bytes from the first byte of its netmem. */
  readonly lastOffset?: number;
}
