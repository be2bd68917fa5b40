/*
 * data path
 *
 * Frames from one thread to another, as integers in a ring of their own. Who takes a frame out stamps its buffers, so that
 * a thread that dies leaves nothing behind that cannot be found. Stamps stay while a frame is in a ring, where they
 * mean nothing; the next holder's overwrite them.
 */
import { type Host, type NetmemRef } from "@netmem/core";
import { ChannelStamps, claimChannelEnd, leaveChannelEnd, SpscConsumer, SpscProducer } from "@netmem/ring";
import {
  FRAG_REF as FRAG_REF_,
  fragAt as fragAt_,
  FRAME_REF as FRAME_REF_,
  frameHasFrags as frameHasFrags_,
  type FrameRef,
  frameSharedInfoAt as frameSharedInfoAt_,
  SHINFO_NR_FRAGS,
} from "@netmem/skb";
import { wakeWorker as wakeWorker_ } from "./sleep.ts";
import { isRunning as isRunning_ } from "./worker-words.ts";

const FRAG_REF = FRAG_REF_;
const FRAME_REF = FRAME_REF_;
const NR_FRAGS = SHINFO_NR_FRAGS;
const fragAt = fragAt_;
const frameHasFrags = frameHasFrags_;
const frameSharedInfoAt = frameSharedInfoAt_;
const isRunning = isRunning_;
const wakeWorker = wakeWorker_;

/** Calls `visit` with the head of a frame and every fragment. */
export function forEachBuffer(host: Host, frame: FrameRef, visit: (ref: NetmemRef) => void): void {
  const { i32 } = host;
  visit(i32[frame + FRAME_REF]! as NetmemRef);
  if (!frameHasFrags(host, frame)) return;
  const shinfo = frameSharedInfoAt(host, frame);
  for (let n = 0; n < i32[shinfo + NR_FRAGS]!; n++) visit(i32[fragAt(shinfo, n) + FRAG_REF]! as NetmemRef);
}

/** The end of a link that frames go into. One thread at a time. */
export class FrameSender {
  declare private readonly host: Host;
  declare private readonly ring: SpscProducer;
  /** Words of the worker at the other end. */
  declare private readonly peerAt: number;
  declare private readonly at: number;
  /** Frames that were not taken: no room, or nobody there. */
  declare refusedCount: number;

  /** @throws `ERR_NETMEM_CHANNEL_TAKEN` (EBUSY) while another thread has this end. */
  constructor(host: Host, at: number, peerAt: number) {
    this.host = host;
    this.ring = new SpscProducer(host.i32, claimChannelEnd(host, at, "sending"));
    this.peerAt = peerAt;
    this.at = at;
    this.refusedCount = 0;
  }

  /** Hands over `frames[0..count)` as far as there is room, and returns how many; the rest is the caller's. Once per burst. */
  send(frames: Int32Array, count: number): number {
    const { host, ring, peerAt } = this;
    const taken = isRunning(host.i32, peerAt) ? ring.pushBatch(frames, 0, count) : 0;
    this.refusedCount += count - taken;
    if (taken === 0) return 0;
    ring.publish();
    wakeWorker(host.i32, peerAt);
    return taken;
  }

  /** Frames that {@link send} has room for, at least. */
  room(): number {
    return this.ring.room();
  }

  /** Leaves this end to another thread. */
  close(): void {
    leaveChannelEnd(this.host, this.at, "sending");
  }
}

/** The end of a link that frames come out of. One thread at a time. */
export class FrameReceiver {
  declare private readonly host: Host;
  declare private readonly ring: SpscConsumer;
  declare private readonly set: (ref: NetmemRef) => void;
  declare private readonly peerAt: number;
  declare private readonly at: number;

  /** @throws `ERR_NETMEM_CHANNEL_TAKEN` (EBUSY) while another thread has this end. */
  constructor(host: Host, at: number, peerAt: number) {
    const stamps = new ChannelStamps(host);
    this.host = host;
    this.ring = new SpscConsumer(host.i32, claimChannelEnd(host, at, "receiving"));
    this.set = (ref) => stamps.set(ref);
    this.peerAt = peerAt;
    this.at = at;
  }

  /** Takes up to `max` frames into `into[0..n)`; returns n. They are the caller's. Wakes a sender that waits for room. */
  receive(into: Int32Array, max: number): number {
    const { host, ring } = this;
    let n = 0;
    for (; n < max; n++) {
      const frame = ring.take();
      if (frame === 0) break;
      // Before the slot is given back: a thread that dies in between is found to hold them.
      forEachBuffer(host, frame as FrameRef, this.set);
      into[n] = frame;
    }
    if (n === 0) return 0;
    ring.release();
    wakeWorker(host.i32, this.peerAt);
    return n;
  }

  /** Whether {@link receive} would find something. One atomic load. */
  hasWork(): boolean {
    return this.ring.count() !== 0;
  }

  /** Leaves this end to another thread. */
  close(): void {
    leaveChannelEnd(this.host, this.at, "receiving");
  }
}
