import { test } from "vitest";
import { expectCorrect } from "./expectations.ts";
import { inboxProgram, putAndWake, sendMail, sleepOnMail, takeAll } from "./inbox-program.ts";

test("two workers and an owner that sleeps elsewhere (3 threads)", () => {
  const program = inboxProgram(
    { ringSize: 1, batches: [[[1]], [[2]]] },
    takeAll(2, 2, sleepOnMail),
    putAndWake(sendMail),
  );
  expectCorrect("sleep elsewhere, 2 workers", program);
});

test("one worker with more than its ring holds, an owner that takes one at a time", () => {
  const program = inboxProgram({ ringSize: 1, batches: [[[1, 2, 3], [4]]] }, takeAll(4, 1));
  expectCorrect("inbox, 1 worker, 3 + 1 through 1 slot, by 1", program);
});
