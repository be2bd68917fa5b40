import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));
export const PACKS: string = join(ROOT, ".packs");

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly exports?: Readonly<Record<string, unknown>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
}

/** A package that we publish. */
export interface Package {
  readonly name: string;
  /** Its folder: below packages/, and in full. */
  readonly dir: string;
  readonly path: string;
  readonly tarball: string;
  /** Names of its `exports`, without package.json. */
  readonly subpaths: readonly string[];
  /** Packages of ours that users install with it; and those that they may. */
  readonly required: readonly string[];
  readonly optional: readonly string[];
}

/** Whether a package of that name is one of this repository. */
export const isOurs = (name: string): boolean => name === "netmem" || name.startsWith("@netmem/");

function readPackage(dir: string): Package {
  const path = join(ROOT, "packages", dir);
  const manifest = JSON.parse(readFileSync(join(path, "package.json"), "utf8")) as Manifest;
  const { name, version, exports = {}, dependencies = {}, peerDependencies = {}, peerDependenciesMeta = {} } = manifest;
  const peers = Object.keys(peerDependencies).filter(isOurs);
  const isOptional = (peer: string): boolean => peerDependenciesMeta[peer]?.optional === true;
  return {
    name,
    dir,
    path,
    tarball: join(PACKS, `${name.replace("@", "").replace("/", "-")}-${version}.tgz`),
    subpaths: Object.keys(exports).filter((subpath) => subpath !== "./package.json"),
    required: [...Object.keys(dependencies).filter(isOurs), ...peers.filter((peer) => !isOptional(peer))],
    optional: peers.filter(isOptional),
  };
}

export function listPackages(): Package[] {
  const dirs = readdirSync(join(ROOT, "packages")).filter((dir) =>
    existsSync(join(ROOT, "packages", dir, "package.json")),
  );
  return dirs.toSorted().map(readPackage);
}

/** The packages of these names and all that they require, each once. */
export function closure(names: readonly string[], packages: readonly Package[]): Package[] {
  const found = new Map<string, Package>();
  const visit = (name: string): void => {
    const one = packages.find((candidate) => candidate.name === name);
    if (one === undefined || found.has(name)) return;
    found.set(name, one);
    one.required.forEach(visit);
  };
  names.forEach(visit);
  return [...found.values()];
}
