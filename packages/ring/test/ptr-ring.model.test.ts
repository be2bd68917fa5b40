import fc from "fast-check";
import { expect, test } from "vitest";
import { PtrRing } from "../src/index.ts";
import { createRingMemory } from "./ring-memory.ts";

/** What a ring must do, by counting: entries in order, and how many slots behind the head are not cleared yet. */
class RingModel {
  items: number[] = [];
  size: number;
  private head = 0;
  private uncleared = 0;

  constructor(size: number) {
    this.size = size;
  }

  get batch(): number {
    return this.size < 32 ? 1 : 16;
  }

  get isFull(): boolean {
    return this.items.length + this.uncleared === this.size;
  }

  produce(value: number): boolean {
    if (this.isFull) return false;
    this.items.push(value);
    return true;
  }

  consume(): number {
    const value = this.items.shift();
    if (value === undefined) return 0;
    this.head++;
    this.uncleared++;
    if (this.uncleared === this.batch || this.head === this.size) this.uncleared = 0;
    if (this.head === this.size) this.head = 0;
    return value;
  }

  /** Returns what must be destroyed. */
  unconsume(values: readonly number[]): number[] {
    if (this.size > 0) this.uncleared = 0;
    const room = Math.min(values.length, this.size - this.items.length);
    const kept = values.slice(values.length - room);
    this.items.unshift(...kept);
    this.head = this.size === 0 ? 0 : (this.head - room + this.size) % this.size;
    return values.slice(0, values.length - room).reverse();
  }

  resize(size: number): number[] {
    const lost = this.items.splice(size);
    this.size = size;
    this.head = 0;
    this.uncleared = 0;
    return lost;
  }
}

type Command =
  | { readonly kind: "produce"; readonly n: number }
  | { readonly kind: "consume"; readonly n: number }
  | { readonly kind: "consumeBatch"; readonly n: number }
  | { readonly kind: "unconsume"; readonly n: number; readonly fresh: boolean }
  | { readonly kind: "resize"; readonly size: number };

const count = fc.integer({ min: 1, max: 40 });
const size = fc.oneof(fc.constantFrom(0, 1, 2, 31, 32, 33), fc.integer({ min: 0, max: 100 }));
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("produce" as const), n: count }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("consume" as const), n: count }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("consumeBatch" as const), n: count }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("unconsume" as const), n: count, fresh: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("resize" as const), size }) },
);

/** Ring and model side by side; every answer is compared. */
class Pair {
  ring: PtrRing;
  readonly model: RingModel;
  private taken: number[] = [];
  private nextValue = 1;

  constructor(size: number, startCount: number) {
    this.ring = new PtrRing(createRingMemory(), size, { startCount });
    this.model = new RingModel(size);
  }

  run(command: Command): void {
    if (command.kind === "produce") this.produce(command.n);
    else if (command.kind === "consume") this.consume(command.n);
    else if (command.kind === "consumeBatch") this.consumeBatch(command.n);
    else if (command.kind === "unconsume") this.unconsume(command.n, command.fresh);
    else this.resize(command.size);
    expect(this.ring.count).toBe(this.model.items.length);
    expect(this.ring.isEmpty()).toBe(this.model.items.length === 0);
    expect(this.ring.isFull()).toBe(this.model.isFull);
  }

  private produce(n: number): void {
    for (let k = 0; k < n; k++) {
      const value = this.nextValue++;
      expect(this.ring.produce(value)).toBe(this.model.produce(value));
    }
  }

  private consume(n: number): void {
    for (let k = 0; k < n; k++) {
      const value = this.ring.consume();
      expect(value).toBe(this.model.consume());
      if (value !== 0) this.taken.push(value);
    }
  }

  private consumeBatch(n: number): void {
    const got = new Int32Array(n);
    const length = this.ring.consumeBatch(got, 0, n);
    const wanted = Array.from({ length: n }, () => this.model.consume()).filter((value) => value !== 0);
    expect([...got.subarray(0, length)]).toEqual(wanted);
    this.taken.push(...wanted);
  }

  /** Gives back the latest entries that were taken, as the kernel's users do, or ones that were never inside. */
  private unconsume(n: number, fresh: boolean): void {
    const values = fresh ? Array.from({ length: n }, () => this.nextValue++) : this.taken.splice(-n);
    const destroyed: number[] = [];
    this.ring.unconsume(Int32Array.from(values), values.length, (value) => destroyed.push(value));
    expect(destroyed).toEqual(this.model.unconsume(values));
  }

  private resize(size: number): void {
    const destroyed: number[] = [];
    this.ring = this.ring.resize(size, (value) => destroyed.push(value));
    expect(destroyed).toEqual(this.model.resize(size));
  }
}

test("a ring behaves as a FIFO whose fullness follows lazy clearing", () => {
  let ran = 0;
  fc.assert(
    fc.property(
      size,
      fc.constantFrom(0, 0xfffffff0 | 0),
      fc.array(command, { maxLength: 120, size: "max" }),
      (size, start, commands) => {
        const pair = new Pair(size, start);
        for (const command of commands) pair.run(command);
        ran += commands.length;
      },
    ),
    { seed: 20260101, numRuns: 300 },
  );
  expect(ran).toBeGreaterThan(5000);
});
