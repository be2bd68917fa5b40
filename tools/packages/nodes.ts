import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "./command.ts";
import { ROOT } from "./workspace.ts";

/** A Node.js that users may have. */
export interface NodeRelease {
  readonly major: number;
  readonly path: string;
}

const VERSIONS: Readonly<Record<number, string>> = { 22: "22.23.3", 24: "24.21.0" };
const CACHE = join(ROOT, "node_modules/.cache/nodes");

async function fetchNode(major: number, version: string): Promise<NodeRelease> {
  const name = `node-linux-${process.arch}`;
  const dir = join(CACHE, version);
  const path = join(dir, "node_modules", name, "bin/node");
  if (!existsSync(path)) {
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, "package.json"), '{"private":true}\n');
    const args = ["install", "--ignore-scripts", "--no-audit", "--no-fund", `${name}@${version}`];
    const { ok, output } = await runCommand("npm", args, { cwd: dir, timeoutMs: 180_000 });
    if (!ok) throw new Error(`cannot fetch Node.js ${version}:\n${output}`);
  }
  return { major, path };
}

/** The releases that we support; the one that runs this is the newest of them. */
export async function nodeReleases(): Promise<NodeRelease[]> {
  const older = await Promise.all(
    Object.entries(VERSIONS).map(([major, version]) => fetchNode(Number(major), version)),
  );
  return [...older, { major: Number.parseInt(process.versions.node, 10), path: process.execPath }];
}
