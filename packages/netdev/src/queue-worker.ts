/** The thread of a worker: what `WorkerGroup` starts. Imports the worker's module, runs it, stops it. */

import { type Host, isNetmemError } from "@netmem/core";
import { endThread, turnEventLoop, workerThreads } from "./node-threads.ts";
import type { QueueWorkerInput, QueueWorkerMessage, QueueWorkerModule } from "./queue-worker-module.ts";
import { WorkerLoop } from "./worker-loop.ts";

const HOME_LOOK_MS = 1;
const { parentPort, workerData } = workerThreads();

const tell = (message: QueueWorkerMessage): void => parentPort?.postMessage(message);
const sleep = ({ clock }: Host, ms: number): Promise<void> => {
  return new Promise((resolve) => void clock.setTimer(() => resolve(), ms));
};

async function runWorker(input: QueueWorkerInput): Promise<unknown> {
  const module = (await import(input.module)) as QueueWorkerModule;
  const host = module.attachHost(input.shared, { name: input.threadName });
  const loop = new WorkerLoop(host, input);
  loop.openLinks();
  loop.start(module.createWorker(loop.context));
  tell({ kind: "running" });
  await loop.run(turnEventLoop);
  const result = loop.stop();
  // Others may hold buffers of this thread's pools; the group ends the wait if it takes too long.
  await loop.drained();
  while (!loop.isHome()) await sleep(host, HOME_LOOK_MS);
  loop.finish();
  return result;
}

// Nothing that a pool waits for keeps a thread alive.
parentPort?.on("message", () => {});
try {
  tell({ kind: "stopped", result: await runWorker(workerData as QueueWorkerInput) });
  endThread(0);
} catch (error) {
  const { message, stack = "" } = error as Error;
  tell({ kind: "failed", code: isNetmemError(error) ? error.code : "", message, stack });
  endThread(1);
}
