/** Gives the GPU bytes in shared memory, in the ways that there are. */

import { createMemory, isNetmemError } from "@netmem/core";
import { openWebGpuMemory } from "../src/index.ts";
import { printOutcome } from "./without-gpu.ts";

await printOutcome(async () => {
  const memory = await openWebGpuMemory({ sizeBytes: 2 ** 20 });
  const { queue } = memory.device;
  const arena = new Uint8Array(createMemory(65536).buffer);
  arena.set([5, 6, 7, 8]);
  const plain = Uint8Array.of(1, 2, 3, 4);
  const codes = [arena, arena.buffer, new DataView(arena.buffer), plain].map((data) => {
    try {
      queue.writeBuffer(memory.buffer, 0, data, 0, 4);
      return "none";
    } catch (error) {
      return isNetmemError(error) ? error.code : String(error);
    }
  });
  const landing = memory.beginLanding(0, 4);
  landing?.bytes.set(arena.subarray(0, 4));
  await landing?.commit(4);
  const landed = [...(await memory.readback([{ offset: 0, length: 4 }]))];
  await memory.close();
  return { codes, landed };
});
