import { expect, test } from "vitest";
import { PtrRing, ptrRingProduce } from "../src/index.ts";
import { createRingMemory } from "./ring-memory.ts";

const never = (value: number): void => {
  throw new Error(`${value} was destroyed`);
};

function ringOf(size: number, entries = 0, startCount = 0): PtrRing {
  const ring = new PtrRing(createRingMemory(4096), size, { startCount });
  for (let value = 1; value <= entries; value++) expect(ring.produce(value)).toBe(true);
  return ring;
}

function drain(ring: PtrRing): number[] {
  const values: number[] = [];
  for (let value = ring.consume(); value !== 0; value = ring.consume()) values.push(value);
  return values;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

test("#101 size 0: always full, always empty, nothing to take", () => {
  const ring = ringOf(0);
  expect(ring.produce(7)).toBe(false);
  expect(ring.isFull()).toBe(true);
  expect(ring.isEmpty()).toBe(true);
  expect(ring.consume()).toBe(0);
  expect(ring.consumeBatch(new Int32Array(4), 0, 4)).toBe(0);
  expect(ring.count).toBe(0);
});

test("#101 size 0: unconsume destroys everything, resize to 0 too", () => {
  const destroyed: number[] = [];
  ringOf(0).unconsume(Int32Array.of(1, 2, 3), 3, (value) => destroyed.push(value));
  expect(destroyed).toEqual([3, 2, 1]);
  const ring = ringOf(4, 3).resize(0, (value) => destroyed.push(value));
  expect(destroyed).toEqual([3, 2, 1, 1, 2, 3]);
  expect(ring.size).toBe(0);
  expect(ring.isFull()).toBe(true);
});

test("#103 size 1024 full: 15 consumed free no slot, the 16th frees exactly 16", () => {
  const ring = ringOf(1024, 1024);
  expect(ring.isFull()).toBe(true);
  for (let taken = 1; taken <= 15; taken++) {
    expect(ring.consume()).toBe(taken);
    expect(ring.produce(5000)).toBe(false);
    expect(ring.isFull()).toBe(true);
  }
  expect(ring.count).toBe(1009);
  expect(ring.consume()).toBe(16);
  expect(ring.isFull()).toBe(false);
  for (let value = 1025; value <= 1040; value++) expect(ring.produce(value)).toBe(true);
  expect(ring.produce(1041)).toBe(false);
  expect(ring.count).toBe(1024);
  expect(drain(ring)).toEqual(range(17, 1040));
});

test("#103 the batch ends early at the end of the array", () => {
  const ring = ringOf(40, 40);
  for (let taken = 1; taken <= 32; taken++) ring.consume();
  for (let value = 41; value <= 72; value++) expect(ring.produce(value)).toBe(true);
  expect(ring.isFull()).toBe(true);
  for (let taken = 33; taken <= 39; taken++) {
    expect(ring.consume()).toBe(taken);
    expect(ring.isFull()).toBe(true);
  }
  expect(ring.consume()).toBe(40);
  for (let value = 73; value <= 80; value++) expect(ring.produce(value)).toBe(true);
  expect(ring.isFull()).toBe(true);
});

test.each([
  [1, 1],
  [2, 1],
  [31, 1],
  [32, 16],
  [33, 16],
  [1024, 16],
])("#104 size %i clears in batches of %i", (size, batch) => {
  const ring = ringOf(size, size);
  for (let taken = 1; taken < batch; taken++) {
    ring.consume();
    expect(ring.isFull()).toBe(true);
  }
  ring.consume();
  let freed = 0;
  while (ring.produce(9)) freed++;
  expect(freed).toBe(batch);
});

test("#106 FIFO across many wraps, with the counters crossing 2^32", () => {
  for (const startCount of [0, 0xfffffff0 | 0, 0x7ffffff0]) {
    const ring = ringOf(5, 0, startCount);
    let put = 1;
    let got = 1;
    for (let round = 0; round < 100; round++) {
      for (let k = 0; k < 1 + (round % 5); k++) if (ring.produce(put)) put++;
      expect(ring.count).toBe(put - got);
      for (let k = 0; k < 1 + (round % 3); k++) if (!ring.isEmpty()) expect(ring.consume()).toBe(got++);
      expect(ring.count).toBe(put - got);
    }
    expect(put).toBeGreaterThan(100);
    expect(drain(ring)).toEqual(range(got, put - 1));
    expect(ring.count).toBe(0);
  }
});

test("the count of everything ever produced runs freely through 2^32; entries shows what is inside", () => {
  const ring = ringOf(5, 0, 0xfffffff0 | 0);
  let produced = 0xfffffff0 | 0;
  for (let round = 1; round <= 30; round++) {
    expect(ring.produced).toBe(produced);
    ring.produce(round);
    if (round > 3) ring.consume();
    produced = (produced + 1) | 0;
    expect(ring.entries()).toEqual(range(Math.max(1, round - 2), round));
  }
  expect(ring.produced).toBe(14);
  ring.unconsume(Int32Array.of(99), 1, never);
  expect([ring.produced, ...ring.entries()]).toEqual([14, 99, 28, 29, 30]);
  expect(ringOf(0).entries()).toEqual([]);
});

test("a function over the words produces as the ring does, also where there is no slot", () => {
  const memory = createRingMemory();
  const ring = new PtrRing(memory, 3);
  expect([1, 2, 3, 4].map((value) => ptrRingProduce(memory.i32, ring.at, value))).toEqual([true, true, true, false]);
  expect(drain(ring)).toEqual([1, 2, 3]);
  expect(ptrRingProduce(memory.i32, ring.at, 5)).toBe(true);
  expect(ring.consume()).toBe(5);
  expect(ptrRingProduce(memory.i32, new PtrRing(memory, 0).at, 5)).toBe(false);
});

test("consumeBatch within the arena, and across the end of the array", () => {
  const memory = createRingMemory();
  const ring = new PtrRing(memory, 40);
  const at = memory.heap.allocWords(64);
  for (let value = 1; value <= 40; value++) ring.produce(value);
  for (let taken = 1; taken <= 32; taken++) ring.consume();
  for (let value = 41; value <= 50; value++) ring.produce(value);
  expect(ring.consumeBatch(memory.i32, at, 64)).toBe(18);
  expect([...memory.i32.subarray(at, at + 19)]).toEqual([...range(33, 50), 0]);
  expect(ring.isEmpty()).toBe(true);
});

test("#106 zero cannot be stored, however it is spelled", () => {
  const ring = ringOf(4);
  for (const zero of [0, -0, 2 ** 32, Number.NaN]) expect(ring.produce(zero)).toBe(false);
  expect(ring.isEmpty()).toBe(true);
  expect(ring.count).toBe(0);
  expect(ring.produce(-1)).toBe(true);
  expect(ring.consume()).toBe(-1);
});

test("#107 resize below the occupancy keeps the oldest and destroys the rest, in order", () => {
  const ring = ringOf(64, 50, 0xfffffff0 | 0);
  for (let taken = 1; taken <= 10; taken++) ring.consume();
  const destroyed: number[] = [];
  const small = ring.resize(8, (value) => destroyed.push(value));
  expect(small.size).toBe(8);
  expect(small.count).toBe(8);
  expect(small.isFull()).toBe(true);
  expect(destroyed).toEqual(range(19, 50));
  expect(drain(small)).toEqual(range(11, 18));
});

test("#107 resize to a larger ring keeps everything and makes room", () => {
  const ring = ringOf(4, 4).resize(6, never);
  expect(ring.produce(5)).toBe(true);
  expect(ring.produce(6)).toBe(true);
  expect(ring.produce(7)).toBe(false);
  expect(drain(ring)).toEqual(range(1, 6));
});

test("#107 a resize that cannot have its memory leaves the ring as it was", () => {
  const ring = new PtrRing(createRingMemory(10), 8);
  ring.produce(3);
  expect(() => ring.resize(2000, never)).toThrow(
    expect.objectContaining({ code: "ERR_NETMEM_NO_MEMORY", errno: "ENOMEM" }),
  );
  expect(() => ring.resize(-1, never)).toThrow(expect.objectContaining({ code: "ERR_NETMEM_INVALID_PARAM" }));
  expect(ring.count).toBe(1);
  expect(ring.consume()).toBe(3);
});

test("#107 unconsume puts entries back in front, in their old order", () => {
  const ring = ringOf(64, 20);
  const taken = new Int32Array(8);
  expect(ring.consumeBatch(taken, 0, 8)).toBe(8);
  ring.unconsume(taken.subarray(3), 5, never);
  expect(ring.count).toBe(17);
  expect(drain(ring)).toEqual(range(4, 20));
});

test("#107 unconsume clears what was consumed first, so that every free slot counts", () => {
  const ring = ringOf(32, 32);
  for (let taken = 1; taken <= 10; taken++) ring.consume();
  expect(ring.isFull()).toBe(true);
  ring.unconsume(Int32Array.of(10), 1, never);
  expect(ring.count).toBe(23);
  for (let value = 33; value <= 41; value++) expect(ring.produce(value)).toBe(true);
  expect(ring.isFull()).toBe(true);
  expect(drain(ring)).toEqual(range(10, 41));
});

test("#107 unconsume wraps below slot 0 and destroys the first entries when the room ends", () => {
  const ring = ringOf(8, 6);
  const destroyed: number[] = [];
  ring.unconsume(Int32Array.of(101, 102, 103, 104), 4, (value) => destroyed.push(value));
  expect(destroyed).toEqual([102, 101]);
  expect(ring.isFull()).toBe(true);
  expect(drain(ring)).toEqual([103, 104, 1, 2, 3, 4, 5, 6]);
});

test("unconsume passes over zeros: they would hide what lies behind them", () => {
  const ring = ringOf(8, 2);
  ring.unconsume(Int32Array.of(0, 9, 0, 8, 0), 5, never);
  expect(ring.count).toBe(4);
  expect(drain(ring)).toEqual([9, 8, 1, 2]);
});

test("consumeBatch writes where it is told, stops at what is there, and never past the end of the array", () => {
  const ring = ringOf(64, 40);
  const dst = new Int32Array(12);
  expect(ring.consumeBatch(dst, 2, 4)).toBe(4);
  expect([...dst]).toEqual([0, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0]);
  expect(ring.consumeBatch(dst, 2, 1000)).toBe(10);
  expect(ring.count).toBe(26);
  expect(ring.consumeBatch(dst, 20, 4)).toBe(0);
  expect(ring.consume()).toBe(15);
  expect(ring.consumeBatch(new Int32Array(100), 0, 100)).toBe(25);
  expect(ring.isEmpty()).toBe(true);
});

test("the size is checked", () => {
  const memory = createRingMemory();
  for (const size of [-1, 1.5, Number.NaN, 2 ** 20 + 1]) {
    expect(() => new PtrRing(memory, size)).toThrow(
      expect.objectContaining({ code: "ERR_NETMEM_INVALID_PARAM", errno: "EINVAL", param: "size", value: size }),
    );
  }
  expect(memory.pages.outCount).toBe(0);
});

test("dispose gives the memory back, once", () => {
  const memory = createRingMemory();
  const ring = new PtrRing(memory, 2000);
  expect(memory.pages.outCount).toBe(1);
  ring.dispose();
  expect(memory.pages.outCount).toBe(0);
  expect(() => ring.dispose()).toThrow(expect.objectContaining({ code: "ERR_NETMEM_BAD_HEAP_FREE" }));
  const first = new PtrRing(memory, 8);
  first.produce(1);
  first.dispose();
  expect(new PtrRing(memory, 8).isEmpty()).toBe(true);
});
