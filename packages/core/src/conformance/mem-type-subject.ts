import type { Host } from "../host.ts";
import type { MemAllocator } from "../mem-registry.ts";
import type { QueueAllocator } from "../queue-allocator.ts";

/** A memory type to be tried: a fresh host with its model installed and an allocator of its buffers. */
export interface MemTypeSubject {
  readonly host: Host;
  /** The type's number, from `host.memTypes.numberOf(name)`. */
  readonly memType: number;
  /** Hands out buffers of the type; all of them are home. */
  readonly allocator: QueueAllocator;
  /** Buffers that the allocator can have out at once, >= 8. */
  readonly capacity: number;
  /** What a queue registers with its memory model; null where the type needs none. */
  readonly memAllocator: MemAllocator | null;
}
