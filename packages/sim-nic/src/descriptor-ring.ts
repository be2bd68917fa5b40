/*
 * data path
 *
 * A ring of descriptors in the arena, shared by a driver and the hardware. All indices are free-running 32-bit
 * integers; slot = index & mask; differences are taken with `| 0`, so that they survive the wrap.
 *
 *  at + 0   producer    next index that the driver posts
 *     + 1   cleaned     next completed index that the driver looks at
 *     + 16  completed   next index that the hardware completes (its own cache line)
 *     + 32  descriptors of four words:
 *
 *          0 pfn      page frame number, an address for the device
 *          1 offset   bytes into the page          RX completion: the packet's hash
 *          2 length   bytes of room, or of data    RX completion: bytes written
 *          3 flags    DescFlag
 *
 *  cleaned <= completed <= producer <= cleaned + size
 */
import { checkInt, failParam, type Host } from "@netmem/core";

export const DESC_PFN = 0;
export const DESC_OFFSET = 1;
export const DESC_LENGTH = 2;
export const DESC_FLAGS = 3;
/** Where the hardware leaves the hash of a received packet. */
export const DESC_HASH = 1;

/** Bits of a descriptor's flags word. */
export const DescFlag = {
  /** Last descriptor of its packet. */
  Eop: 1,
  /** The hardware could not use the packet's addresses: no data. */
  Error: 2,
  /** Header split: these are the headers, and the payload is in the queue's ring of data buffers, up to its own Eop. */
  Split: 4,
} as const;

/** Word offsets in the ring's header, for loops that keep a ring's place in locals. */
export const RING_PRODUCER = 0;
const RING_CLEANED = 1;
export const RING_COMPLETED = 16;
const PRODUCER = RING_PRODUCER;
const CLEANED = RING_CLEANED;
const COMPLETED = RING_COMPLETED;
export const RING_HEADER_WORDS = 32;
const HEADER_WORDS = RING_HEADER_WORDS;
const MIN_SIZE = 8;
const MAX_SIZE = 16384;

export interface DescriptorRingParams {
  /** Descriptors, a power of two from 8 to 16384. */
  readonly descCount: number;
  /** First index. Tests start just below the wrap. Default 0. */
  readonly startIndex?: number;
  /** Words that somebody else allocated, for another thread's view of the same descriptors. Default: words of its own. */
  readonly words?: RingWords;
}

/** Where a ring lies. */
export interface RingWords {
  /** Word offset of the header. */
  readonly at: number;
  /** Word offset of the descriptors. */
  readonly descsAt: number;
}

export class DescriptorRing {
  declare readonly size: number;
  declare readonly mask: number;
  /** Word offset of slot 0. */
  declare readonly descsAt: number;
  declare private readonly host: Host;
  declare private readonly i32: Int32Array;
  /** Word offset of the header. */
  declare readonly at: number;
  declare private readonly isOwner: boolean;

  /** @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL), `ERR_NETMEM_NO_MEMORY` (ENOMEM) */
  constructor(host: Host, params: DescriptorRingParams) {
    this.size = checkInt("descCount", params.descCount, MIN_SIZE, MAX_SIZE);
    if ((this.size & (this.size - 1)) !== 0) failParam("descCount", this.size, "a power of two", "Round it up.");
    this.mask = this.size - 1;
    this.host = host;
    this.i32 = host.i32;
    this.isOwner = params.words === undefined;
    this.at = params.words?.at ?? host.heap.allocWords(HEADER_WORDS + this.size * 4);
    this.descsAt = params.words?.descsAt ?? this.at + HEADER_WORDS;
    this.producer = (params.startIndex ?? 0) | 0;
    this.reset();
  }

  get producer(): number {
    return this.i32[this.at + PRODUCER]!;
  }
  set producer(index: number) {
    this.i32[this.at + PRODUCER] = index;
  }
  get cleaned(): number {
    return this.i32[this.at + CLEANED]!;
  }
  set cleaned(index: number) {
    this.i32[this.at + CLEANED] = index;
  }
  /** Written by the hardware only. */
  get completed(): number {
    return this.i32[this.at + COMPLETED]!;
  }
  set completed(index: number) {
    this.i32[this.at + COMPLETED] = index;
  }

  /** Descriptors that the driver may post. */
  get room(): number {
    return this.size - ((this.producer - this.cleaned) | 0);
  }

  /** Word offset of a descriptor. */
  descAt(index: number): number {
    return this.descsAt + ((index & this.mask) << 2);
  }

  /** Driver: posts a descriptor. There must be {@link room}. */
  post(pfn: number, offset: number, length: number, flags: number): void {
    const i32 = this.i32;
    const index = i32[this.at + PRODUCER]!;
    const d = this.descsAt + ((index & this.mask) << 2);
    i32[d] = pfn;
    i32[d + 1] = offset;
    i32[d + 2] = length;
    i32[d + 3] = flags;
    i32[this.at + PRODUCER] = (index + 1) | 0;
  }

  /** Empties the ring: everything posted counts as cleaned. The hardware must not be using it. */
  reset(): void {
    this.completed = this.producer;
    this.cleaned = this.producer;
  }

  /** Gives the memory back, unless somebody else allocated it. */
  dispose(): void {
    if (this.isOwner) this.host.heap.freeWords(this.at, HEADER_WORDS + this.size * 4);
  }
}
