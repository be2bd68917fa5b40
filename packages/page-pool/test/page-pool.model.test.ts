import { OWN_HOLD } from "@netmem/core";
import { expect, test } from "vitest";
import { run } from "./model/commands.ts";
import { checkWorlds } from "./model/property.ts";
import { World } from "./model/world.ts";

test("6 I1-I8 hold after every command on several pools of one host", () => {
  expect(checkWorlds(60, 800)).toBeGreaterThanOrEqual(10_000);
});

test("6 the model notices a buffer that only the books have", () => {
  const world = new World();
  for (let n = 0; n < 50; n++) run(world, [0, n, n]);
  const { pool } = world.pools[0]!;
  world.host.i32[pool.at + OWN_HOLD]! += 1;
  expect(() => world.check()).toThrow(/I1 is broken/);
  world.host.i32[pool.at + OWN_HOLD]! -= 1;
  world.check();
});

test("6 the model notices a buffer that is handed out twice", () => {
  const world = new World();
  const home = world.pools[0]!;
  const ref = home.pool.allocNetmem();
  if (ref === 0) throw new Error("exhausted");
  world.adopt(home, ref);
  expect(() => world.adopt(home, ref)).toThrow(/I3/);
});
