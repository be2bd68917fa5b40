import { once } from "node:events";
import { closeSync, ftruncateSync, readSync, writeSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { expect } from "vitest";
import { openArenaMap } from "../src/index.ts";
import { createMemoryFile } from "../src/virtual-memory.ts";
import { linuxTest } from "./linux-needs.ts";
import { createTestHost } from "./test-pages.ts";

const PAGE = 4096;

/** Waits in the window for the word that the main thread stores, answers beside it. */
const PROGRAM = `
  const { workerData, parentPort } = require("node:worker_threads");
  const words = new Int32Array(workerData.memory.buffer);
  parentPort.postMessage("up");
  const woken = Atomics.wait(words, workerData.at, 0, 10_000);
  words[workerData.at + 1] = words[workerData.at] + 1;
  parentPort.postMessage(woken);
`;

linuxTest("another thread sees a window, and waits in it with Atomics", [], async (system) => {
  const { host } = createTestHost();
  const map = openArenaMap(system, host);
  const fd = createMemoryFile(system, "netmem-worker");
  ftruncateSync(fd, PAGE);
  const window = map.mapFile({ fd, bytes: PAGE, name: "shared" });
  const at = window.offset / 4;
  const worker = new Worker(PROGRAM, { eval: true, workerData: { memory: host.share().memory, at } });
  expect(await once(worker, "message")).toEqual(["up"]);
  Atomics.store(host.i32, at, 41);
  Atomics.notify(host.i32, at);
  const [woken] = (await once(worker, "message")) as [string];
  expect(["ok", "not-equal"]).toContain(woken);
  const words = new Int32Array(2);
  readSync(fd, words, 0, 8, 0);
  expect([...words]).toEqual([41, 42]);
  writeSync(fd, Int32Array.of(7), 0, 4, 0);
  expect(host.i32[at]).toBe(7);
  await worker.terminate();
  map.close();
  closeSync(fd);
});
