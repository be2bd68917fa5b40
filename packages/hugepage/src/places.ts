import { type Host, type HugeBacking, IDX_MASK, MAX_ORDER, type PageRef } from "@netmem/core";
import { joinAndFree, splitBlock } from "./block-pages.ts";

interface Block {
  readonly ref: PageRef;
  /** Places that lie in it. */
  users: number;
  isSplit: boolean;
}

/**
 * Finds places for huge pages and takes every page of them from the page allocator. Where the arena starts at a
 * huge-aligned address a place is one block of the allocator; elsewhere it lies across blocks, so that runs of blocks that follow each other are needed.
 */
export class Places {
  /** log2 of the pages in a place. */
  readonly order: number;
  private readonly host: Host;
  private readonly base: number;
  private readonly blockOrder: number;
  /** Blocks that are held, by number. */
  private readonly blocks = new Map<number, Block>();
  /** First pages of the places that were handed out. */
  private readonly claimed = new Set<number>();

  constructor(host: Host, backing: HugeBacking) {
    this.host = host;
    this.order = Math.round(Math.log2(backing.pageBytes)) - host.pageShift;
    this.base = backing.firstOffset / host.pageSizeBytes;
    this.blockOrder = this.base === 0 && this.order <= MAX_ORDER ? this.order : MAX_ORDER;
  }

  /** First page of each of up to `count` places; fewer when the page allocator has no more such runs. */
  take(count: number, nid: number): number[] {
    const found: number[] = [];
    const claimFrom = (block: number): void => {
      for (const idx of this.completedBy(block)) if (found.length < count) found.push(this.claim(idx));
    };
    for (const block of this.blocks.keys()) claimFrom(block);
    const fresh: number[] = [];
    while (found.length < count) {
      const ref = this.host.pages.allocPages(this.blockOrder, nid);
      if (ref === 0) break;
      const block = ((ref >>> 1) & IDX_MASK) >>> this.blockOrder;
      this.blocks.set(block, { ref, users: 0, isSplit: false });
      fresh.push(block);
      claimFrom(block);
    }
    for (const block of fresh) this.dropUnused(block);
    return found;
  }

  /** Gives a place back. All of its pages are free. */
  give(idx: number): void {
    this.claimed.delete(idx);
    for (const block of this.blocksOf(idx)) {
      this.blocks.get(block)!.users--;
      this.dropUnused(block);
    }
  }

  /** Places that lie in `block`, all of whose blocks are held, and that nobody has. */
  private completedBy(block: number): number[] {
    const from = block << this.blockOrder;
    const firstPlace = Math.max(Math.floor((from - this.base) / 2 ** this.order), 0);
    const places: number[] = [];
    for (
      let idx = this.base + firstPlace * 2 ** this.order;
      idx < from + 2 ** this.blockOrder;
      idx += 2 ** this.order
    ) {
      const isWhole = this.blocksOf(idx).every((one) => this.blocks.has(one));
      if (isWhole && !this.claimed.has(idx)) places.push(idx);
    }
    return places;
  }

  private claim(idx: number): number {
    for (const number of this.blocksOf(idx)) {
      const block = this.blocks.get(number)!;
      block.users++;
      if (!block.isSplit) splitBlock(this.host, block.ref, this.blockOrder);
      block.isSplit = true;
    }
    this.claimed.add(idx);
    return idx;
  }

  private blocksOf(idx: number): number[] {
    const first = idx >>> this.blockOrder;
    const last = (idx + 2 ** this.order - 1) >>> this.blockOrder;
    return Array.from({ length: last - first + 1 }, (_, n) => first + n);
  }

  private dropUnused(number: number): void {
    const block = this.blocks.get(number);
    if (block === undefined || block.users > 0) return;
    this.blocks.delete(number);
    if (block.isSplit) joinAndFree(this.host, number << this.blockOrder, this.blockOrder);
    else this.host.pages.freePage(block.ref);
  }
}
