import fc from "fast-check";
import { type Command, finish, OPS, run } from "./commands.ts";
import { World } from "./world.ts";

const number = fc.nat(65_535);
const command: fc.Arbitrary<Command> = fc.tuple(fc.nat(OPS - 1), number, number);

/** Runs of more worlds than this are not shrunk. */
const MAX_SHRUNK_WORLDS = 100;

/** How long a failure is shrunk. */
const SHRINK_MS = 15_000;

/** NETMEM_SEED replays a run; without it every run has a seed of its own. */
function seedOf(): number {
  const given = process.env["NETMEM_SEED"];
  return given === undefined || given === "" ? Date.now() & 0x7fffffff : Number(given);
}

/**
 * Runs `worlds` worlds of up to `maxLength` commands and shrinks the first failure. Prints the seed, and returns how many
 * commands ran.
 */
export function checkWorlds(worlds: number, maxLength: number): number {
  const seed = seedOf();
  let ran = 0;
  console.log(`page-pool model: NETMEM_SEED=${seed}`);
  let giveUpAt = Infinity;
  const property = (steps: readonly Command[]): void => {
    // Shrinking goes on until nothing shorter fails: from then on nothing does.
    if (performance.now() > giveUpAt) return;
    try {
      const world = new World();
      for (const step of steps) run(world, step);
      finish(world);
      ran += steps.length;
    } catch (error) {
      giveUpAt = Math.min(giveUpAt, performance.now() + SHRINK_MS);
      throw error;
    }
  };
  const commands = fc.array(command, { minLength: 1, maxLength, size: "max" });
  // Shrinking worlds of thousands of commands takes minutes: the soak says its seed and stops.
  fc.assert(fc.property(commands, property), { seed, numRuns: worlds, endOnFailure: worlds > MAX_SHRUNK_WORLDS });
  console.log(`page-pool model: ${ran} commands in ${worlds} worlds`);
  return ran;
}
