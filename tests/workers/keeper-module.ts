/** Keeps every frame that it gets until it is stopped. */
import type { QueueWorkerContext, QueueWorkerParts } from "@netmem/netdev";
import { asFrameRef, returnFrame } from "@netmem/skb";

export { attachHost } from "netmem";

export function createWorker({ host }: QueueWorkerContext): QueueWorkerParts {
  const kept: number[] = [];
  return {
    frames: (frames, count) => kept.push(...frames.subarray(0, count)),
    finish: () => {
      for (const frame of kept) returnFrame(host, asFrameRef(frame));
      return kept.length;
    },
  };
}
