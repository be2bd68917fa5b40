import { expect, test } from "vitest";
import { whyNoAfXdp } from "./fixture.ts";
import { receiveInChild } from "./no-allocation.ts";

const PAGE_BYTES = 65_536;

test("ten million packets leave the heap as it was", (context) => {
  const whyNot = whyNoAfXdp();
  if (whyNot !== null) context.skip(`no AF_XDP here: ${whyNot}`);
  const { collections, growthBytes } = receiveInChild(10_000_000);
  console.log(`heap growth over 10 M packets: ${growthBytes} bytes`);
  expect(collections).toBe(0);
  expect(growthBytes).toBeLessThan(PAGE_BYTES);
});
