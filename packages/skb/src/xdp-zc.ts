/*
 * data path
 *
 * XSK memory must go back to the pool's free list soon, because the pool is as large as its UMEM. So a packet that
 * leaves the poll gives its head back at once: what stays is a copy in an ordinary page.
 */
import { MemType, returnNetmemRxNapi } from "@netmem/core";
import {
  FRAME_BYTES,
  FRAME_FLAGS,
  FRAME_HASH,
  FRAME_HEADROOM,
  FRAME_IFINDEX,
  FRAME_LEN,
  FRAME_MEM_TYPE,
  FRAME_METASIZE,
  FRAME_QUEUE,
  FRAME_REF,
  FRAME_SZ,
  type FrameRef,
} from "./frame-record.ts";
import { FRAG_WORDS, SHARED_INFO_BYTES, SHINFO_FRAGS, SHINFO_NR_FRAGS, sharedInfoAt } from "./shared-info.ts";
import type { XdpBuff } from "./xdp-buff.ts";
import { XdpFlag } from "./xdp-flags.ts";

const RECORD_BYTES = FRAME_BYTES;
const ORDER0 = MemType.PageOrder0;

/**
 * A frame in a fresh page with a copy of metadata and linear part; the packet's head has gone back to its pool. Fragments
 * move over as they are, each with its own type (the kernel would forget them; a `kernelFrames` queue refuses them).
 * 0, and the buffers stay with the xdp_buff, when 40 bytes + metadata + linear part exceed a page less 320 bytes, or
 * without a page. Kernel: `xdp_convert_zc_to_xdp_frame`. About 60 ns for 1500 bytes.
 */
export function convertZcToFrame(xdp: XdpBuff): FrameRef | 0 {
  const host = xdp.host;
  const hasFrags = (xdp.flags & XdpFlag.HasFrags) !== 0;
  if (hasFrags && xdp.kernelFrames) return 0;
  const metaBytes = xdp.metaLen;
  const len = xdp.dataEnd - xdp.data;
  const pageBytes = 1 << host.pageShift;
  if (RECORD_BYTES + metaBytes + len > pageBytes - SHARED_INFO_BYTES) return 0;
  const page = host.pages.allocPages(0);
  if (page === 0) return 0;
  const hardStart = host.offsetOf(page);
  const at = hardStart >> 2;
  host.u8.copyWithin(hardStart + RECORD_BYTES, xdp.data - metaBytes, xdp.dataEnd);
  if (hasFrags) moveFrags(xdp, hardStart + pageBytes - SHARED_INFO_BYTES);
  const i32 = host.i32;
  i32[at + FRAME_REF] = page;
  i32[at + FRAME_LEN] = len;
  i32[at + FRAME_HEADROOM] = metaBytes;
  i32[at + FRAME_METASIZE] = metaBytes;
  i32[at + FRAME_MEM_TYPE] = ORDER0;
  i32[at + FRAME_SZ] = pageBytes;
  i32[at + FRAME_FLAGS] = xdp.flags;
  i32[at + FRAME_IFINDEX] = xdp.rxq.ifindex;
  i32[at + FRAME_QUEUE] = xdp.rxq.queueIdx;
  i32[at + FRAME_HASH] = xdp.hash;
  returnNetmemRxNapi(host, xdp.headRef);
  return at as FrameRef;
}

/** Copies the list of fragments; the references are the new list's. */
function moveFrags(xdp: XdpBuff, toBytes: number): void {
  const i32 = xdp.host.i32;
  const from = sharedInfoAt(xdp.dataHardStart, xdp.frameSz);
  const words = SHINFO_FRAGS + i32[from + SHINFO_NR_FRAGS]! * FRAG_WORDS;
  i32.copyWithin(toBytes >> 2, from, from + words);
}
