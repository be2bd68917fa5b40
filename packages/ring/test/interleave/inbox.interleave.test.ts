import { describe, expect, test } from "vitest";
import { expectCorrect } from "./expectations.ts";
import {
  type Delivery,
  inboxProgram,
  orderOf,
  putAndWake,
  sendMail,
  sleep,
  sleepOnMail,
  takeAll,
  wake,
} from "./inbox-program.ts";

const NEAR_WRAP = 0xffffffff | 0;

const oneWorker: Delivery = { ringSize: 2, startCount: NEAR_WRAP, batches: [[[1, 2], [3]]] };
const overflowing: Delivery = {
  ringSize: 1,
  startCount: NEAR_WRAP,
  batches: [
    [
      [1, 2],
      [3, 4],
    ],
  ],
};
const twoWorkers: Delivery = { ringSize: 1, batches: [[[1]], [[2]]] };
const twoOverflowing: Delivery = { ringSize: 1, batches: [[[1, 2]], [[3]]] };

describe("the inbox is correct in every order of its accesses", () => {
  test("one worker, ring only: its order is kept", () => {
    const program = inboxProgram(oneWorker, takeAll(3));
    expectCorrect("inbox, 1 worker", {
      ...program,
      check: (end) => {
        program.check!(end);
        expect(orderOf(end.results["owner"] as string[], 0)).toBe("1 2 3");
      },
    });
  });

  test("one worker, more than the ring holds", () => {
    expectCorrect("inbox, 1 worker, overflow", inboxProgram(overflowing, takeAll(4)));
  });

  test("one worker, an owner that takes one at a time", () => {
    expectCorrect(
      "inbox, 1 worker, overflow, by 1",
      inboxProgram({ ...overflowing, batches: [[[1, 2], [3]]] }, takeAll(3, 1)),
    );
  });

  test("two workers (3 threads)", () => {
    expectCorrect("inbox, 2 workers", inboxProgram(twoWorkers, takeAll(2)));
  });

  test("two workers, one with more than its ring holds (3 threads)", () => {
    expectCorrect("inbox, 2 workers, overflow", inboxProgram(twoOverflowing, takeAll(3)));
  });

  test("an owner that sleeps, and one or two workers that wake it", () => {
    const twice: Delivery = { ringSize: 1, batches: [[[1], [2]]] };
    expectCorrect("sleep, 1 worker", inboxProgram(twice, takeAll(2, 2, sleep), putAndWake(wake)));
    expectCorrect("sleep, 2 workers", inboxProgram(twoWorkers, takeAll(2, 2, sleep), putAndWake(wake)));
  });

  test("an owner that sleeps elsewhere", () => {
    const twice: Delivery = { ringSize: 1, batches: [[[1], [2]]] };
    expectCorrect("sleep elsewhere, 1 worker", inboxProgram(twice, takeAll(2, 2, sleepOnMail), putAndWake(sendMail)));
  });
});
