import { attachHost, type SharedHost, withNoDirect, XdpRxqInfo } from "@netmem/core";
import { attachPageAllocator } from "@netmem/mm";
import { createReturns } from "@netmem/ring";
import {
  asFrameRef,
  cloneFrame,
  convertFrameToBuff,
  FrameBulk,
  frameData,
  frameLen,
  type FrameRef,
  returnFrame,
  returnFrameBulk,
  updateFrameFromBuff,
  XdpBuff,
} from "@netmem/skb";
import { findPatternMismatch } from "@netmem/testing";
import { parentPort, workerData } from "node:worker_threads";

/** A burst: frames, and the pattern seed of each one's linear part. */
export interface BurstMessage {
  readonly frames: Int32Array;
  readonly linearBytes: number;
}

/** What the thread says of a burst. */
export interface BurstReport {
  readonly wrong: number;
  readonly clones: number;
  readonly bytes: number;
}

const clock = { nowMs: () => 0, setTimer: () => 0, clearTimer: () => {} };
const host = attachHost(workerData as SharedHost, {
  clock,
  returns: createReturns,
  pageAllocator: attachPageAllocator,
});
const bulk = new FrameBulk(host);
const xdp = new XdpBuff(host, new XdpRxqInfo(), 4096);
let turn = 0;

/** Each frame ends in one of six ways. */
function end(frame: FrameRef): number {
  switch (turn++ % 6) {
    case 0:
      returnFrame(host, frame);
      return 0;
    case 1:
      returnFrameBulk(host, Int32Array.of(frame), 1);
      return 0;
    case 2:
      bulk.add(frame);
      return 0;
    case 3: {
      const clone = cloneFrame(host, frame);
      returnFrame(host, frame);
      if (clone === 0) return 0;
      returnFrame(host, clone);
      return 1;
    }
    case 4:
      // A program at the receiver drops it: no promise of the owner's poll holds here.
      convertFrameToBuff(frame, xdp);
      withNoDirect(host.context, () => xdp.returnBuff());
      return 0;
    default:
      convertFrameToBuff(frame, xdp);
      xdp.adjustTail(-(xdp.len - 60));
      updateFrameFromBuff(xdp, frame);
      bulk.add(frame);
      return 0;
  }
}

parentPort?.on("message", (message: BurstMessage | null) => {
  if (message === null) {
    host.detach();
    parentPort?.close();
    return;
  }
  let wrong = 0;
  let clones = 0;
  let bytes = 0;
  bulk.begin();
  for (const word of message.frames) {
    const frame = asFrameRef(word);
    bytes += frameLen(host, frame);
    if (findPatternMismatch(host.u8, frameData(host, frame), message.linearBytes, word & 0xff) !== -1) wrong++;
    clones += end(frame);
  }
  bulk.end();
  const report: BurstReport = { wrong, clones, bytes };
  parentPort?.postMessage(report);
});
