import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "./command.ts";
import { type Package, PACKS, ROOT } from "./workspace.ts";

/** pnpm says where it is to the scripts that it runs. */
const PNPM = process.env["npm_execpath"] ?? "pnpm";

async function need(command: string, args: readonly string[]): Promise<void> {
  const { ok, output } = await runCommand(command, args, { cwd: ROOT });
  if (!ok) throw new Error(`${command} ${args.slice(0, 3).join(" ")} failed:\n${output}`);
}

/**
 * Builds all packages from nothing and packs each into .packs/. Stale files would be packed too, hence the clean start.
 * pnpm turns `workspace:` into versions and applies publishConfig.
 */
export async function packAll(packages: readonly Package[]): Promise<void> {
  rmSync(PACKS, { recursive: true, force: true });
  mkdirSync(PACKS, { recursive: true });
  for (const { path } of packages) rmSync(join(path, "dist"), { recursive: true, force: true });
  await need(join(ROOT, "node_modules/.bin/tsc"), ["-b", ...packages.map(({ path }) => path)]);
  await need(PNPM, ["--recursive", "--filter", "./packages/*", "pack", "--pack-destination", PACKS]);
}
