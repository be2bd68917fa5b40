import { once } from "node:events";
import { MessageChannel, Worker } from "node:worker_threads";
import { runSuite } from "@netmem/testing";
import { expect, test } from "vitest";
import { deviceMemorySuite } from "../src/conformance/index.ts";
import { type IsolatedMemory, openIsolatedMemory } from "../src/index.ts";

const SIZE = 2 ** 20;

async function openInWorker(): Promise<{ memory: IsolatedMemory; worker: Worker }> {
  const { port1, port2 } = new MessageChannel();
  const worker = new Worker(new URL("memory-thread.ts", import.meta.url), {
    workerData: { port: port2, sizeBytes: SIZE },
    transferList: [port2],
  });
  await once(worker, "message");
  const memory = openIsolatedMemory(port1, { sizeBytes: SIZE, landingBytes: 65536 });
  worker.once("exit", () => memory.lose(new Error("the thread ended")));
  return { memory, worker };
}

const workers: Worker[] = [];
runSuite(
  { ...deviceMemorySuite, name: "device memory of another thread" },
  {
    make: () => ({
      open: async () => {
        const { memory, worker } = await openInWorker();
        workers.push(worker);
        return memory;
      },
    }),
    release: async () => {
      for (const worker of workers.splice(0)) await worker.terminate();
    },
  },
  test,
);

test("the other thread works on the bytes, and only the result comes back", async () => {
  const { memory, worker } = await openInWorker();
  const landing = memory.beginLanding(0, 8192)!;
  landing.bytes.fill(1, 0, 8192);
  void landing.commit(8192);
  expect(
    await memory.run("sum", [
      { offset: 10, length: 1000 },
      { offset: 4096, length: 50 },
    ]),
  ).toBe(1050);
  expect(memory.readbackBytes).toBe(0);
  await memory.close();
  await worker.terminate();
});

test("the end of that thread fails what is under way", async () => {
  const { memory, worker } = await openInWorker();
  const read = memory.readback([{ offset: 0, length: 10 }]).catch((error: unknown) => error);
  await worker.terminate();
  const outcome = await read;
  if (outcome instanceof Error) expect(outcome).toMatchObject({ code: "ERR_NETMEM_DEVICE_LOST" });
  expect(memory.beginLanding(0, 4096)).toBe(null);
  await memory.close();
});
