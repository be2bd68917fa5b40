import { describe, expect, test } from "vitest";
import {
  exploreInterleavings,
  type InterleaveProgram,
  type ThreadBody,
  UnsupportedAccessError,
} from "../../src/index.ts";

const one = (body: ThreadBody<undefined>): InterleaveProgram => ({ words: 2, threads: { T0: body } });

describe("what cannot be explored is refused", () => {
  const refused = (body: ThreadBody<undefined>): string => {
    try {
      exploreInterleavings(one(body));
    } catch (error) {
      expect(error).toBeInstanceOf(UnsupportedAccessError);
      return (error as Error).message;
    }
    throw new Error("was explored");
  };

  test("views, bulk methods, waitAsync", () => {
    expect(refused((i32) => i32.subarray(1))).toContain("Int32Array.subarray is not modelled");
    expect(refused((i32) => i32.fill(0))).toContain("Int32Array.fill");
    expect(refused((i32) => i32.buffer)).toContain("Int32Array.buffer");
    expect(
      refused((i32) => Reflect.apply(Reflect.get(Atomics, "waitAsync") as () => unknown, Atomics, [i32, 0, 0])),
    ).toContain("waitAsync");
  });

  test("a thread that does not repeat itself", () => {
    let runs = 0;
    expect(refused((i32) => [i32[0], i32[1], i32[runs++ % 2]])).toContain("T0 did not repeat itself");
  });

  test("a thread that catches everything, and an asynchronous one", () => {
    const greedy = (i32: Int32Array): unknown => {
      try {
        return i32[0];
      } catch {
        return 0;
      }
    };
    expect(refused(greedy)).toContain("caught what the explorer threw");
    expect(refused(() => Promise.resolve())).toContain("asynchronous");
  });

  test("words used after their thread", () => {
    let kept: Int32Array = new Int32Array(0);
    exploreInterleavings(one((i32) => void (kept = i32)));
    expect(kept).toHaveLength(2);
    expect(() => kept[0]).toThrow("outside of setup and threads");
  });

  test("a program that is no program", () => {
    const bad = (change: object, message: string): void =>
      expect(() => exploreInterleavings({ words: 1, threads: { T0: () => {} }, ...change })).toThrow(message);
    bad({ words: 0 }, "words must be");
    bad({ threads: {} }, "1 to 30 threads");
    bad({ threads: { "a b": () => {} } }, 'thread name "a b"');
    bad({ names: { X: 1 } }, "X names words outside");
    bad({ names: { X: [0, 2] } }, "X names words outside");
    bad({ forbidRaces: ["X"] }, "no words are named X");
  });
});

describe("around the explored code", () => {
  test("finally blocks run, and Atomics is the real one afterwards and for other arrays", () => {
    const real = Atomics;
    const mine = new Int32Array(1);
    let inside: unknown;
    const report = exploreInterleavings({
      words: 1,
      threads: {
        T0: (i32) => {
          inside = Atomics;
          try {
            return Atomics.add(i32, 0, 5) + Atomics.add(new Int32Array(1), 0, 5) + Atomics.load(mine, 0);
          } finally {
            Atomics.store(i32, 0, 9);
          }
        },
      },
      check: ({ i32 }) => expect(i32[0]).toBe(9),
    });
    expect(report).toMatchObject({ complete: true, outcomes: ['{"T0":0}'] });
    expect(Atomics).toBe(real);
    expect(inside).not.toBe(real);
  });
});
