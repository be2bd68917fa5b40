import { Worker } from "node:worker_threads";
import type { TestnetEnd } from "@netmem/linux/testnet";

/** What the generator's thread is told. */
export interface GeneratorData {
  readonly ifindex: number;
  readonly frame: Uint8Array;
  readonly burst: number;
}

/** Frames that the kernel makes in one call. A call takes some 20 ms more than its frames: it makes and destroys a pool. */
const DEFAULT_BURST = 65_536;

/** Sends `frame` out of one end of a cable as fast as a thread can, until the returned function is called. */
export function startGenerator(
  { namespace, link }: TestnetEnd,
  frame: Uint8Array,
  burst: number = DEFAULT_BURST,
): () => Promise<void> {
  const workerData: GeneratorData = { ifindex: link.ifindex, frame, burst };
  const url = new URL("generator-worker.ts", import.meta.url);
  const worker = namespace.run(() => new Worker(url, { workerData }));
  worker.unref();
  return async () => {
    worker.postMessage("stop");
    await new Promise<void>((resolve) => {
      worker.once("exit", () => resolve());
      worker.ref();
    });
  };
}
