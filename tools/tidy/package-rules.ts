import { type Finding, type Rule } from "./finding.ts";
import { LAYERS, PURE_LAYERS } from "./layers.ts";
import { dirOf, type Manifest, nameOf, readJson, readManifest, requiredBy } from "./manifest.ts";
import type { Tree } from "./tree.ts";

const NODE_RANGE = ">=22";

/** The dist file that `tsc` makes of a source. */
const distOf = (src: string, ext: string): string => src.replace(/^\.\/src\//, "./dist/").replace(/\.ts$/, ext);

function exportProblems(tree: Tree, dir: string, { exports = {}, publishConfig = {} }: Manifest): string[] {
  const problems: string[] = [];
  const published = publishConfig.exports ?? {};
  if (exports["."] === undefined) problems.push('exports has no "."');
  if (exports["./package.json"] !== "./package.json") problems.push('exports has no "./package.json"');
  const names = new Set([...Object.keys(exports), ...Object.keys(published)]);
  names.delete("./package.json");
  for (const name of names) {
    const src = exports[name];
    if (typeof src !== "string" || !src.startsWith("./src/")) {
      problems.push(`exports["${name}"] must name a file in ./src/`);
      continue;
    }
    if (tree.get(`packages/${dir}/${src.slice(2)}`) === undefined) problems.push(`exports["${name}"]: no file ${src}`);
    const wanted = JSON.stringify({ types: distOf(src, ".d.ts"), default: distOf(src, ".js") });
    if (JSON.stringify(published[name]) !== wanted) problems.push(`publishConfig.exports["${name}"] must be ${wanted}`);
  }
  return problems;
}

function fieldProblems(dir: string, manifest: Manifest): string[] {
  const { name, version, description, license, type, sideEffects, files = [], engines, publishConfig } = manifest;
  const checks: readonly (readonly [boolean, string])[] = [
    [name === nameOf(dir), `name must be ${nameOf(dir)}`],
    [version !== undefined, "no version"],
    [description !== undefined && description.length >= 10, "no description"],
    [license === "MIT", "license must be MIT"],
    [type === "module", "type must be module"],
    [
      sideEffects === false || Array.isArray(sideEffects),
      "sideEffects must be false, or list the files that have some",
    ],
    [files.includes("dist") && files.includes("src"), "files must have dist and src"],
    [files.includes("!**/*.tsbuildinfo"), 'files must have "!**/*.tsbuildinfo"'],
    [engines?.node === NODE_RANGE, `engines.node must be ${NODE_RANGE}`],
    [publishConfig?.access === "public", "publishConfig.access must be public"],
  ];
  return checks.filter(([good]) => !good).map(([, problem]) => problem);
}

export const manifestRule: Rule = (tree) =>
  tree.packageDirs().flatMap((dir) => {
    const path = `packages/${dir}/package.json`;
    const manifest = readManifest(tree, dir);
    const problems =
      manifest === undefined
        ? ["missing, or no JSON"]
        : [...fieldProblems(dir, manifest), ...exportProblems(tree, dir, manifest)];
    return problems.map((message) => ({ rule: "manifest", path, line: 1, message }));
  });

export const licenceRule: Rule = (tree) =>
  tree
    .packageDirs()
    .filter((dir) => tree.get(`packages/${dir}/LICENSE`)?.text !== tree.get("LICENSE")?.text)
    .map((dir) => ({
      rule: "licence",
      path: `packages/${dir}/LICENSE`,
      line: 1,
      message: "must be a copy of the LICENSE at the top",
    }));

/** The layer of each package as in the table, its turbo tag the same, and what that layer may not have. */
export const layerRule: Rule = (tree) =>
  tree.packageDirs().flatMap((dir) => {
    const layer = LAYERS[dir];
    if (layer === undefined) {
      return { rule: "layer", path: `packages/${dir}`, line: 1, message: "not in the table of tools/tidy/layers.ts" };
    }
    const found: Finding[] = [];
    const { tags = [] } = (readJson(tree, `packages/${dir}/turbo.json`) ?? {}) as { tags?: string[] };
    if (tags.length !== 1 || tags[0] !== layer) {
      found.push({ rule: "layer", path: `packages/${dir}/turbo.json`, line: 1, message: `tags must be ["${layer}"]` });
    }
    const foreign = Object.keys(readManifest(tree, dir)?.dependencies ?? {}).filter((name) => dirOf(name) === null);
    if (PURE_LAYERS.has(layer) && foreign.length > 0) {
      const message = `a package of ${layer} has no dependencies of others: ${foreign.join(", ")}`;
      found.push({ rule: "layer", path: `packages/${dir}/package.json`, line: 1, message });
    }
    return found;
  });

const sorted = (names: readonly string[]): string => names.toSorted().join(" ");

interface TsConfig {
  readonly references?: readonly { readonly path: string }[];
}

/** `tsc -b` builds in the right order only if the references say what package.json says. */
export const referenceRule: Rule = (tree) => {
  const references = (path: string): string[] => {
    const { references: listed = [] } = (readJson(tree, path) ?? {}) as TsConfig;
    return listed.map((one) => one.path);
  };
  const found = tree.packageDirs().flatMap((dir) => {
    const required = requiredBy(readManifest(tree, dir) ?? {}).flatMap((name) => dirOf(name) ?? []);
    const wanted = sorted(required.map((name) => `../${name}`));
    const path = `packages/${dir}/tsconfig.json`;
    if (sorted(references(path)) === wanted) return [];
    return { rule: "references", path, line: 1, message: `references must be: ${wanted === "" ? "none" : wanted}` };
  });
  const built = new Set(references("tsconfig.json"));
  const missing = tree.packageDirs().filter((dir) => !built.has(`packages/${dir}`));
  return [
    ...found,
    ...missing.map((dir) => ({
      rule: "references",
      path: "tsconfig.json",
      line: 1,
      message: `no reference to packages/${dir}`,
    })),
  ];
};

export const packageRules: readonly Rule[] = [manifestRule, licenceRule, layerRule, referenceRule];
