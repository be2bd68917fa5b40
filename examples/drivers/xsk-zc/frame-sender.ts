/*
 * data path
 *
 * Frames into the TX ring of a socket: each piece goes as it lies in memory, whatever its type, as long as it is in the
 * UMEM. The frame is gone then; its buffers come home one by one with their completions.
 */
import type { Host, ReadableRef } from "@netmem/core";
import { QueueCounter, type QueueCounters } from "@netmem/netdev";
import {
  asFrameRef,
  FRAG_LEN,
  FRAG_OFFSET,
  FRAG_REF,
  fragAt,
  FRAME_FLAGS,
  FRAME_LEN,
  FRAME_REF,
  frameData,
  frameHasFrags,
  frameLen,
  type FrameRef,
  frameSharedInfoAt,
  SHINFO_NR_FRAGS,
  XdpFlag,
} from "@netmem/skb";
import type { XskRings } from "@netmem/xsk";

const UNREADABLE = XdpFlag.Unreadable;

export class FrameSender {
  declare private readonly host: Host;
  declare private readonly counters: QueueCounters;
  declare private readonly rings: XskRings;
  declare private readonly kick: () => void;
  declare private readonly refs: Int32Array;
  declare private readonly offsets: Int32Array;
  declare private readonly lengths: Int32Array;

  /** `kick` makes the kernel look at the TX ring. */
  constructor(host: Host, counters: QueueCounters, rings: XskRings, kick: () => void, maxPieces: number) {
    this.host = host;
    this.counters = counters;
    this.rings = rings;
    this.kick = kick;
    this.refs = new Int32Array(maxPieces);
    this.offsets = new Int32Array(maxPieces);
    this.lengths = new Int32Array(maxPieces);
  }

  /** Takes `frames[0..n)` as far as there is room; see `QueueDriver.xdpXmit`. */
  xmit(frames: Int32Array, n: number): number {
    let taken = 0;
    let bytes = 0;
    while (taken < n) {
      const frame = asFrameRef(frames[taken]!);
      const lenBytes = frameLen(this.host, frame);
      if (!this.sendFrame(frame)) break;
      bytes += lenBytes;
      taken++;
    }
    if (taken === 0) return 0;
    this.counters.addWide(QueueCounter.TxPackets, taken);
    this.counters.addWide(QueueCounter.TxBytes, bytes);
    if (this.rings.submitTx()) this.kick();
    return taken;
  }

  private sendFrame(frame: FrameRef): boolean {
    const { host, refs, offsets, lengths } = this;
    const { i32 } = host;
    if ((i32[frame + FRAME_FLAGS]! & UNREADABLE) !== 0) return false;
    const shinfo = frameHasFrags(host, frame) ? frameSharedInfoAt(host, frame) : 0;
    const frags = shinfo === 0 ? 0 : i32[shinfo + SHINFO_NR_FRAGS]!;
    refs[0] = i32[frame + FRAME_REF]!;
    offsets[0] = frameData(host, frame);
    lengths[0] = i32[frame + FRAME_LEN]!;
    for (let n = 0; n < frags; n++) {
      const at = fragAt(shinfo, n);
      const ref = i32[at + FRAG_REF]!;
      refs[n + 1] = ref;
      offsets[n + 1] = host.offsetOf(ref as ReadableRef) + i32[at + FRAG_OFFSET]!;
      lengths[n + 1] = i32[at + FRAG_LEN]!;
    }
    return this.rings.transmit(refs, offsets, lengths, frags + 1);
  }
}
