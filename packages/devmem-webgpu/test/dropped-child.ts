/** Opens memories, uses them, and forgets them without closing, while the collector runs. */

import { openWebGpuMemory, type WebGpuMemory } from "../src/index.ts";
import { printOutcome } from "./without-gpu.ts";

const collect = (globalThis as { gc?: () => void }).gc;

async function turn(): Promise<void> {
  collect?.();
  await new Promise((resolve) => setTimeout(resolve, 5));
}

async function useAndDrop(): Promise<void> {
  const memory = await openWebGpuMemory({ sizeBytes: 2 ** 20 });
  await memory.beginLanding(0, 4096)?.commit(4096);
}

await printOutcome(async () => {
  const kept: WebGpuMemory = await openWebGpuMemory({ sizeBytes: 2 ** 20 });
  for (let n = 0; n < 5; n++) await useAndDrop();
  for (let n = 0; n < 20; n++) await turn();
  const landing = kept.beginLanding(0, 4);
  landing?.bytes.set([1, 2, 3, 4]);
  await landing?.commit(4);
  const seen = await kept.readback([{ offset: 0, length: 4 }]);
  await kept.close();
  return { isAlive: collect !== undefined && seen.join() === "1,2,3,4" };
});
