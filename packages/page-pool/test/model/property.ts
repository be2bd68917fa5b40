import fc from "fast-check";
import { type Command, finish, OPS, run } from "./commands.ts";
import { World } from "./world.ts";

const number = fc.nat(65_535);
const command: fc.Arbitrary<Command> = fc.tuple(fc.nat(OPS - 1), number, number);

/** NETMEM_SEED replays a run; without it every run has a seed of its own. */
function seedOf(): number {
  const given = process.env["NETMEM_SEED"];
  return given === undefined || given === "" ? Date.now() & 0x7fffffff : Number(given);
}

/** Runs `worlds` worlds for `length` commands each and shrinks the first failure. Prints the seed. */
export function checkWorlds(worlds: number, length: number): void {
  const seed = seedOf();
  console.log(`page-pool model: ${worlds} x ${length} commands, NETMEM_SEED=${seed}`);
  const commands = fc.array(command, { minLength: length, maxLength: length, size: "max" });
  const shrinkable = fc.array(command, { minLength: 1, maxLength: length, size: "max" });
  const property = (steps: readonly Command[]): void => {
    const world = new World();
    for (const step of steps) run(world, step);
    finish(world);
  };
  fc.assert(fc.property(fc.oneof({ weight: 9, arbitrary: commands }, { weight: 1, arbitrary: shrinkable }), property), {
    seed,
    numRuns: worlds,
    endOnFailure: false,
  });
}
