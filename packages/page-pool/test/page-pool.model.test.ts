import { expect, test } from "vitest";
import { checkWorlds } from "./model/property.ts";

test("6 I1-I8 hold after every command on several pools of one host", () => {
  expect(checkWorlds(60, 800)).toBeGreaterThanOrEqual(10_000);
});
