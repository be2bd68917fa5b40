/** `node webgpu-child.ts SAMPLES MIN_MS`: landings on a GPU; its last line is the samples, or why there are none. */

import { isNetmemError } from "@netmem/core";
import { openWebGpuMemory } from "@netmem/devmem-webgpu";
import { landingBatches, MEMORY_BYTES, sampleBatches } from "./landing-load.ts";

const [samples, minMs] = process.argv.slice(2).map(Number);
try {
  const memory = await openWebGpuMemory({ sizeBytes: MEMORY_BYTES });
  const taken = await sampleBatches(landingBatches(memory), { samples: samples ?? 3, minMs: minMs ?? 5 });
  await memory.close();
  console.log(JSON.stringify({ samples: taken }));
} catch (error) {
  if (!isNetmemError(error) || error.code !== "ERR_NETMEM_NO_GPU") throw error;
  console.log(JSON.stringify({ reason: error.value }));
}
