import { describe, expect, test } from "vitest";
import { ANY_POINT, FaultInjector, forEveryNthFailure, Prng } from "../src/index.ts";

function calls(injector: FaultInjector, point: string, count: number): string {
  return Array.from({ length: count }, () => (injector.shouldFail(point) ? "x" : ".")).join("");
}

describe("FaultInjector", () => {
  test("fails nothing until armed, and counts calls by point and in total", () => {
    const injector = new FaultInjector();
    expect(calls(injector, "alloc", 3)).toBe("...");
    expect(calls(injector, "map", 2)).toBe("..");
    expect(injector.callCount("alloc")).toBe(3);
    expect(injector.callCount()).toBe(5);
    expect(injector.callCount("never used")).toBe(0);
    expect(injector.faultCount()).toBe(0);
  });

  test("fails the n-th call, every k-th call, all calls, none", () => {
    const injector = new FaultInjector();
    injector.failNth("a", 2);
    injector.failEvery("b", 3);
    injector.failAlways("c");
    expect(calls(injector, "a", 5)).toBe(".x...");
    expect(calls(injector, "b", 7)).toBe("..x..x.");
    expect(calls(injector, "c", 2)).toBe("xx");
    injector.failNever("c");
    expect(calls(injector, "c", 2)).toBe("..");
    expect(injector.faultCount()).toBe(5);
    expect(injector.faultCount("b")).toBe(2);
  });

  test("fails with a probability, reproducibly", () => {
    const run = (seed: number): string => {
      const injector = new FaultInjector(new Prng(seed));
      injector.failWithProbability("a", 0.3);
      return calls(injector, "a", 1000);
    };
    expect(run(1)).toBe(run(1));
    expect(run(1)).not.toBe(run(2));
    expect(Math.abs(run(1).replaceAll(".", "").length - 300)).toBeLessThan(60);
  });

  test("arming all points counts calls over all of them", () => {
    const injector = new FaultInjector();
    injector.failNth(ANY_POINT, 3);
    expect(calls(injector, "a", 2) + calls(injector, "b", 2)).toBe("..x.");
    expect(injector.faultCount("a")).toBe(0);
    expect(injector.faultCount("b")).toBe(1);
  });

  test("cuts bulks short, and fails whole ones", () => {
    const injector = new FaultInjector();
    expect(injector.capBulk("bulk", 64)).toBe(64);
    injector.limitBulk("bulk", 10);
    expect(injector.capBulk("bulk", 64)).toBe(10);
    expect(injector.capBulk("bulk", 8)).toBe(8);
    injector.failAlways("bulk");
    expect(injector.capBulk("bulk", 8)).toBe(0);
    expect(injector.faultCount("bulk")).toBe(2);
    injector.failNever("bulk");
    expect(injector.capBulk("bulk", 64)).toBe(64);
  });

  test("refuses arguments that would never fire", () => {
    const injector = new FaultInjector();
    expect(() => injector.failNth("a", 0)).toThrow(RangeError);
    expect(() => injector.failEvery("a", 1.5)).toThrow(RangeError);
    expect(() => injector.failWithProbability("a", 2)).toThrow(RangeError);
    expect(() => injector.limitBulk("a", -1)).toThrow(RangeError);
  });
});

describe("forEveryNthFailure", () => {
  test("fails each call once, then runs clean", () => {
    const failedAt: number[] = [];
    const runs = forEveryNthFailure((injector) => {
      for (let call = 1; call <= 4; call++) if (injector.shouldFail(call % 2 ? "odd" : "even")) failedAt.push(call);
    });
    expect(failedAt).toEqual([1, 2, 3, 4]);
    expect(runs).toBe(5);
  });

  test("can be limited to one point", () => {
    const runs = forEveryNthFailure((injector) => {
      injector.shouldFail("a");
      injector.shouldFail("b");
      injector.shouldFail("b");
    }, "b");
    expect(runs).toBe(3);
  });

  test("names the failing call when the code under test does not cope", () => {
    const run = (): number =>
      forEveryNthFailure((injector) => {
        injector.shouldFail("a");
        if (injector.shouldFail("a")) throw new Error("leaked");
      });
    expect(run).toThrow(/call 2 .*leaked/);
  });
});
