import { describe, expect, test } from "vitest";
import { Prng } from "../src/index.ts";

describe("Prng", () => {
  test("draws the same numbers from the same seed, on every platform", () => {
    const prng = new Prng(42);
    expect(Array.from({ length: 4 }, () => prng.nextU32())).toEqual([1350328659, 1924803457, 2864904299, 558007206]);
    expect(prng.seed).toBe(42);
  });

  test("seeds that differ in the high or in the low word give different draws", () => {
    const firsts = [0, 1, -1, 2 ** 32, 2 ** 32 + 1, 2 ** 53 - 1].map((seed) => new Prng(seed).nextInt32());
    expect(new Set(firsts).size).toBe(firsts.length);
    expect(() => new Prng(0.5)).toThrow(RangeError);
    expect(() => new Prng(2 ** 53)).toThrow(RangeError);
  });

  test("below stays in range, reaches every value and is even", () => {
    const prng = new Prng(7);
    const counts = new Int32Array(10);
    for (let draw = 0; draw < 100_000; draw++) {
      const value = prng.below(10);
      counts[value] = (counts[value] ?? 0) + 1;
    }
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500);
  });

  test("below has no modulo bias where n does not divide 2^31", () => {
    const prng = new Prng(3);
    const n = 3 * 2 ** 29;
    let low = 0;
    for (let draw = 0; draw < 30_000; draw++) if (prng.below(n) < 2 ** 29) low++;
    expect(Math.abs(low - 10_000)).toBeLessThan(500);
  });

  test("below refuses what is not 1..2^31-1", () => {
    const prng = new Prng(1);
    for (const n of [0, -1, 1.5, 2 ** 31, Number.NaN]) expect(() => prng.below(n)).toThrow(RangeError);
    expect(prng.below(1)).toBe(0);
    expect(prng.below(2 ** 31 - 1)).toBeGreaterThanOrEqual(0);
  });

  test("range includes both ends", () => {
    const prng = new Prng(5);
    const seen = new Set(Array.from({ length: 200 }, () => prng.range(-2, 2)));
    expect([...seen].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2]);
  });

  test("bool follows its probability", () => {
    const prng = new Prng(9);
    let yes = 0;
    for (let draw = 0; draw < 10_000; draw++) if (prng.bool(0.25)) yes++;
    expect(Math.abs(yes - 2500)).toBeLessThan(200);
    expect(prng.bool(0)).toBe(false);
    expect(prng.bool(1)).toBe(true);
  });

  test("shuffle keeps every element, in arrays and typed arrays; pick takes one", () => {
    const prng = new Prng(11);
    const shuffled = prng.shuffle(Int32Array.from({ length: 50 }, (_, i) => i));
    expect([...shuffled].sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => i));
    expect([...shuffled]).not.toEqual(Array.from({ length: 50 }, (_, i) => i));
    expect(["a", "b"]).toContain(prng.pick(["a", "b"]));
    expect(() => prng.pick([])).toThrow(RangeError);
  });

  test("a fork is reproducible and does not follow its parent", () => {
    const a = new Prng(1).fork();
    const b = new Prng(1).fork();
    expect(a.nextInt32()).toBe(b.nextInt32());
    const parent = new Prng(1);
    const child = parent.fork();
    expect(child.nextInt32()).not.toBe(parent.nextInt32());
  });
});
