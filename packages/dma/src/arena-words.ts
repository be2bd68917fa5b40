import type { ArenaHeap } from "@netmem/core";

interface Block {
  readonly at: number;
  readonly words: number;
}

/** Blocks of arena words that live and die together. Control path. */
export class ArenaWords {
  private readonly heap: ArenaHeap;
  private readonly blocks: Block[] = [];

  constructor(heap: ArenaHeap) {
    this.heap = heap;
  }

  /** Word offset of `words` zeroed words. @throws `ERR_NETMEM_NO_MEMORY` (ENOMEM); all blocks are back by then. */
  take(words: number): number {
    try {
      const at = this.heap.allocWords(words);
      this.blocks.push({ at, words });
      return at;
    } catch (error) {
      this.giveBack();
      throw error;
    }
  }

  giveBack(): void {
    for (const { at, words } of this.blocks.splice(0)) this.heap.freeWords(at, words);
  }
}
