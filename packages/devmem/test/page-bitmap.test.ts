import { describe, expect, test } from "vitest";
import * as fc from "fast-check";
import { PageBitmap } from "../src/page-bitmap.ts";

const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);

function takeAll(bitmap: PageBitmap, max: number): number[] {
  const out = new Int32Array(max);
  return [...out.subarray(0, bitmap.take(out, 0, max))];
}

describe("page bitmap", () => {
  test("hands out every page once, upwards", () => {
    const bitmap = new PageBitmap(100);
    expect(takeAll(bitmap, 64)).toEqual(Array.from({ length: 64 }, (_, n) => n));
    expect(takeAll(bitmap, 64)).toEqual(Array.from({ length: 36 }, (_, n) => n + 64));
    expect(takeAll(bitmap, 64)).toEqual([]);
  });

  test("goes on behind the last page, so that a freed one is not the next", () => {
    const bitmap = new PageBitmap(64);
    takeAll(bitmap, 33);
    expect(bitmap.put(3)).toBe(true);
    expect(takeAll(bitmap, 31)).toEqual(Array.from({ length: 31 }, (_, n) => n + 33));
    expect(takeAll(bitmap, 5)).toEqual([3]);
  });

  test("takes a page back once", () => {
    const bitmap = new PageBitmap(32);
    takeAll(bitmap, 32);
    expect([bitmap.put(31), bitmap.put(31), bitmap.freeCount]).toEqual([true, false, 1]);
  });

  test("is a set", () => {
    console.log(`page bitmap: NETMEM_SEED=${seed}`);
    const op = fc.oneof(
      fc.record({ take: fc.integer({ min: 0, max: 200 }) }),
      fc.record({ put: fc.integer({ min: 0, max: 2999 }) }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3000 }), fc.array(op, { maxLength: 60 }), (pages, ops) => {
        const bitmap = new PageBitmap(pages);
        const free = new Set(Array.from({ length: pages }, (_, n) => n));
        for (const step of ops) {
          if ("take" in step) {
            const got = takeAll(bitmap, step.take);
            expect(got.length).toBe(Math.min(step.take, free.size));
            for (const page of got) expect(free.delete(page)).toBe(true);
          } else {
            const page = step.put % pages;
            expect(bitmap.isFree(page)).toBe(free.has(page));
            expect(bitmap.put(page)).toBe(!free.has(page));
            free.add(page);
          }
          expect(bitmap.freeCount).toBe(free.size);
        }
      }),
      { seed, numRuns: 150 },
    );
  });
});
