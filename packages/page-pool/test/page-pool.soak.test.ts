import { expect, test } from "vitest";
import { checkWorlds } from "./model/property.ts";

test("6 I1-I8 hold after each of a million commands", () => {
  expect(checkWorlds(1200, 2000)).toBeGreaterThanOrEqual(1_000_000);
});
