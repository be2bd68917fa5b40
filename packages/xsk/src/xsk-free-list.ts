/*
 * data path
 *
 * The free list of a pool, last in, first out: the owner record's return stack, which the return dispatch pushes into, and
 * behind it the older entries.
 *
 *   spill [oldest ... newer]  stack [newer ... newest]
 */
import {
  GEN_SHIFT as GEN_SHIFT_,
  IDX_MASK as IDX_MASK_,
  type NetmemRef,
  OWN_STACK as OWN_STACK_,
  OWNER_STACK_SIZE,
} from "@netmem/core";

const GEN_SHIFT = GEN_SHIFT_;
const IDX_MASK = IDX_MASK_;
const STACK = OWN_STACK_;
const STACK_SIZE = OWNER_STACK_SIZE;
const BATCH = 64;

export class XskFreeList {
  declare private readonly i32: Int32Array;
  /** Word offset of the owner record. */
  declare private readonly at: number;
  declare private readonly outTag: number;
  declare private readonly spillAt: number;
  declare private spillCount: number;

  constructor(i32: Int32Array, at: number, spillAt: number, outTag: number) {
    this.i32 = i32;
    this.at = at;
    this.outTag = outTag;
    this.spillAt = spillAt;
    this.spillCount = 0;
  }

  get count(): number {
    return this.i32[this.at]! + this.spillCount;
  }

  /** The newest buffer, marked as out; 0 when the list is empty. */
  pop(): NetmemRef | 0 {
    const { i32, at } = this;
    const count = i32[at]!;
    if (count === 0) return this.unspill() ? this.pop() : 0;
    i32[at] = count - 1;
    const ref = i32[at + (STACK - 1) + count]!;
    i32[(ref >>> 1) & IDX_MASK] = this.outTag | (ref >>> GEN_SHIFT);
    return ref as NetmemRef;
  }

  /** Up to `max` buffers, newest first, marked as out, into `out[0..n)`; returns n. */
  popMany(out: Int32Array, max: number): number {
    const { i32, at, outTag } = this;
    let n = 0;
    while (n < max) {
      const count = i32[at]!;
      if (count === 0 && !this.unspill()) break;
      const have = i32[at]!;
      const take = have < max - n ? have : max - n;
      for (let from = at + STACK + have - 1, end = from - take; from > end; from--) {
        const ref = i32[from]!;
        i32[(ref >>> 1) & IDX_MASK] = outTag | (ref >>> GEN_SHIFT);
        out[n++] = ref;
      }
      i32[at] = have - take;
    }
    return n;
  }

  /** Takes an armed reference. */
  push(next: number): void {
    const { i32, at } = this;
    if (i32[at]! >= STACK_SIZE) this.spill();
    const count = i32[at]!;
    i32[at + STACK + count] = next;
    i32[at] = count + 1;
  }

  /** Takes an armed reference as the newest of those behind the stack. Control path. */
  pushOld(next: number): void {
    this.i32[this.spillAt + this.spillCount++] = next;
  }

  /** Removes the newest armed reference as it is, 0 when there is none. Control path. */
  takeArmed(): number {
    const { i32, at } = this;
    if (i32[at] === 0 && !this.unspill()) return 0;
    const count = i32[at]! - 1;
    i32[at] = count;
    return i32[at + STACK + count]!;
  }

  /** Moves the oldest part of the stack behind it. */
  private spill(): void {
    const { i32 } = this;
    const from = this.at + STACK;
    i32.copyWithin(this.spillAt + this.spillCount, from, from + BATCH);
    i32.copyWithin(from, from + BATCH, from + STACK_SIZE);
    this.spillCount += BATCH;
    i32[this.at] = STACK_SIZE - BATCH;
  }

  /** Fills the empty stack from behind; false when there is nothing either. */
  private unspill(): boolean {
    const n = this.spillCount < BATCH ? this.spillCount : BATCH;
    if (n === 0) return false;
    const from = this.spillAt + this.spillCount - n;
    this.i32.copyWithin(this.at + STACK, from, from + n);
    this.spillCount -= n;
    this.i32[this.at] = n;
    return true;
  }
}
