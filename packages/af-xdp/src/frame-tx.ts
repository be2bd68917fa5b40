/*
 * data path
 *
 * The transmitting half of a queue: frames to descriptors, without copying. What the kernel has sent goes home piece by
 * piece, each to its own owner; the frame itself is forgotten once its pieces are posted.
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
  type FrameRef,
  frameSharedInfoAt,
  MAX_SKB_FRAGS,
  SHINFO_NR_FRAGS,
  SHINFO_XDP_FRAGS_SIZE,
  XdpFlag,
} from "@netmem/skb";
import type { XskRings } from "@netmem/xsk";

const UNREADABLE = XdpFlag.Unreadable;
const MAX_PIECES = MAX_SKB_FRAGS + 1;

export class FrameTx {
  declare private readonly host: Host;
  declare private readonly i32: Int32Array;
  declare private readonly counters: QueueCounters;
  /** Pieces of the frame at hand. */
  declare private readonly refs: Int32Array;
  declare private readonly offsets: Int32Array;
  declare private readonly lengths: Int32Array;
  declare private readonly pageMask: number;
  /** Bytes of the frame at hand. */
  declare private bytes: number;

  constructor(host: Host, counters: QueueCounters) {
    this.host = host;
    this.i32 = host.i32;
    this.counters = counters;
    this.refs = new Int32Array(MAX_PIECES);
    this.offsets = new Int32Array(MAX_PIECES);
    this.lengths = new Int32Array(MAX_PIECES);
    this.pageMask = host.pageSizeBytes - 1;
    this.bytes = 0;
  }

  /** Posts `frames[0..n)` as far as there is room; returns how many. The kernel sees them after `rings.submitTx()`. */
  post(rings: XskRings, frames: Int32Array, n: number): number {
    let taken = 0;
    let bytes = 0;
    while (taken < n && this.postFrame(rings, asFrameRef(frames[taken]!))) {
      bytes += this.bytes;
      taken++;
    }
    if (taken === 0) return 0;
    this.counters.addWide(QueueCounter.TxPackets, taken);
    this.counters.addWide(QueueCounter.TxBytes, bytes);
    return taken;
  }

  private postFrame(rings: XskRings, frame: FrameRef): boolean {
    const { host, i32 } = this;
    const flags = i32[frame + FRAME_FLAGS]!;
    if (flags !== 0) return (flags & UNREADABLE) === 0 && this.postPieces(rings, frame);
    const len = i32[frame + FRAME_LEN]!;
    const data = frameData(host, frame);
    if ((data & this.pageMask) + len > this.pageMask + 1) return this.postPieces(rings, frame);
    this.bytes = len;
    return rings.transmitOne(i32[frame + FRAME_REF]! as ReadableRef, data, len);
  }

  private postPieces(rings: XskRings, frame: FrameRef): boolean {
    const { host, i32, refs, offsets, lengths } = this;
    const shinfo = frameHasFrags(host, frame) ? frameSharedInfoAt(host, frame) : 0;
    const frags = shinfo === 0 ? 0 : i32[shinfo + SHINFO_NR_FRAGS]!;
    refs[0] = i32[frame + FRAME_REF]!;
    offsets[0] = frameData(host, frame);
    lengths[0] = i32[frame + FRAME_LEN]!;
    for (let n = 0; n < frags; n++) {
      const at = fragAt(shinfo, n);
      const ref = i32[at + FRAG_REF]! as ReadableRef;
      refs[n + 1] = ref;
      offsets[n + 1] = host.offsetOf(ref) + i32[at + FRAG_OFFSET]!;
      lengths[n + 1] = i32[at + FRAG_LEN]!;
    }
    this.bytes = lengths[0] + (frags === 0 ? 0 : i32[shinfo + SHINFO_XDP_FRAGS_SIZE]!);
    return rings.transmit(refs, offsets, lengths, frags + 1);
  }
}
