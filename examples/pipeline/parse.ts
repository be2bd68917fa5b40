/** Second stage: looks at headers, hands on what the sink wants, sends the rest home. */
import type { QueueWorkerContext, QueueWorkerParts } from "@netmem/netdev";
import { asFrameRef, frameData, returnFrameBulk } from "@netmem/skb";
import { isWanted } from "./packets.ts";

export { attachHost } from "netmem";

/** What it says when it stopped. */
export interface ParseResult {
  readonly handedOn: number;
  readonly unwanted: number;
}

export function createWorker(context: QueueWorkerContext): QueueWorkerParts {
  const { host } = context;
  const target = context.target("sink");
  const wanted = new Int32Array(64);
  const others = new Int32Array(64);
  let handedOn = 0;
  let unwanted = 0;
  return {
    frames: (frames, count) => {
      let w = 0;
      let o = 0;
      for (let n = 0; n < count; n++) {
        const frame = asFrameRef(frames[n]!);
        if (isWanted(host.u8, frameData(host, frame))) wanted[w++] = frame;
        else others[o++] = frame;
      }
      const sent = context.send(target, wanted, w);
      handedOn += sent;
      // There is room, see below; but nobody to take them when the sink has died.
      if (sent < w) returnFrameBulk(host, wanted.subarray(sent), w - sent);
      returnFrameBulk(host, others, o);
      unwanted += o;
    },
    room: () => context.roomOf(target),
    finish: (): ParseResult => ({ handedOn, unwanted }),
  };
}
