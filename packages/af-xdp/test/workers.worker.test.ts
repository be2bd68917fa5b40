/* A queue driven by a worker, which sleeps in the kernel while it has nothing to do. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { openSystem } from "@netmem/linux";
import { createTestnet } from "@netmem/linux/testnet";
import { expect, test } from "vitest";
import { whyNoAfXdp } from "./fixture.ts";
import { PacketSocket } from "./packet-socket.ts";

const PACKETS = 500;

test("a worker in the namespace echoes packets, with a host of its own", async (context) => {
  const whyNot = whyNoAfXdp();
  if (whyNot !== null) context.skip(`no AF_XDP here: ${whyNot}`);
  const system = openSystem();
  const net = createTestnet(system);
  const far = new PacketSocket(system, net.far);
  const url = new URL("children/echo-worker.ts", import.meta.url);
  const worker = net.near.namespace.run(() => new Worker(url, { workerData: { packets: PACKETS } }));
  expect(await once(worker, "message")).toEqual(["open"]);
  const done = once(worker, "message");
  const frames = Array.from({ length: PACKETS }, (_, n) => new Uint8Array(60 + (n % 100)).fill(n));
  const got: Uint8Array[] = [];
  for (const frame of frames) {
    far.send(frame);
    got.push(...far.takeAll());
    if (frame.length === 60) {
      await new Promise((resolve) => {
        setTimeout(resolve, 5);
      });
    }
  }
  expect(await done).toEqual([PACKETS]);
  got.push(...far.takeAll());
  expect(got).toEqual(frames);
  await worker.terminate();
  far.close();
  net.close();
});
