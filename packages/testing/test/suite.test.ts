import { describe, expect, test } from "vitest";
import { check, CheckError, checkEqual, checkThrows, runSuite, type Suite } from "../src/index.ts";

const stackSuite: Suite<number[]> = {
  name: "stack",
  cases: [
    { name: "starts empty", run: (stack) => checkEqual(stack.length, 0) },
    {
      name: "gives back what was put",
      run: async (stack) => {
        stack.push(1);
        await Promise.resolve();
        checkEqual(stack.pop(), 1);
      },
    },
  ],
};

runSuite(stackSuite, () => [], test);

function collect(
  suite: Suite<number[]>,
  source: Parameters<typeof runSuite<number[]>>[1],
): Map<string, () => Promise<void>> {
  const registered = new Map<string, () => Promise<void>>();
  runSuite(suite, source, (name, fn) => registered.set(name, fn));
  return registered;
}

describe("runSuite", () => {
  test("registers each case under the suite's name, with a fresh subject each", async () => {
    let made = 0;
    const registered = collect(stackSuite, () => [made++].slice(1));
    expect([...registered.keys()]).toEqual(["stack: starts empty", "stack: gives back what was put"]);
    for (const fn of registered.values()) await fn();
    expect(made).toBe(2);
  });

  test("reports the failure of a case and still releases its subject", async () => {
    const released: number[][] = [];
    const source = { make: () => [7], release: (subject: number[]) => void released.push(subject) };
    const registered = collect(stackSuite, source);
    await expect(registered.get("stack: starts empty")?.()).rejects.toThrow(CheckError);
    expect(released).toEqual([[7]]);
  });

  test("an error from release fails a case that passed, and never hides the case's own", async () => {
    const release = (): void => {
      throw new Error("release failed");
    };
    const passing = collect(stackSuite, { make: () => [], release });
    await expect(passing.get("stack: starts empty")?.()).rejects.toThrow("release failed");
    const failing = collect(stackSuite, { make: () => [7], release });
    await expect(failing.get("stack: starts empty")?.()).rejects.toThrow(CheckError);
  });
});

describe("checks", () => {
  test("check and checkEqual say what is wrong", () => {
    check(true, "fine");
    expect(() => check(false, "ring is full")).toThrow("ring is full");
    expect(() => checkEqual(1, 2, "inflight")).toThrow("inflight: expected 2, got 1");
    expect(() => checkEqual(Int32Array.of(1, 2), Int32Array.of(1, 3))).toThrow("expected [1, 3], got [1, 2]");
    expect(() => checkEqual(Number.NaN, null)).toThrow("expected null, got NaN");
    expect(() => checkEqual(0, -0)).toThrow("expected -0, got 0");
  });

  test("checkEqual compares arrays, typed arrays and plain objects by parts, and the rest by identity", () => {
    checkEqual({ a: [1, { b: Number.NaN }] }, { a: [1, { b: Number.NaN }] });
    checkEqual(Uint8Array.of(1), Uint8Array.of(1));
    for (const [a, b] of [
      [0, -0],
      [[1], [1, 2]],
      [{ a: 1 }, { b: 1 }],
      [Uint8Array.of(1), Int8Array.of(1)],
      [new Map(), new Map()],
      [new DataView(Uint8Array.of(1).buffer), new DataView(Uint8Array.of(2).buffer)],
      [null, {}],
      [1n, 1],
    ]) {
      expect(() => checkEqual(a, b)).toThrow(CheckError);
    }
  });

  test("checkThrows wants an error, with the code if one is given", () => {
    const fail = (): never => {
      throw Object.assign(new Error("bad"), { code: "ERR_X" });
    };
    expect(checkThrows(fail, "ERR_X")).toBeInstanceOf(Error);
    checkThrows(fail);
    expect(() => checkThrows(fail, "ERR_Y")).toThrow('expected "ERR_Y", got "ERR_X"');
    expect(() => checkThrows(() => 1)).toThrow("nothing was thrown");
  });
});
