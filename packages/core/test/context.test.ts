import { expect, test } from "vitest";
import { Context } from "../src/index.ts";
import { createCoreHost } from "./core-host.ts";

test("a thread starts outside of every interrupt, on CPU 0, with no poll running", () => {
  const { context } = createCoreHost().host;
  expect([context.cpu, context.softirq, context.hardirq, context.preemptRt, context.noDirect, context.napi]).toEqual([
    0,
    false,
    false,
    false,
    false,
    null,
  ]);
});

test("each host has its own", () => {
  const [a, b] = [createCoreHost().host, createCoreHost().host];
  a.context.softirq = true;
  a.context.napi = { id: 5, listOwner: 1 };
  expect([b.context.softirq, b.context.napi]).toEqual([false, null]);
});

test("whoever must know hears of hard-interrupt context, until it does not care any more", () => {
  const context = new Context();
  const seen: boolean[] = [];
  const listener = { hardirqChanged: () => void seen.push(context.hardirq) };
  context.addHardirqListener(listener);
  context.hardirq = true;
  context.hardirq = false;
  context.removeHardirqListener(listener);
  context.hardirq = true;
  expect(seen).toEqual([true, false]);
});
