import { type Finding, type Rule } from "./finding.ts";
import { LAYERS, PORTABLE_LAYERS } from "./layers.ts";
import { nameOf, readManifest, requiredBy } from "./manifest.ts";
import type { SourceFile } from "./tree.ts";

const IMPORT =
  /^[ \t]*(?:import|export)\b[^"';]*?\bfrom\s+"([^"]+)"|^[ \t]*import\s+"([^"]+)"|\bimport\(\s*"([^"]+)"/gm;
const PACKAGE_NAME = /^(@[^/]+\/)?[^/]+/;

interface Import {
  readonly line: number;
  readonly name: string;
}

function importsOf({ text, blanked }: SourceFile): Import[] {
  const found: Import[] = [];
  for (const match of text.matchAll(IMPORT)) {
    const at = match.index + match[0].search(/\S/);
    if (blanked.code[at] === " ") continue;
    const name = match[1] ?? match[2] ?? match[3]!;
    found.push({ name, line: text.slice(0, at).split("\n").length });
  }
  return found;
}

/** What the sources import is what users must get: devDependencies do not count, and Node.js only from L4 on. */
export const importRule: Rule = (tree) =>
  tree.packageDirs().flatMap((dir) => {
    const required = new Set([...requiredBy(readManifest(tree, dir) ?? {}), nameOf(dir)]);
    const portable = PORTABLE_LAYERS.has(LAYERS[dir] ?? "");
    const files = tree.matching(new RegExp(`^packages/${dir}/src/.*\\.ts$`));
    return files.flatMap((file) => importsOf(file).flatMap((one) => check(file.path, one, required, portable)));
  });

function check(path: string, { name, line }: Import, required: ReadonlySet<string>, portable: boolean): Finding[] {
  if (name.startsWith(".")) return [];
  if (name.startsWith("node:")) {
    return portable
      ? [{ rule: "no-node", path, line, message: `${name}: a package of this layer runs in browsers too` }]
      : [];
  }
  const owner = PACKAGE_NAME.exec(name)?.[0] ?? name;
  if (required.has(owner)) return [];
  return [{ rule: "imports", path, line, message: `${owner} is in neither dependencies nor peerDependencies` }];
}
