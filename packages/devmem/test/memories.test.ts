import { runSuite } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import { deviceMemorySuite } from "../src/conformance/index.ts";
import { createHostMemory, type IsolatedMemory, openIsolatedMemory, serveIsolatedMemory } from "../src/index.ts";

const MIB = 2 ** 20;

/** Both ends on this thread: the protocol without the isolation. */
function openPair(sizeBytes: number): { memory: IsolatedMemory; bytes: Uint8Array } {
  const { port1, port2 } = new MessageChannel();
  const bytes = serveIsolatedMemory(port2, { sizeBytes });
  return { memory: openIsolatedMemory(port1, { sizeBytes, landingBytes: 65536 }), bytes };
}

describe("host memory", () => {
  runSuite(deviceMemorySuite, () => ({ open: () => createHostMemory({ sizeBytes: MIB }) }), test);
});

describe("isolated memory", () => {
  runSuite(
    deviceMemorySuite,
    () => ({
      open: () => openPair(MIB).memory,
      lose: (memory) => (memory as IsolatedMemory).lose(new Error("the thread ended")),
    }),
    test,
  );

  test("staging is out of this thread's hands once it is committed", async () => {
    const { memory, bytes } = openPair(MIB);
    const landing = memory.beginLanding(4096, 4)!;
    landing.bytes.set([1, 2, 3, 4]);
    const landed = landing.commit(4);
    expect(landing.bytes.length).toBe(0);
    await landed;
    expect([...bytes.subarray(4096, 4100)]).toEqual([1, 2, 3, 4]);
    await memory.close();
  });

  test("a kernel that is not there, or throws, fails that call alone", async () => {
    const { memory } = openPair(MIB);
    await expect(memory.run("nothing", [])).rejects.toMatchObject({ code: "ERR_NETMEM_DEVICE_LOST" });
    expect((await memory.readback([{ offset: 0, length: 3 }])).length).toBe(3);
    await memory.close();
  });

  test("a kernel's answer is a copy: the memory and the kernel's own bytes stay where they are", async () => {
    const { port1, port2 } = new MessageChannel();
    const scratch = Uint8Array.of(9);
    const kernels = { view: (all: Uint8Array) => all.subarray(4096, 4100), own: () => scratch };
    const bytes = serveIsolatedMemory(port2, { sizeBytes: MIB, kernels });
    const memory = openIsolatedMemory(port1, { sizeBytes: MIB });
    bytes.set([1, 2, 3, 4], 4096);
    expect([await memory.run("view", []), await memory.run("own", [])]).toEqual([Uint8Array.of(1, 2, 3, 4), scratch]);
    expect([bytes.length, scratch.length]).toEqual([MIB, 1]);
    expect([...(await memory.readback([{ offset: 4097, length: 2 }]))]).toEqual([2, 3]);
    await memory.close();
  });
});

describe("sizes", () => {
  test.each([0, 100, 4095, 2 ** 33, Number.NaN])("memory of %d bytes is refused", (sizeBytes) => {
    expect(() => createHostMemory({ sizeBytes })).toThrow("ERR_NETMEM_INVALID_PARAM");
  });
});
