/** A ring in the shape of production code: one producer, one consumer, free-running indices, cached index of the peer. */

export const HEAD = 0;
export const TAIL = 1;
export const SLOTS = 2;
export const SIZE = 2;
export const RING_WORDS: number = SLOTS + SIZE;

export class Producer {
  readonly i32: Int32Array;
  protected head = 0;
  protected cachedTail = 0;

  constructor(i32: Int32Array) {
    this.i32 = i32;
    this.head = i32[HEAD]!;
    this.cachedTail = Atomics.load(i32, TAIL);
  }

  produce(value: number): boolean {
    const { i32, head } = this;
    if (head - this.cachedTail === SIZE) {
      this.cachedTail = Atomics.load(i32, TAIL); // pairs with the store in consume
      if (head - this.cachedTail === SIZE) return false;
    }
    this.head = head + 1;
    this.publish(SLOTS + (head & (SIZE - 1)), value);
    return true;
  }

  protected publish(slot: number, value: number): void {
    this.i32[slot] = value;
    Atomics.store(this.i32, HEAD, this.head); // pairs with the load in consume
  }
}

export class Consumer {
  readonly i32: Int32Array;
  protected tail = 0;
  protected cachedHead = 0;

  constructor(i32: Int32Array) {
    this.i32 = i32;
    this.tail = i32[TAIL]!;
    this.cachedHead = Atomics.load(i32, HEAD);
  }

  /** 0 when empty. */
  consume(): number {
    const { i32, tail } = this;
    if (tail === this.cachedHead) {
      this.cachedHead = this.loadHead();
      if (tail === this.cachedHead) return 0;
    }
    const value = i32[SLOTS + (tail & (SIZE - 1))]!;
    this.tail = tail + 1;
    this.release();
    return value;
  }

  protected loadHead(): number {
    return Atomics.load(this.i32, HEAD); // pairs with the store in publish
  }

  protected release(): void {
    Atomics.store(this.i32, TAIL, this.tail); // pairs with the load in produce
  }
}
