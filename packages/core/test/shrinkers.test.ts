import { expect, test } from "vitest";
import type { NetmemWarning, Shrinker } from "../src/index.ts";
import { createCoreHost, takePage } from "./core-host.ts";

interface Keeper extends Shrinker {
  readonly asked: number[];
}

/** Keeps `count` pages and gives back as many as it is asked for. */
function createKeeper(subject: ReturnType<typeof createCoreHost>, name: string, count: number): Keeper {
  const kept = Array.from({ length: count }, () => takePage(subject));
  const asked: number[] = [];
  return {
    name,
    asked,
    count: () => kept.length,
    scan: (target) => {
      asked.push(target);
      const gone = kept.splice(0, target);
      for (const ref of gone) subject.pages.freePage(ref);
      return gone.length;
    },
  };
}

test("shrinkers are asked in order, each for what is still missing", () => {
  const subject = createCoreHost();
  const { shrinkers } = subject.host;
  const keepers = [3, 4, 5].map((count, k) => createKeeper(subject, `keeper ${k}`, count));
  for (const keeper of keepers) shrinkers.add(keeper);
  expect(shrinkers.size).toBe(3);
  expect(shrinkers.reclaim(5)).toBe(5);
  expect(keepers.map(({ asked }) => asked)).toEqual([[3], [2], []]);
  expect(shrinkers.reclaim(100)).toBe(7);
  expect(shrinkers.reclaim(1)).toBe(0);
  expect(keepers.map(({ asked }) => asked)).toEqual([[3], [2, 2], [5]]);
});

test("a removed shrinker is asked no more, one added twice once", () => {
  const subject = createCoreHost();
  const { shrinkers } = subject.host;
  const keeper = createKeeper(subject, "keeper", 2);
  shrinkers.add(keeper);
  shrinkers.add(keeper);
  expect(shrinkers.size).toBe(1);
  shrinkers.remove(keeper);
  shrinkers.remove(keeper);
  expect(shrinkers.reclaim(2)).toBe(0);
  expect(keeper.asked).toEqual([]);
});

test("what counts is what came home, not what a shrinker says", () => {
  const { host } = createCoreHost();
  host.shrinkers.add({ name: "boaster", count: () => 9, scan: () => 9 });
  expect(host.shrinkers.reclaim(9)).toBe(0);
});

test("one that throws is reported and skipped; one that reclaims itself starts nothing", () => {
  const warnings: NetmemWarning[] = [];
  const subject = createCoreHost({ onWarning: (warning) => warnings.push(warning) });
  const { shrinkers } = subject.host;
  const inner: number[] = [];
  shrinkers.add({
    name: "thrower",
    count: () => {
      throw new Error("no idea");
    },
    scan: () => 0,
  });
  shrinkers.add({ name: "nested", count: () => 1, scan: () => inner.push(shrinkers.reclaim(1)) });
  const keeper = createKeeper(subject, "keeper", 1);
  shrinkers.add(keeper);
  expect(shrinkers.isRunning).toBe(false);
  expect(shrinkers.reclaim(1)).toBe(1);
  expect(inner).toEqual([0]);
  expect(warnings).toEqual([
    { code: "WARN_NETMEM_SHRINKER_FAILED", message: expect.stringContaining("thrower: Error: no idea") },
  ]);
});

test("one that another removes during the scan is left out", () => {
  const subject = createCoreHost();
  const { shrinkers } = subject.host;
  const keeper = createKeeper(subject, "keeper", 1);
  shrinkers.add({
    name: "remover",
    count: () => 1,
    scan: () => {
      shrinkers.remove(keeper);
      return 0;
    },
  });
  shrinkers.add(keeper);
  expect(shrinkers.reclaim(1)).toBe(0);
  expect(keeper.asked).toEqual([]);
});
