import { expect, test } from "vitest";
import { checkInt, failParam, isNetmemError, NetmemError } from "../src/index.ts";
import { errorOf } from "./core-host.ts";

test("an error carries code, errno, parameter, value, remedy and cause", () => {
  const cause = new Error("deeper");
  const error = new NetmemError({
    code: "ERR_NETMEM_X",
    errno: "EBUSY",
    reason: "it is so",
    remedy: "Do this.",
    param: "p",
    value: 7,
    cause,
  });
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({
    name: "NetmemError",
    message: "ERR_NETMEM_X: it is so. Do this.",
    code: "ERR_NETMEM_X",
    errno: "EBUSY",
    remedy: "Do this.",
    param: "p",
    value: 7,
    cause,
  });
});

test("errors are recognised by name, so that two copies of the package agree", () => {
  const foreign = Object.assign(new Error("x"), { name: "NetmemError" });
  expect(
    [new NetmemError({ code: "c", reason: "r", remedy: "m" }), foreign].map((error) => isNetmemError(error)),
  ).toEqual([true, true]);
  expect([new Error("x"), { name: "NetmemError" }, null, undefined].map((error) => isNetmemError(error))).toEqual([
    false,
    false,
    false,
    false,
  ]);
});

test("a bad parameter names itself, its value and what was expected", () => {
  const error = errorOf(() => failParam("size", -1, "a size", "Pass one."));
  expect(error).toMatchObject({
    code: "ERR_NETMEM_INVALID_PARAM",
    errno: "EINVAL",
    param: "size",
    value: -1,
    message: "ERR_NETMEM_INVALID_PARAM: size is -1, expected a size. Pass one.",
  });
});

test("checkInt lets integers in the range through and nothing else", () => {
  expect([checkInt("n", 3, 3, 5), checkInt("n", 5, 3, 5)]).toEqual([3, 5]);
  for (const value of [2, 6, 3.5, Number.NaN, Infinity, "4" as unknown as number]) {
    expect(errorOf(() => checkInt("n", value, 3, 5))).toMatchObject({
      code: "ERR_NETMEM_INVALID_PARAM",
      param: "n",
      value,
    });
  }
});
