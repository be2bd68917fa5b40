import { test } from "vitest";
import { expectCorrect } from "./expectations.ts";
import { collectUntilHome, expectOnce, giveBack, program } from "./thread-returns-program.ts";

test("two workers return one buffer through rings, under every memory model (3 threads)", () => {
  const threads = { owner: collectUntilHome, a: giveBack(1, 1), b: giveBack(2, 1) };
  expectCorrect("returns, twice through rings", { ...program(1, threads, ""), check: expectOnce });
});
