import { once } from "node:events";
import { readlinkSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { expect } from "vitest";
import { createNetNamespace } from "../src/index.ts";
import { linuxTest } from "./linux-needs.ts";

const PROGRAM = `
  const { parentPort } = require("node:worker_threads");
  const { readlinkSync } = require("node:fs");
  parentPort.on("message", () => parentPort.postMessage(readlinkSync("/proc/thread-self/ns/net")));
`;

linuxTest(
  "a worker made inside a namespace lives there; the others stay where they are",
  ["netNamespaces"],
  async (system) => {
    const home = readlinkSync("/proc/thread-self/ns/net");
    const namespace = createNetNamespace(system);
    const inside = namespace.run(() => readlinkSync("/proc/thread-self/ns/net"));
    const workers = [namespace.run(() => new Worker(PROGRAM, { eval: true })), new Worker(PROGRAM, { eval: true })];
    for (const [n, worker] of workers.entries()) {
      worker.postMessage("where");
      expect(await once(worker, "message")).toEqual([n === 0 ? inside : home]);
    }
    expect(readlinkSync("/proc/thread-self/ns/net")).toBe(home);
    await Promise.all(workers.map((worker) => worker.terminate()));
    namespace.close();
  },
);
