/** The least that can be called an allocator: a stack of integers, nothing checked. */
export class FreeList {
  private count: number;
  private readonly items: Int32Array;

  constructor(size: number) {
    this.items = Int32Array.from({ length: size }, (_, at) => at + 1);
    this.count = size;
  }

  pop(): number {
    return this.items[--this.count]!;
  }

  push(item: number): void {
    this.items[this.count++] = item;
  }
}
