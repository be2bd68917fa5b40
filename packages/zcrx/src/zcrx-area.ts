/*
 * data path
 *
 * The buffers of a user area (kernel: `io_zcrx_area`): readable net_iovs over a window of the arena. Each is in the free
 * list, with a pool, or with the user as a copy that no pool knows. Beside it the user's references are counted.
 */
import {
  GEN_SHIFT as GEN_SHIFT_,
  type Host,
  IDX_MASK as IDX_MASK_,
  META_FREE,
  META_GEN_MASK,
  META_OUT,
  META_STATE_MASK,
  type NetIovArea,
  type NetmemRef,
} from "@netmem/core";

const GEN_SHIFT = GEN_SHIFT_;
const IDX_MASK = IDX_MASK_;
const GEN_MASK = META_GEN_MASK;
const STATE_MASK = META_STATE_MASK;
const FREE = META_FREE;
const OUT = META_OUT;

export class ZcrxArea {
  declare private readonly i32: Int32Array;
  declare private readonly firstIdx: number;
  /** Buffers in the free list, last one first, by number. */
  declare private readonly free: Int32Array;
  declare freeCount: number;
  /** References of the user, by number. */
  declare private readonly users: Int32Array;
  declare readonly count: number;
  /** log2 of the bytes per buffer. */
  declare readonly shift: number;
  /** Arena byte offset of the first buffer. */
  declare readonly offset: number;
  declare private readonly host: Host;
  declare readonly area: NetIovArea;

  /** @throws `ERR_NETMEM_TABLE_FULL` (ENOSPC) */
  constructor(host: Host, name: string, offset: number, count: number, shift: number) {
    this.area = host.areas.add({ name, count, pageShift: shift, baseOffset: offset });
    this.i32 = host.i32;
    this.firstIdx = this.area.firstIdx;
    this.free = Int32Array.from({ length: count }, (_, n) => count - 1 - n);
    this.freeCount = count;
    this.users = new Int32Array(count);
    this.count = count;
    this.shift = shift;
    this.offset = offset;
    this.host = host;
  }

  /** Number of a buffer of this area, -1 for anything else. */
  numberOf(ref: NetmemRef): number {
    const n = ((ref >>> 1) & IDX_MASK) - this.firstIdx;
    return (ref & 1) === 0 || ref < 0 || n < 0 || n >= this.count ? -1 : n;
  }

  /** The buffer with that number, as its current reference. */
  refAt(n: number): NetmemRef {
    const idx = this.firstIdx + n;
    return (((this.i32[idx]! & GEN_MASK) << GEN_SHIFT) | (idx << 1) | 1) as NetmemRef;
  }

  /** Takes up to `max` buffers off the free list into `out[from...]`; returns how many. */
  take(out: Int32Array, from: number, max: number): number {
    const count = this.freeCount < max ? this.freeCount : max;
    for (let k = 0; k < count; k++) out[from + k] = this.refAt(this.free[--this.freeCount]!);
    return count;
  }

  /** Puts a buffer whose descriptor is free back; false for one of others, or in use, or when the list is full. */
  put(ref: NetmemRef): boolean {
    const n = this.numberOf(ref);
    if (n < 0 || (this.i32[this.firstIdx + n]! & STATE_MASK) !== FREE || this.freeCount === this.count) return false;
    this.free[this.freeCount++] = n;
    return true;
  }

  /** A buffer for a copy: out, and with no pool. 0 when the free list is empty. */
  takeCopy(): NetmemRef | 0 {
    if (this.freeCount === 0) return 0;
    const ref = this.refAt(this.free[--this.freeCount]!);
    this.i32[(ref >>> 1) & IDX_MASK] = OUT | (ref >>> GEN_SHIFT);
    this.i32[this.host.ppRefAt + ((ref >>> 1) & IDX_MASK)] = 0;
    return ref;
  }

  /** Puts a copy back; references to it are stale from now on. */
  putCopy(ref: NetmemRef): void {
    const idx = (ref >>> 1) & IDX_MASK;
    this.i32[idx] = FREE | ((this.i32[idx]! + 1) & GEN_MASK);
    this.free[this.freeCount++] = idx - this.firstIdx;
  }

  addUser(n: number): void {
    this.users[n] = this.users[n]! + 1;
  }

  /** Drops one reference of the user; false when it has none. */
  dropUser(n: number): boolean {
    if (this.users[n] === 0) return false;
    this.users[n] = this.users[n]! - 1;
    return true;
  }

  /** Takes all references of the user to a buffer and returns how many they were. */
  takeUsers(n: number): number {
    const users = this.users[n]!;
    this.users[n] = 0;
    return users;
  }

  userCount(n: number): number {
    return this.users[n]!;
  }

  /** Control path. */
  dispose(): void {
    this.host.areas.remove(this.area);
  }
}
