import type { DeviceMemory } from "@netmem/devmem";
import type { DeviceMemorySubject } from "@netmem/devmem/conformance";
import { openWebGpuMemory, type WebGpuMemory, type WebGpuMemoryParams } from "../src/index.ts";

/** Memories of a case; all are closed when it ends. */
export class GpuSubject {
  private readonly opened: WebGpuMemory[] = [];

  async open(params: Partial<WebGpuMemoryParams> = {}): Promise<WebGpuMemory> {
    const memory = await openWebGpuMemory({ sizeBytes: 2 ** 20, ...params });
    this.opened.push(memory);
    return memory;
  }

  async release(): Promise<void> {
    for (const memory of this.opened.splice(0).reverse()) await memory.close();
  }
}

/** For the suite that all device memory passes. */
export const deviceMemorySubject: DeviceMemorySubject = {
  open: () => openWebGpuMemory({ sizeBytes: 2 ** 20 }),
  lose: (memory: DeviceMemory) => void (memory as WebGpuMemory).device.destroy(),
};
