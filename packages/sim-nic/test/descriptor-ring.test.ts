import { expect, test } from "vitest";
import { DescriptorRing } from "../src/index.ts";
import { makeHost } from "./fixture.ts";

test.each([0, 0xfffffff0, 0x7ffffff8])("counts room over the wrap of its indices, from %i on", (startIndex) => {
  const ring = new DescriptorRing(makeHost(), { descCount: 8, startIndex });
  for (let turn = 0; turn < 50; turn++) {
    const count = (turn % 8) + 1;
    for (let n = 0; n < count; n++) ring.post(turn, n, 0, 0);
    expect(ring.room).toBe(8 - count);
    expect((ring.producer - ring.cleaned) | 0).toBe(count);
    ring.completed = ring.producer;
    ring.cleaned = ring.completed;
  }
});

test("a slot is an index modulo the size, four words each", () => {
  const host = makeHost();
  const ring = new DescriptorRing(host, { descCount: 16, startIndex: -1 });
  ring.post(7, 8, 9, 10);
  ring.post(17, 18, 19, 20);
  const words = (index: number): number[] => Array.from(host.i32.subarray(ring.descAt(index), ring.descAt(index) + 4));
  expect([words(-1), words(0), words(15)]).toEqual([
    [7, 8, 9, 10],
    [17, 18, 19, 20],
    [7, 8, 9, 10],
  ]);
  expect(ring.producer).toBe(1);
});

test("reset forgets what was posted", () => {
  const ring = new DescriptorRing(makeHost(), { descCount: 8 });
  ring.post(1, 0, 0, 0);
  ring.reset();
  expect([ring.room, ring.completed, ring.producer]).toEqual([8, 1, 1]);
});
