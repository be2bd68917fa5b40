import fc from "fast-check";
import { expect, test } from "vitest";
import { createSpscRing, freeSpscRing, SpscConsumer, SpscProducer } from "../src/index.ts";
import { HEAD, SLOTS, TAIL } from "../src/spsc-ring-words.ts";
import { createRingMemory } from "./ring-memory.ts";

const NEAR_WRAP = 0xfffffff0 | 0;

function endsOf(size: number, startCount = 0): { producer: SpscProducer; consumer: SpscConsumer } {
  const memory = createRingMemory();
  const at = createSpscRing(memory, size, { startCount });
  return { producer: new SpscProducer(memory.i32, at), consumer: new SpscConsumer(memory.i32, at) };
}

test("what is pushed is seen after publish, what is taken is free after release", () => {
  const { producer, consumer } = endsOf(4, NEAR_WRAP);
  expect([1, 2, 3, 4, 5].map((value) => producer.push(value))).toEqual([true, true, true, true, false]);
  expect([consumer.count(), consumer.take()]).toEqual([0, 0]);
  expect([producer.publish(), producer.publish()]).toEqual([true, false]);
  expect(consumer.count()).toBe(4);
  expect([consumer.take(), consumer.take()]).toEqual([1, 2]);
  expect([producer.room(), producer.push(5)]).toEqual([0, false]);
  consumer.release();
  expect([producer.room(), producer.push(5), producer.room()]).toEqual([2, true, 1]);
});

test("a batch takes what has room, and goes no further than its destination", () => {
  const { producer, consumer } = endsOf(8, NEAR_WRAP);
  const values = Int32Array.from({ length: 12 }, (_, n) => n + 1);
  expect(producer.produceBatch(values, 2, 10)).toBe(8);
  expect(producer.produceBatch(values, 0, 1)).toBe(0);
  const got = new Int32Array(5);
  expect(consumer.consumeBatch(got, 2, 100)).toBe(3);
  expect([...got]).toEqual([0, 0, 3, 4, 5]);
  expect(consumer.consumeBatch(got, 5, 1)).toBe(0);
  expect(consumer.consumeBatch(got, 0, -1)).toBe(0);
  expect(producer.produceBatch(values, 0, -1)).toBe(0);
  expect(producer.room()).toBe(3);
  expect(consumer.consumeBatch(got, 0, 5)).toBe(5);
  expect([...got]).toEqual([6, 7, 8, 9, 10]);
});

test("both counts and the slots lie on lines of their own", () => {
  const memory = createRingMemory();
  const at = createSpscRing(memory, 16);
  const lines = [TAIL, HEAD, SLOTS].map((word) => (at + word) >> 4);
  expect([at % 16, new Set(lines).size]).toEqual([0, 3]);
});

test("new ends go on where the last ones published and released", () => {
  const memory = createRingMemory();
  const at = createSpscRing(memory, 4, { startCount: NEAR_WRAP });
  const first = new SpscProducer(memory.i32, at);
  first.produceBatch(Int32Array.of(1, 2, 3), 0, 3);
  expect(first.push(4)).toBe(true);
  new SpscConsumer(memory.i32, at).take();
  const second = new SpscProducer(memory.i32, at);
  const consumer = new SpscConsumer(memory.i32, at);
  expect([second.push(5), second.push(6), second.publish()]).toEqual([true, false, true]);
  expect([1, 2, 3, 5, 0].map(() => consumer.take())).toEqual([1, 2, 3, 5, 0]);
});

test("sizes are powers of two", () => {
  const memory = createRingMemory();
  for (const size of [0, -1, 3, 1.5, Number.NaN, 2 ** 21]) {
    expect(() => createSpscRing(memory, size)).toThrow(
      expect.objectContaining({ code: "ERR_NETMEM_INVALID_PARAM", errno: "EINVAL", param: "size", value: size }),
    );
  }
  expect(memory.pages.outCount).toBe(0);
  const at = createSpscRing(memory, 2048);
  expect(memory.pages.outCount).toBe(1);
  freeSpscRing(memory, at);
  expect(memory.pages.outCount).toBe(0);
  expect(() => freeSpscRing(memory, at)).toThrow(expect.objectContaining({ code: "ERR_NETMEM_BAD_HEAP_FREE" }));
});

const step = fc.record({
  kind: fc.constantFrom("push", "publish", "produceBatch", "take", "release", "consumeBatch", "room", "count"),
  n: fc.nat(9),
});

test("behaves as two lists: what is published, and what takes room", () => {
  let ran = 0;
  fc.assert(
    fc.property(fc.constantFrom(1, 2, 4, 8), fc.array(step, { maxLength: 100, size: "max" }), (size, steps) => {
      const { producer, consumer } = endsOf(size, NEAR_WRAP);
      const hidden: number[] = [];
      const shown: number[] = [];
      let unreleased = 0;
      let next = 1;
      const room = (): number => size - hidden.length - shown.length - unreleased;
      for (const { kind, n } of steps) {
        if (kind === "push") {
          const fits = room() > 0;
          expect(producer.push(next)).toBe(fits);
          if (fits) hidden.push(next++);
        } else if (kind === "produceBatch") {
          const values = Int32Array.from({ length: n }, (_, k) => next + k);
          const fits = Math.min(n, room());
          expect(producer.produceBatch(values, 0, n)).toBe(fits);
          shown.push(...hidden.splice(0), ...values.subarray(0, fits));
          next += fits;
        } else if (kind === "publish") {
          expect(producer.publish()).toBe(hidden.length > 0);
          shown.push(...hidden.splice(0));
        } else if (kind === "take") {
          if (shown.length > 0) unreleased++;
          expect(consumer.take()).toBe(shown.shift() ?? 0);
        } else if (kind === "release") {
          consumer.release();
          unreleased = 0;
        } else if (kind === "consumeBatch") {
          const got = new Int32Array(n);
          const taken = consumer.consumeBatch(got, 0, n);
          expect([...got.subarray(0, taken)]).toEqual(shown.splice(0, n));
          if (taken > 0) unreleased = 0;
        } else if (kind === "room") expect(producer.room()).toBe(room());
        else expect(consumer.count()).toBe(shown.length);
      }
      ran += steps.length;
    }),
    { seed: 20260301, numRuns: 400 },
  );
  expect(ran).toBeGreaterThan(10_000);
});
