import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LAYERS, PORTABLE_LAYERS } from "../tidy/layers.ts";
import { runCommand } from "./command.ts";
import { inTemporaryFolder, install, readExample } from "./consumer.ts";
import type { Package } from "./workspace.ts";

/** What users compile with: the oldest that we support. */
export const TYPESCRIPT = "5.9.3";
export const NODE_TYPES = "22.20.5";

const COMPILER_OPTIONS = {
  module: "nodenext",
  target: "es2022",
  lib: ["ES2022"],
  strict: true,
  noEmit: true,
  allowImportingTsExtensions: true,
};

/** A module that imports everything that the packages export. */
function importAll(packages: readonly Package[]): string {
  const specifiers = packages.flatMap(({ name, subpaths }) => subpaths.map((subpath) => name + subpath.slice(1)));
  const imports = specifiers.map((specifier, nth) => `import * as all${nth} from "${specifier}";\nvoid all${nth};\n`);
  return imports.join("");
}

function writeExamples(dir: string, packages: readonly Package[]): void {
  mkdirSync(join(dir, "examples"));
  writeFileSync(join(dir, "examples/none.ts"), "export {};\n");
  for (const one of packages) {
    const example = readExample(one);
    if (typeof example === "string" || example.language !== "ts") continue;
    writeFileSync(join(dir, "examples", `${one.dir}.ts`), example.code);
  }
}

async function compile(dir: string, include: readonly string[], options: object): Promise<string | null> {
  const config = { compilerOptions: { ...COMPILER_OPTIONS, ...options }, include };
  writeFileSync(join(dir, "tsconfig.json"), JSON.stringify(config));
  const { ok, output } = await runCommand(process.execPath, [join(dir, "node_modules/typescript/bin/tsc"), "-p", dir], {
    cwd: dir,
  });
  return ok ? null : output.trim();
}

/** Packages that run in browsers must have types that need none of Node.js. */
function portable(packages: readonly Package[]): Package[] {
  return packages.filter(({ dir }) => PORTABLE_LAYERS.has(LAYERS[dir] ?? ""));
}

/**
 * Compiles the types of all packages, and their examples, with an older TypeScript, as a user would: from tarballs,
 * with the checks of library files on.
 */
export async function checkTypes(packages: readonly Package[]): Promise<string[]> {
  return await inTemporaryFolder(async (dir) => {
    const problem = await install(dir, packages, { typescript: TYPESCRIPT, "@types/node": NODE_TYPES });
    if (problem !== null) return [problem];
    writeFileSync(join(dir, "portable.ts"), importAll(portable(packages)));
    writeFileSync(join(dir, "all.ts"), importAll(packages));
    writeExamples(dir, packages);
    const problems = [
      await compile(dir, ["portable.ts"], { types: [] }),
      await compile(dir, ["all.ts"], { types: ["node"] }),
      await compile(dir, ["examples"], { types: ["node"], skipLibCheck: true }),
    ];
    return problems.filter((one) => one !== null);
  });
}
