/** Runs all cases in this process; its last line is JSON. Started with a driver in the environment. */

import { openWebGpuMemory } from "../src/index.ts";
import { runGpuCases } from "./run-suites.ts";
import { printOutcome } from "./without-gpu.ts";

await printOutcome(async () => {
  const memory = await openWebGpuMemory({ sizeBytes: 4096 });
  await memory.close();
  return { info: memory.info, results: await runGpuCases() };
});
