/* data path */
import {
  checkLive as checkLive_,
  failBulkEntry,
  flushReturns,
  holdReturns,
  type Host,
  MemType,
  type NetmemRef,
  returnNetmem as returnNetmem_,
  returnNetmemRxNapi as returnNetmemRxNapi_,
} from "@netmem/core";
import { memTypeOf } from "./buffer-type.ts";
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
  FRAG_REF as FRAG_REF_,
  fragAt,
  returnFrags as returnFrags_,
  returnFragsRxNapi as returnFragsRxNapi_,
  SHARED_INFO_BYTES,
  SHINFO_NR_FRAGS,
  SHINFO_XDP_FRAGS_SIZE,
  sharedInfoAt as sharedInfoAt_,
} from "./shared-info.ts";
import type { XdpBuff } from "./xdp-buff.ts";
import { XdpFlag } from "./xdp-flags.ts";
import { convertZcToFrame } from "./xdp-zc.ts";

const checkLive = checkLive_;
const returnNetmem = returnNetmem_;
const returnNetmemRxNapi = returnNetmemRxNapi_;
const returnFrags = returnFrags_;
const returnFragsRxNapi = returnFragsRxNapi_;
const sharedInfoAt = sharedInfoAt_;
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
const NR_FRAGS = SHINFO_NR_FRAGS;
const FRAG_REF = FRAG_REF_;
const HAS_FRAGS = XdpFlag.HasFrags;
const XSK = MemType.XskBuffPool;

/**
 * Turns the packet into a frame by writing the record into its headroom; the frame then owns head and fragments, each of
 * which keeps its own memory type. 0, and the buffers stay with the xdp_buff, when headroom less metadata is below 40
 * bytes, when the packet reaches into the shared info (which warns: the driver is wrong), when the head buffer does not
 * start on a word, or when a queue with `kernelFrames` has a packet of several types. A queue of XSK memory gets a copy,
 * see {@link convertZcToFrame}. Kernel: `xdp_convert_buff_to_frame`. About 2 ns.
 */
export function convertBuffToFrame(xdp: XdpBuff): FrameRef | 0 {
  const rxq = xdp.rxq;
  const memType = rxq.mem.type;
  if (xdp.kernelFrames && !hasOneType(xdp, memType)) return 0;
  if (memType === XSK) return convertZcToFrame(xdp);
  const hardStart = xdp.dataHardStart;
  const data = xdp.data;
  const meta = data - xdp.dataMeta;
  const metaBytes = meta > 0 ? meta : 0;
  if (data - hardStart - metaBytes < RECORD_BYTES || (hardStart & 3) !== 0) return 0;
  if (xdp.dataEnd > hardStart + xdp.frameSz - TAIL_BYTES) return refuseTailroom(xdp);
  const i32 = xdp.host.i32;
  const at = hardStart >> 2;
  i32[at + REF] = xdp.headRef;
  i32[at + LEN] = xdp.dataEnd - data;
  i32[at + HEADROOM] = data - hardStart - RECORD_BYTES;
  i32[at + METASIZE] = metaBytes;
  i32[at + MEM_TYPE] = memType;
  i32[at + SZ] = xdp.frameSz;
  i32[at + FLAGS] = xdp.flags;
  i32[at + IFINDEX] = rxq.ifindex;
  i32[at + QUEUE] = rxq.queueIdx;
  i32[at + HASH] = xdp.hash;
  return at as FrameRef;
}

/**
 * Looks at a frame again, as its receiver's program would: fills the xdp_buff, which owns the buffers then. End that by
 * {@link updateFrameFromBuff}, or as with any packet. Queue and device of the xdp_buff stay its own, so that
 * `convertBuffToFrame` would rename the frame's; `frameSz` is the frame's from here on, so use one that no poll prepares.
 * Kernel: `xdp_convert_frame_to_buff`.
 */
export function convertFrameToBuff(frame: FrameRef, xdp: XdpBuff): void {
  const i32 = xdp.host.i32;
  const hardStart = frame << 2;
  const data = hardStart + RECORD_BYTES + i32[frame + HEADROOM]!;
  xdp.headRef = i32[frame + REF]! as typeof xdp.headRef;
  xdp.dataHardStart = hardStart;
  xdp.data = data;
  xdp.dataEnd = data + i32[frame + LEN]!;
  xdp.dataMeta = data - i32[frame + METASIZE]!;
  xdp.frameSz = i32[frame + SZ]!;
  xdp.flags = i32[frame + FLAGS]!;
  xdp.hash = i32[frame + HASH]!;
}

/**
 * Writes what a program changed back to the frame that the xdp_buff was filled from. False, and the buffers stay with the
 * xdp_buff, when the record has no room. Kernel: `xdp_update_frame_from_buff`.
 */
export function updateFrameFromBuff(xdp: XdpBuff, frame: FrameRef): boolean {
  const data = xdp.data;
  const headroom = data - xdp.dataHardStart;
  const metaBytes = xdp.metaLen;
  if (headroom - metaBytes < RECORD_BYTES) return false;
  if (xdp.dataEnd > xdp.dataHardStart + xdp.frameSz - TAIL_BYTES) return refuseTailroom(xdp) !== 0;
  const i32 = xdp.host.i32;
  i32[frame + LEN] = xdp.dataEnd - data;
  i32[frame + HEADROOM] = headroom - RECORD_BYTES;
  i32[frame + METASIZE] = metaBytes;
  i32[frame + FLAGS] = xdp.flags;
  return true;
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
 * Sends fragments, in order, then the head home, each to its own owner, whatever the mix, from any thread. The frame is
 * dead afterwards. Kernel: `xdp_return_frame`.
 *
 * @throws a misuse error when the head is not live any more (a frame returned twice), and nothing has changed then; or
 * when a fragment is not: buffers before it are home.
 */
export function returnFrame(host: Host, frame: FrameRef): void {
  if (frameHasFrags(host, frame)) returnFrags(host, liveSharedInfoAt(host, frame));
  returnNetmem(host, host.i32[frame + REF]! as NetmemRef);
}

/** As {@link returnFrame}, promising that the caller is the poll of the owners' NAPI (`xdp_return_frame_rx_napi`). */
export function returnFrameRxNapi(host: Host, frame: FrameRef): void {
  if (frameHasFrags(host, frame)) returnFragsRxNapi(host, liveSharedInfoAt(host, frame));
  returnNetmemRxNapi(host, host.i32[frame + REF]! as NetmemRef);
}

/**
 * Word offset of the shared info of a frame with fragments, whose head is live: what a dead one's says is anybody's.
 * @throws a misuse error otherwise.
 */
export function liveSharedInfoAt(host: Host, frame: FrameRef): number {
  checkLive(host, host.i32[frame + REF]! as NetmemRef);
  return frameSharedInfoAt(host, frame);
}

/**
 * Returns `frames[0..count)`. Nothing waits for a flush: everything is on its way when the call ends, and home if this is
 * the owners' thread; owners on other threads get one batch each. Where frames end one by one, `FrameBulk` collects them.
 *
 * @throws a misuse error with `param` "refs[i]": frames before `i` are home, those after it are still the caller's.
 */
export function returnFrameBulk(host: Host, frames: Int32Array, count: number): void {
  let n = 0;
  holdReturns(host);
  try {
    for (; n < count; n++) returnFrame(host, frames[n]! as FrameRef);
  } catch (cause) {
    failBulkEntry(cause, n);
  } finally {
    flushReturns(host);
  }
}

function hasOneType(xdp: XdpBuff, memType: number): boolean {
  const host = xdp.host;
  if (memTypeOf(host, xdp.headRef) !== memType) return false;
  if ((xdp.flags & HAS_FRAGS) === 0) return true;
  const shinfo = xdp.sharedInfoAt();
  const count = host.i32[shinfo + NR_FRAGS]!;
  for (let n = 0; n < count; n++) {
    if (memTypeOf(host, host.i32[fragAt(shinfo, n) + FRAG_REF]! as NetmemRef) !== memType) return false;
  }
  return true;
}

function refuseTailroom(xdp: XdpBuff): 0 {
  const { ifindex, queueIdx } = xdp.rxq;
  const where = `queue ${queueIdx} of device ${ifindex}`;
  xdp.host.warn(
    "WARN_NETMEM_TAILROOM",
    `${where}: a packet reaches into the shared info; its driver reserved no tailroom`,
  );
  return 0;
}
