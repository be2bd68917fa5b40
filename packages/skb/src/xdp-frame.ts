/* data path */
import { failBulkEntry, type Host, type NetmemRef, returnNetmem, returnNetmemRxNapi } from "@netmem/core";
import {
  FRAME_BYTES,
  FRAME_FLAGS as FRAME_FLAGS_,
  FRAME_HASH,
  FRAME_HEADROOM,
  FRAME_IFINDEX,
  FRAME_LEN,
  FRAME_MEM_TYPE,
  FRAME_METASIZE,
  FRAME_QUEUE,
  FRAME_REF as FRAME_REF_,
  FRAME_SZ as FRAME_SZ_,
  type FrameRef,
} from "./frame-record.ts";
import {
  returnFrags,
  returnFragsRxNapi,
  SHARED_INFO_BYTES,
  SHINFO_XDP_FRAGS_SIZE,
  sharedInfoAt,
} from "./shared-info.ts";
import type { XdpBuff } from "./xdp-buff.ts";
import { XdpFlag } from "./xdp-flags.ts";

const RECORD_BYTES = FRAME_BYTES;
const REF = FRAME_REF_;
const LEN = FRAME_LEN;
const HEADROOM = FRAME_HEADROOM;
const METASIZE = FRAME_METASIZE;
const MEM_TYPE = FRAME_MEM_TYPE;
const SZ = FRAME_SZ_;
const FLAGS = FRAME_FLAGS_;
const IFINDEX = FRAME_IFINDEX;
const QUEUE = FRAME_QUEUE;
const HASH = FRAME_HASH;
const TAIL_BYTES = SHARED_INFO_BYTES;
const FRAGS_SIZE = SHINFO_XDP_FRAGS_SIZE;
const HAS_FRAGS = XdpFlag.HasFrags;

/**
 * Turns the packet into a frame by writing the record into its headroom; the frame then owns head and fragments.
 * 0, and the buffers stay with the xdp_buff, when headroom less metadata is below 40 bytes, when the packet reaches into
 * the shared info, or when the head buffer does not start on a word. Kernel: `xdp_convert_buff_to_frame`. About 2 ns.
 */
export function convertBuffToFrame(xdp: XdpBuff): FrameRef | 0 {
  const hardStart = xdp.dataHardStart;
  const metaBytes = xdp.data - xdp.dataMeta;
  const headroom = xdp.data - hardStart;
  if (headroom - metaBytes < RECORD_BYTES || (hardStart & 3) !== 0) return 0;
  if (xdp.dataEnd > hardStart + xdp.frameSz - TAIL_BYTES) return 0;
  const i32 = xdp.host.i32;
  const at = hardStart >> 2;
  i32[at + REF] = xdp.headRef;
  i32[at + LEN] = xdp.dataEnd - xdp.data;
  i32[at + HEADROOM] = headroom - RECORD_BYTES;
  i32[at + METASIZE] = metaBytes;
  i32[at + MEM_TYPE] = xdp.rxq.mem.type;
  i32[at + SZ] = xdp.frameSz;
  i32[at + FLAGS] = xdp.flags;
  i32[at + IFINDEX] = xdp.rxq.ifindex;
  i32[at + QUEUE] = xdp.rxq.queueIdx;
  i32[at + HASH] = xdp.hash;
  return at as FrameRef;
}

/** Arena byte offset of the frame's linear part. */
export function frameData(host: Host, frame: FrameRef): number {
  return (frame << 2) + RECORD_BYTES + host.i32[frame + HEADROOM]!;
}

/** Bytes of the whole packet, fragments included. */
export function frameLen(host: Host, frame: FrameRef): number {
  const linear = host.i32[frame + LEN]!;
  return frameHasFrags(host, frame) ? linear + host.i32[frameSharedInfoAt(host, frame) + FRAGS_SIZE]! : linear;
}

export function frameHasFrags(host: Host, frame: FrameRef): boolean {
  return (host.i32[frame + FLAGS]! & HAS_FRAGS) !== 0;
}

/** Word offset of the shared info; valid for a frame with fragments. */
export function frameSharedInfoAt(host: Host, frame: FrameRef): number {
  return sharedInfoAt(frame << 2, host.i32[frame + SZ]!);
}

/**
 * Sends fragments, in order, then the head home, each to its own owner, whatever the mix. The frame is dead afterwards.
 * Kernel: `xdp_return_frame`.
 *
 * @throws a misuse error when a buffer is not live any more (a frame returned twice); buffers before it are home.
 */
export function returnFrame(host: Host, frame: FrameRef): void {
  if (frameHasFrags(host, frame)) returnFrags(host, frameSharedInfoAt(host, frame));
  returnNetmem(host, host.i32[frame + REF]! as NetmemRef);
}

/** As {@link returnFrame}, promising that the caller is the poll of the owners' NAPI (`xdp_return_frame_rx_napi`). */
export function returnFrameRxNapi(host: Host, frame: FrameRef): void {
  if (frameHasFrags(host, frame)) returnFragsRxNapi(host, frameSharedInfoAt(host, frame));
  returnNetmemRxNapi(host, host.i32[frame + REF]! as NetmemRef);
}

/**
 * Returns `frames[0..count)`. Unlike the kernel's `xdp_return_frame_bulk` nothing waits for a flush: everything is home
 * when the call ends.
 *
 * @throws a misuse error with `param` "refs[i]": frames before `i` are home, those after it are still the caller's.
 */
export function returnFrameBulk(host: Host, frames: Int32Array, count: number): void {
  let n = 0;
  try {
    for (; n < count; n++) returnFrame(host, frames[n]! as FrameRef);
  } catch (cause) {
    failBulkEntry(cause, n);
  }
}
