import type { Tree } from "./tree.ts";

export type Exports = Readonly<Record<string, string | Readonly<Record<string, string>>>>;

/** What the rules look at in a package.json. */
export interface Manifest {
  readonly name?: string;
  readonly version?: string;
  readonly description?: string;
  readonly license?: string;
  readonly type?: string;
  readonly sideEffects?: boolean | readonly string[];
  readonly exports?: Exports;
  readonly files?: readonly string[];
  readonly engines?: { readonly node?: string };
  readonly publishConfig?: { readonly access?: string; readonly exports?: Exports };
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

/** A JSON file of the tree; undefined where there is none, or where it is no JSON. */
export function readJson(tree: Tree, path: string): unknown {
  try {
    return JSON.parse(tree.get(path)?.text ?? "");
  } catch {
    return undefined;
  }
}

export function readManifest(tree: Tree, dir: string): Manifest | undefined {
  return readJson(tree, `packages/${dir}/package.json`) as Manifest | undefined;
}

export function nameOf(dir: string): string {
  return dir === "netmem" ? "netmem" : `@netmem/${dir}`;
}

/** The folder of a package of this repository; null for one of somebody else. */
export function dirOf(name: string): string | null {
  if (name === "netmem") return "netmem";
  return /^@netmem\/([^/]+)/.exec(name)?.[1] ?? null;
}

/** What users of a package install with it. */
export function requiredBy({ dependencies = {}, peerDependencies = {} }: Manifest): string[] {
  return [...new Set([...Object.keys(dependencies), ...Object.keys(peerDependencies)])];
}
