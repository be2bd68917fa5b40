/** Last stage: reads every byte, and sends the buffers home, on whichever thread that is. */
import type { QueueWorkerContext, QueueWorkerParts } from "@netmem/netdev";
import { asFrameRef, frameData, frameLen, returnFrameBulk } from "@netmem/skb";
import { isWhole } from "./packets.ts";

export { attachHost } from "netmem";

/** What the sink is told. */
export interface SinkData {
  /** How long it thinks about each burst at most. Milliseconds. */
  readonly thinkMs: number;
  /** Word that becomes 1 when there is no time left for that. */
  readonly hurryAt: number;
}

/** What it says when it stopped. */
export interface SinkResult {
  readonly packets: number;
  readonly bytes: number;
  readonly wrong: number;
}

export function createWorker(context: QueueWorkerContext): QueueWorkerParts {
  const { host } = context;
  const { thinkMs, hurryAt } = context.data as SinkData;
  let packets = 0;
  let bytes = 0;
  let wrong = 0;
  return {
    frames: (frames, count) => {
      for (let n = 0; n < count; n++) {
        const frame = asFrameRef(frames[n]!);
        const lenBytes = frameLen(host, frame);
        if (!isWhole(host.u8, frameData(host, frame), lenBytes)) wrong++;
        bytes += lenBytes;
      }
      packets += count;
      if (thinkMs > 0) Atomics.wait(host.i32, hurryAt, 0, thinkMs);
      returnFrameBulk(host, frames, count);
    },
    finish: (): SinkResult => ({ packets, bytes, wrong }),
  };
}
