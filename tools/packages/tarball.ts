import { join } from "node:path";
import { runCommand } from "./command.ts";
import { type Package, ROOT } from "./workspace.ts";

const REQUIRED = ["package.json", "README.md", "LICENSE", "dist/index.js", "dist/index.d.ts", "src/index.ts"];
const FORBIDDEN = /\.tsbuildinfo$|(^|\/)test\/|\.test\.|(^|\/)node_modules\/|tsconfig|turbo\.json$/;

const bin = (name: string): string => join(ROOT, "node_modules/.bin", name);

/** What is wrong with the list of files in a tarball. */
export function contentProblems(entries: readonly string[]): string[] {
  const paths = entries.map((entry) => entry.replace(/^package\//, ""));
  return [
    ...REQUIRED.filter((path) => !paths.includes(path)).map((path) => `${path} is missing`),
    ...paths.filter((path) => FORBIDDEN.test(path)).map((path) => `${path} must not be in it`),
  ];
}

async function contents({ tarball }: Package): Promise<string[]> {
  const { ok, stdout, output } = await runCommand("tar", ["-tzf", tarball]);
  return ok ? contentProblems(stdout.split("\n").filter((line) => line !== "")) : [output];
}

async function toolProblems(tool: string, args: readonly string[]): Promise<string[]> {
  const { ok, output } = await runCommand(bin(tool), args, { cwd: ROOT });
  return ok ? [] : [`${tool}: ${output.trim()}`];
}

/** Looks at a tarball as a registry and its users would. */
export async function checkTarball(one: Package): Promise<string[]> {
  const problems = await contents(one);
  problems.push(...(await toolProblems("publint", ["--strict", one.tarball])));
  problems.push(...(await toolProblems("attw", ["--profile", "esm-only", one.tarball])));
  return problems;
}
