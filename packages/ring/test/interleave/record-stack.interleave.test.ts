import type { InterleaveProgram, ThreadBody } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import { claimRecord, pushRecords, takeRecords } from "../../src/index.ts";
import { expectBug, expectCorrect, failsIn, pause, withAtomics } from "./expectations.ts";

/*
 *  0        HEAD
 *  1 ... 4  the link words of four records
 *  5 ... 8  what was written into each before it was pushed
 *  9        an id word that is claimed
 */
const HEAD = 0;
const BODY = 4;
const ID = 9;
const LIVE = 7;
const GOING = -7;

type Body = ThreadBody<undefined>;

const push =
  (...records: readonly number[]): Body =>
  (i32) => {
    for (const record of records) {
      i32[BODY + record] = record * 10;
      pushRecords(i32, HEAD, record, record);
    }
  };

/** The owner takes until it has `count`, each with what was written into it. */
const takeAll =
  (count: number): Body =>
  (i32) => {
    const got: number[] = [];
    while (got.length < count) {
      let record = takeRecords(i32, HEAD);
      if (record === 0) pause();
      while (record !== 0) {
        if (i32[BODY + record] !== record * 10) throw new Error(`record ${record} was not written yet`);
        got.push(record);
        record = i32[record]!;
      }
    }
    return got.sort((a, b) => a - b).join(" ");
  };

function program(threads: Readonly<Record<string, Body>>, sent: string): InterleaveProgram {
  return {
    words: 10,
    names: { HEAD, LINK: [1, 4], BODY: [5, 4], ID },
    forbidRaces: true,
    threads,
    check: ({ results, i32 }) => {
      if (results["owner"] !== sent) throw new Error(`sent ${sent}, got ${String(results["owner"])}`);
      if (i32[HEAD] !== 0) throw new Error("something is left");
    },
  };
}

describe("the record stack is correct in every order of its accesses", () => {
  test("one thread that pushes, and the owner", () => {
    expectCorrect("records, 1 thread", program({ owner: takeAll(3), a: push(1, 2, 3) }, "1 2 3"));
  });

  test("two threads that push (3 threads)", () => {
    expectCorrect("records, 2 threads", program({ owner: takeAll(2), a: push(1), b: push(2) }, "1 2"));
  });

  test("a chain in one piece, beside another thread (3 threads)", () => {
    const chain: Body = (i32) => {
      i32[BODY + 1] = 10;
      i32[BODY + 2] = 20;
      i32[1] = 2;
      pushRecords(i32, HEAD, 1, 2);
    };
    expectCorrect("records, a chain", program({ owner: takeAll(3), a: chain, b: push(3) }, "1 2 3"));
  });

  test("two threads that claim one record: one gets it (3 threads)", () => {
    const claimAndPush: Body = (i32) => {
      if (!claimRecord(i32, ID, LIVE, GOING)) return 0;
      pushRecords(i32, HEAD, 1, 1);
      return 1;
    };
    const taker: Body = (i32) => {
      let record = takeRecords(i32, HEAD);
      for (; record === 0; record = takeRecords(i32, HEAD)) pause();
      return `${record} ${i32[record]}`;
    };
    expectCorrect("records, claimed twice", {
      ...program({ owner: taker, a: claimAndPush, b: claimAndPush }, "1 0"),
      setup: (i32): undefined => void (i32[ID] = LIVE),
    });
  });
});

describe("bugs that the explorer finds in the record stack", () => {
  test("the push is a load and a store (3 threads)", () => {
    const torn =
      (...records: readonly number[]): Body =>
      (i32) =>
        withAtomics(
          (atomics) => ({
            compareExchange: ((words: Int32Array, at: number, expected: number, value: number) => {
              atomics.store(words, at, value);
              return expected;
            }) as typeof Atomics.compareExchange,
          }),
          () => push(...records)(i32, undefined),
        );
    const subject = program({ owner: takeAll(3), a: torn(1, 2), b: torn(3) }, "1 2 3");
    expectBug(subject, "sc", "livelock");
    expect(failsIn(subject)).toBe("sc tso weak");
  });

  test("the owner takes by a load and a store", () => {
    const torn: Body = (i32) =>
      withAtomics(
        (atomics) => ({
          exchange: ((words: Int32Array, at: number, value: number) => {
            const old = atomics.load(words, at);
            atomics.store(words, at, value);
            return old;
          }) as typeof Atomics.exchange,
        }),
        () => takeAll(3)(i32, undefined),
      );
    expectBug(program({ owner: torn, a: push(1, 2, 3) }, "1 2 3"), "sc", "livelock");
  });

  test("the owner looks by a plain load and believes it", () => {
    const plain: Body = (i32) => {
      for (;;) {
        const record = i32[HEAD]!;
        if (record !== 0) return i32[BODY + record] === record * 10 ? "1" : "not written yet";
        pause();
      }
    };
    const subject: InterleaveProgram = {
      ...program({ owner: plain, a: push(1) }, "1"),
      check: ({ results }) => {
        if (results["owner"] !== "1") throw new Error(String(results["owner"]));
      },
    };
    expectBug(subject, "sc", "race");
  });

  test("a record that is not claimed is pushed twice", () => {
    const subject = program({ owner: takeAll(2), a: push(1, 2), b: push(1) }, "1 2");
    expectBug({ ...subject, forbidRaces: false }, "sc", "check");
  });
});
