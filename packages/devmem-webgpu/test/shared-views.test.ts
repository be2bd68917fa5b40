import { createMemory } from "@netmem/core";
import { expect, test } from "vitest";
import { type GpuDevice, refuseSharedViews } from "../src/index.ts";

/** A queue that notes what reaches it. */
class FakeQueue {
  readonly calls: string[] = [];

  writeBuffer(...args: unknown[]): void {
    this.calls.push(`writeBuffer ${args.length}`);
  }

  writeTexture(...args: unknown[]): void {
    this.calls.push(`writeTexture ${args.length}`);
  }
}

test("bytes in shared memory are refused before the call, all others go through", () => {
  const queue = new FakeQueue();
  refuseSharedViews({ queue } as unknown as GpuDevice);
  const shared = new SharedArrayBuffer(16);
  const refused = { code: "ERR_NETMEM_SHARED_VIEW", errno: "EFAULT" };
  for (const data of [
    shared,
    new Uint8Array(shared),
    new DataView(shared),
    Buffer.from(shared),
    createMemory(65536).buffer,
  ]) {
    expect(() => queue.writeBuffer({}, 0, data)).toThrow(expect.objectContaining(refused));
    expect(() => queue.writeTexture({}, data, {}, [1, 1])).toThrow(expect.objectContaining(refused));
  }
  expect(queue.calls).toEqual([]);
  const plain = [new ArrayBuffer(8), new Uint8Array(8), Buffer.alloc(8)];
  for (const data of plain) queue.writeBuffer({}, 0, data, 0, 4);
  queue.writeTexture({}, new Uint8Array(8), {}, [1, 1]);
  expect(queue.calls).toEqual([...plain.map(() => "writeBuffer 5"), "writeTexture 4"]);
});

test("a device whose queue has the check already may be given again", () => {
  const queue = new FakeQueue();
  const device = { queue } as unknown as GpuDevice;
  refuseSharedViews(device);
  refuseSharedViews(device);
  expect(() => queue.writeBuffer({}, 0, new SharedArrayBuffer(16))).toThrow("ERR_NETMEM_SHARED_VIEW");
  queue.writeBuffer({}, 0, new Uint8Array(8));
  expect(queue.calls).toEqual(["writeBuffer 3"]);
});
