import fc from "fast-check";
import { expect, test } from "vitest";
import { FrameWorld } from "./frame-world.ts";

/** NETMEM_SEED replays a run; without it every run has a seed of its own. */
const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);

test("random packets of mixed memory, adjusted, converted, cloned and returned in any order: bytes and owners are right after every step", () => {
  console.log(`frames: NETMEM_SEED=${seed}`);
  const seen = { steps: 0, clones: 0, copies: 0, merged: 0 };
  fc.assert(
    fc.property(fc.integer(), fc.array(fc.nat(11), { minLength: 20, maxLength: 80 }), (worldSeed, ops) => {
      const world = new FrameWorld(worldSeed >>> 0);
      for (const op of ops) world.step(op);
      world.finish();
      seen.steps += ops.length;
      seen.clones += world.clones;
      seen.copies += world.copies;
      seen.merged += world.merged;
    }),
    { seed, numRuns: 60 },
  );
  for (const [name, count] of Object.entries(seen)) expect(count, name).toBeGreaterThan(50);
});
