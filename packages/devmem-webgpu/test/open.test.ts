import { expect, test } from "vitest";
import { type Gpu, openWebGpuMemory } from "../src/index.ts";

const limits = { maxBufferSize: 2 ** 28, maxStorageBufferBindingSize: 2 ** 27 };

test("a device that has no memory left is not kept", async () => {
  let destroyed = 0;
  const device = {
    queue: {},
    limits,
    lost: new Promise(() => {}),
    addEventListener: () => {},
    createBuffer: () => {
      throw new RangeError("out of memory");
    },
    destroy: () => destroyed++,
  };
  const gpu = { requestAdapter: async () => ({ limits, requestDevice: async () => device }) } as unknown as Gpu;
  const opening = openWebGpuMemory({ sizeBytes: 2 ** 20, gpu });
  await expect(opening).rejects.toMatchObject({ code: "ERR_NETMEM_NO_GPU", errno: "ENODEV" });
  expect(destroyed).toBe(1);
});
