import { test } from "vitest";
import { checkWorlds } from "./model/property.ts";

test("6 I1-I8 hold after each of a million commands", () => {
  checkWorlds(550, 2000);
});
