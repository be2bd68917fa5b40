/** `pnpm pack:all`: a tarball of every package in .packs/, as it would be published. */

import { packAll } from "./packages/pack.ts";
import { listPackages } from "./packages/workspace.ts";

const packages = listPackages();
await packAll(packages);
for (const { tarball } of packages) console.log(tarball);
