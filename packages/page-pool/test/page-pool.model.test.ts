import { test } from "vitest";
import { checkWorlds } from "./model/property.ts";

test("6 I1-I8 hold after every command on several pools of one host", () => {
  checkWorlds(40, 500);
});
