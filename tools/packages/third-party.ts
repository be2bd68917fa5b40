import { cpSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "./command.ts";
import { inTemporaryFolder, install } from "./consumer.ts";
import type { NodeRelease } from "./nodes.ts";
import { NODE_TYPES, TYPESCRIPT } from "./types.ts";
import { closure, isOurs, type Package, ROOT } from "./workspace.ts";

const FOLDER = join(ROOT, "tests/third-party");
const TEST_MS = 120_000;

interface Manifest {
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

/** A package of somebody else: sources that know of ours only what their manifest names. */
export interface ThirdParty {
  readonly name: string;
  readonly path: string;
  /** Packages of ours that it names. */
  readonly uses: readonly string[];
}

/** The third-party packages of the repository, none of which is part of the workspace. */
export function listThirdParties(folder: string = FOLDER): ThirdParty[] {
  const dirs = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return dirs.map(({ name }) => {
    const path = join(folder, name);
    const { peerDependencies, devDependencies } = JSON.parse(
      readFileSync(join(path, "package.json"), "utf8"),
    ) as Manifest;
    return { name, path, uses: Object.keys({ ...peerDependencies, ...devDependencies }).filter(isOurs) };
  });
}

async function testOn({ path }: NodeRelease, dir: string): Promise<string | null> {
  const { ok, output } = await runCommand(path, ["--test", "dist/test/*.js"], { cwd: dir, timeoutMs: TEST_MS });
  return ok ? null : output.trim();
}

/**
 * Builds a third-party package against our tarballs, where nothing else of ours is to be found, and runs its tests.
 * Returns what is wrong, by the major version of Node.js.
 */
export async function testThirdParty(
  one: ThirdParty,
  packages: readonly Package[],
  nodes: readonly NodeRelease[],
): Promise<ReadonlyMap<number, string | null>> {
  const all = (problem: string): Map<number, string> => new Map(nodes.map(({ major }) => [major, problem]));
  return await inTemporaryFolder(async (dir) => {
    const tools = { typescript: TYPESCRIPT, "@types/node": NODE_TYPES };
    const problem = await install(dir, closure(one.uses, packages), tools);
    if (problem !== null) return all(problem);
    for (const part of ["src", "test", "tsconfig.json"])
      cpSync(join(one.path, part), join(dir, part), { recursive: true });
    const compiler = join(dir, "node_modules/typescript/bin/tsc");
    const built = await runCommand(process.execPath, [compiler, "-p", dir], { cwd: dir });
    if (!built.ok) return all(built.output.trim());
    const results = new Map<number, string | null>();
    for (const node of nodes) results.set(node.major, await testOn(node, dir));
    return results;
  });
}
