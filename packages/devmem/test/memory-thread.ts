import { parentPort, workerData } from "node:worker_threads";
import { type DevicePort, serveIsolatedMemory } from "../src/index.ts";

const { port, sizeBytes } = workerData as { port: DevicePort; sizeBytes: number };
serveIsolatedMemory(port, {
  sizeBytes,
  kernels: {
    sum: (bytes, frags) =>
      frags.reduce((total, { offset, length }) => {
        let sum = total;
        for (let n = offset; n < offset + length; n++) sum += bytes[n]!;
        return sum;
      }, 0),
  },
});
parentPort?.postMessage("ready");
