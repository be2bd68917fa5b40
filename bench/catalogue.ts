/** The suites there are. Loaded by name, so that a suite's process carries only what it measures. */

import { checkSuite } from "./suite.ts";
import type { Suite } from "./suite.ts";

const LOADERS: ReadonlyMap<string, () => Promise<Suite>> = new Map([
  ["af-xdp", async () => (await import("./suites/af-xdp.ts")).afXdpSuite],
  ["page-pool", async () => (await import("./suites/page-pool.ts")).pagePoolSuite],
  ["dispatch", async () => (await import("./suites/dispatch.ts")).dispatchSuite],
  ["mm", async () => (await import("./suites/mm.ts")).mmSuite],
  ["ring", async () => (await import("./suites/ring.ts")).ringSuite],
  ["providers", async () => (await import("./suites/providers.ts")).providersSuite],
  ["xsk", async () => (await import("./suites/xsk.ts")).xskSuite],
  ["threads", async () => (await import("./suites/threads.ts")).threadsSuite],
  ["rx", async () => (await import("./suites/rx.ts")).rxSuite],
]);

export function suiteNames(): string[] {
  return [...LOADERS.keys()];
}

/** The suite of that name, or undefined. */
export async function loadSuite(name: string): Promise<Suite | undefined> {
  const suite = await LOADERS.get(name)?.();
  if (suite !== undefined) checkSuite(suite);
  return suite;
}
