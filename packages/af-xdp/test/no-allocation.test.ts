import { expect, test } from "vitest";
import { whyNoAfXdp } from "./fixture.ts";
import { receiveInChild } from "./no-allocation.ts";

test("a million packets, dropped, passed and sent back, cause no garbage collection", (context) => {
  const whyNot = whyNoAfXdp();
  if (whyNot !== null) context.skip(`no AF_XDP here: ${whyNot}`);
  expect(receiveInChild(1_000_000).collections).toBe(0);
});
