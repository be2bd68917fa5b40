import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand } from "./command.ts";
import type { NodeRelease } from "./nodes.ts";
import { type Example, firstExample, outputProblem } from "./readme.ts";
import { closure, type Package } from "./workspace.ts";

/*
 * Peers are listed one by one (`closure`). npm must not look for optional ones: as soon as two packages name one that is
 * not in the registry, it gives up. And an example that needs one by mistake must fail.
 */
const INSTALL = ["install", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund", "--prefer-offline"];
const EXAMPLE_MS = 60_000;

/** Calls `work` with an empty folder, which is gone afterwards. */
export async function inTemporaryFolder<T>(work: (dir: string) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), "netmem-consumer-"));
  try {
    return await work(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Installs tarballs, and packages from the registry, into a project of its own as a user would. Null when it worked. */
export async function install(dir: string, packages: readonly Package[], others: object = {}): Promise<string | null> {
  const dependencies = {
    ...Object.fromEntries(packages.map(({ name, tarball }) => [name, `file:${tarball}`])),
    ...others,
  };
  const manifest = { name: "consumer", private: true, type: "module", dependencies };
  writeFileSync(join(dir, "package.json"), JSON.stringify(manifest));
  const { ok, output } = await runCommand("npm", INSTALL, { cwd: dir });
  return ok ? null : `npm install: ${output.trim()}`;
}

/** What is wrong with the example of a README, on each Node.js. */
export type ExampleResults = ReadonlyMap<number, string | null>;

async function runOn(node: NodeRelease, dir: string, example: Example): Promise<string | null> {
  const file = join(dir, `example.${example.language}`);
  const { ok, stdout, output } = await runCommand(node.path, [file], { cwd: dir, timeoutMs: EXAMPLE_MS });
  return ok ? outputProblem(example, stdout) : output.trim();
}

/** The example of a package, or what is wrong instead. */
export function readExample({ path }: Package): Example | string {
  let markdown: string;
  try {
    markdown = readFileSync(join(path, "README.md"), "utf8");
  } catch {
    return "no README.md";
  }
  return firstExample(markdown) ?? "no block of ts in README.md";
}

/** Runs the first example of a package's README where only what a user installs for it is installed. */
export async function testExample(
  one: Package,
  packages: readonly Package[],
  nodes: readonly NodeRelease[],
): Promise<ExampleResults> {
  const all = (problem: string | null): ExampleResults => new Map(nodes.map(({ major }) => [major, problem]));
  const example = readExample(one);
  if (typeof example === "string") return all(example);
  return await inTemporaryFolder(async (dir) => {
    const problem = await install(dir, closure([one.name, ...example.imports], packages));
    if (problem !== null) return all(problem);
    writeFileSync(join(dir, `example.${example.language}`), example.code);
    const results = new Map<number, string | null>();
    for (const node of nodes) results.set(node.major, await runOn(node, dir, example));
    return results;
  });
}
