import { expect, test } from "vitest";
import { step } from "./mix-ops.ts";
import { MixWorld } from "./mix-world.ts";

const PACKETS = 100_000;
const LIVE_PACKETS = 60;

/** NETMEM_SEED replays a run; without it every run has a seed of its own. */
function seedOf(): number {
  const given = process.env["NETMEM_SEED"];
  return given === undefined || given === "" ? Date.now() & 0x7fffffff : Number(given);
}

/** What a world keeps in the arena's heap when nothing ever happened in it. */
function lostByNothing(): number {
  const world = new MixWorld(0);
  world.finish();
  return world.memory.lostPages;
}

/** Runs until so many packets were made; the whole world is looked at every `checkEvery` steps. */
function run(world: MixWorld, packets: number, checkEvery: number): number {
  let steps = 0;
  for (; world.made < packets; steps++) {
    const changed = step(world, LIVE_PACKETS);
    if (changed !== undefined) world.checkPacket(changed);
    if (steps % checkEvery === 0) world.check();
  }
  world.check();
  world.finish();
  return steps;
}

test("packets of mixed memory: every owner sees exactly its own, every packet its bytes, after every step", () => {
  const seed = seedOf();
  console.log(`skb mix: NETMEM_SEED=${seed}`);
  for (let n = 0; n < 10; n++) {
    const world = new MixWorld(seed + n);
    run(world, 100, 1);
    expect(world.memory.lostPages).toBe(lostByNothing());
  }
});

test(`${PACKETS} packets of mixed memory leave nothing behind`, { timeout: 120_000 }, () => {
  const seed = seedOf();
  console.log(`skb mix: NETMEM_SEED=${seed}`);
  const world = new MixWorld(seed);
  const steps = run(world, PACKETS, 1000);
  console.log(`skb mix: ${steps} steps`);
  expect([world.made >= PACKETS, world.memory.lostPages]).toEqual([true, lostByNothing()]);
});
