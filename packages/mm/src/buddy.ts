/*
 * data path
 *
 * Buddy allocator over the pages of one memory node: free blocks of 2^order pages, aligned to their size, in one doubly
 * linked list per order. Links are page indices in the descriptor columns; list heads and counts are arena words.
 *
 *  at       allocator words + 64 * node
 *     + 1   free pages on the lists
 *     + 16  list heads, one per order
 *     + 32  block counts, one per order
 *
 * A thread may die in the middle. Marks of free blocks never overlap, and what is on its way between a list and a caller
 * is written down before the first mark changes: the worker's MOVING word names the block. All the rest, links, heads
 * and counts, can be made again from the marks: see dead-worker.ts.
 */
import { type Host, INFO_BUDDY, INFO_ORDER_MASK, MAX_ORDER as MAX_ORDER_ } from "@netmem/core";
import { FREE_PAGES as FREE_PAGES_, MOVING, MOVING_SHIFT as MOVING_SHIFT_, NODE_WORDS } from "./allocator-words.ts";

const MAX_ORDER = MAX_ORDER_;
const MOVING_SHIFT = MOVING_SHIFT_;
const FREE_PAGES = FREE_PAGES_;
const HEADS = 16;
const COUNTS = 32;
const BUDDY = INFO_BUDDY;
const ORDER_MASK = INFO_ORDER_MASK;

/** The lists of one node. Knows blocks, not references. Once the host is shared, its callers hold the allocator's lock. */
export class Buddy {
  declare private readonly i32: Int32Array;
  declare private readonly at: number;
  declare private readonly movingAt: number;
  declare private readonly linkAt: number;
  declare private readonly prevAt: number;
  declare private readonly infoAt: number;
  declare private readonly firstIdx: number;
  declare private readonly endIdx: number;

  /** On the creating thread, puts the node's pages on the lists; on others, joins. */
  constructor(host: Host, nid = 0) {
    const { layout, nodes } = host;
    this.i32 = host.i32;
    this.at = layout.allocatorAt + nid * NODE_WORDS;
    this.movingAt = layout.allocatorAt + MOVING + host.workerId;
    this.linkAt = layout.linkAt;
    this.prevAt = layout.dmaAt;
    this.infoAt = layout.infoAt;
    this.firstIdx = nodes.firstIdxOf(nid);
    this.endIdx = nodes.firstIdxOf(nid + 1);
    if (host.attached === 0) this.fill();
  }

  get freePageCount(): number {
    return this.i32[this.at + FREE_PAGES]!;
  }

  /** Free blocks of exactly this order. */
  blockCount(order: number): number {
    return this.i32[this.at + COUNTS + order]!;
  }

  /** Smallest order >= `order` that has a free block, -1 when none has. */
  findOrder(order: number): number {
    for (let k = order; k <= MAX_ORDER; k++) {
      if (this.i32[this.at + HEADS + k] !== 0) return k;
    }
    return -1;
  }

  /** First page of a block of exactly `order`, splitting a larger one if need be; 0 when none is left. */
  take(order: number): number {
    const from = this.findOrder(order);
    if (from < 0) return 0;
    const idx = this.i32[this.at + HEADS + from]!;
    this.i32[this.movingAt] = (from << MOVING_SHIFT) | idx;
    this.unlink(idx, from);
    for (let k = from - 1; k >= order; k--) this.link(idx + (1 << k), k);
    this.i32[this.at + FREE_PAGES] = this.i32[this.at + FREE_PAGES]! - (1 << order);
    return idx;
  }

  /** Gives a block back and merges it with its free buddies. `meta` is what the meta word of its first page says then. */
  give(start: number, startOrder: number, meta: number): void {
    const i32 = this.i32;
    let idx = start;
    let order = startOrder;
    i32[this.movingAt] = (order << MOVING_SHIFT) | idx;
    i32[start] = meta;
    while (order < MAX_ORDER) {
      const buddy = idx ^ (1 << order);
      if (buddy < this.firstIdx || buddy + (1 << order) > this.endIdx) break;
      if ((i32[this.infoAt + buddy]! & (BUDDY | ORDER_MASK)) !== (BUDDY | order)) break;
      idx &= ~(1 << order);
      i32[this.movingAt] = ((order + 1) << MOVING_SHIFT) | idx;
      this.unlink(buddy, order);
      order++;
    }
    this.link(idx, order);
    i32[this.at + FREE_PAGES] = i32[this.at + FREE_PAGES]! + (1 << startOrder);
  }

  private link(idx: number, order: number): void {
    const i32 = this.i32;
    const headAt = this.at + HEADS + order;
    const first = i32[headAt]!;
    i32[this.linkAt + idx] = first;
    i32[this.prevAt + idx] = 0;
    i32[this.infoAt + idx] = BUDDY | order;
    if (first !== 0) i32[this.prevAt + first] = idx;
    i32[headAt] = idx;
    i32[this.at + COUNTS + order] = i32[this.at + COUNTS + order]! + 1;
  }

  private unlink(idx: number, order: number): void {
    const i32 = this.i32;
    const next = i32[this.linkAt + idx]!;
    const prev = i32[this.prevAt + idx]!;
    if (next !== 0) i32[this.prevAt + next] = prev;
    if (prev !== 0) i32[this.linkAt + prev] = next;
    else i32[this.at + HEADS + order] = next;
    i32[this.prevAt + idx] = 0;
    i32[this.infoAt + idx] = 0;
    i32[this.at + COUNTS + order] = i32[this.at + COUNTS + order]! - 1;
  }

  /** Forgets all blocks. Their marks stay. Control path, for repair. */
  clear(): void {
    this.i32[this.at + FREE_PAGES] = 0;
    this.i32.fill(0, this.at + HEADS, this.at + HEADS + MAX_ORDER + 1);
    this.i32.fill(0, this.at + COUNTS, this.at + COUNTS + MAX_ORDER + 1);
  }

  /** Puts a free block on its list, whatever its buddy is. Control path. */
  add(idx: number, order: number): void {
    this.link(idx, order);
    this.i32[this.at + FREE_PAGES] = this.i32[this.at + FREE_PAGES]! + (1 << order);
  }

  /** Puts the node's pages on the lists as the largest aligned blocks, highest addresses first so that low ones go out first. */
  private fill(): void {
    let end = this.endIdx;
    while (end > this.firstIdx) {
      let order = Math.min(MAX_ORDER, 31 - Math.clz32(end & -end));
      while (end - (1 << order) < this.firstIdx) order--;
      end -= 1 << order;
      this.add(end, order);
    }
  }
}
