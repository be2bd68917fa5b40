/*
 * data path
 *
 * A copy of a frame that shares nothing with it, so that one packet can go to several devices.
 */
import {
  type Host,
  MAX_ORDER as MAX_ORDER_,
  MemType,
  type NetmemRef,
  type ReadableRef,
  returnNetmem,
} from "@netmem/core";
import {
  FRAME_BYTES,
  FRAME_FLAGS,
  FRAME_HEADROOM,
  FRAME_LEN,
  FRAME_MEM_TYPE,
  FRAME_REF,
  FRAME_SZ,
  type FrameRef,
} from "./frame-record.ts";
import {
  FRAG_LEN,
  FRAG_OFFSET,
  FRAG_REF,
  fragAt,
  SHARED_INFO_BYTES,
  SHINFO_NR_FRAGS,
  SHINFO_XDP_FRAGS_SIZE,
  SHINFO_XDP_FRAGS_TRUESIZE,
  sharedInfoAt,
  writeFrag,
} from "./shared-info.ts";
import { XdpFlag } from "./xdp-flags.ts";
import { frameSharedInfoAt } from "./xdp-frame.ts";

const MAX_ORDER = MAX_ORDER_;
const RECORD_BYTES = FRAME_BYTES;
const HAS_FRAGS = XdpFlag.HasFrags;
const UNREADABLE = XdpFlag.Unreadable;
const ORDER0 = MemType.PageOrder0;

/**
 * A copy of the frame in ordinary pages; the original is unchanged, and each is returned by itself. 0 when record,
 * headroom and linear part exceed a page less 320 bytes, when a fragment is unreadable, or without pages. Kernel:
 * `xdpf_clone`, which copies the linear part alone and lets both frames free the same fragments.
 */
export function cloneFrame(host: Host, frame: FrameRef): FrameRef | 0 {
  const i32 = host.i32;
  const flags = i32[frame + FRAME_FLAGS]!;
  const used = RECORD_BYTES + i32[frame + FRAME_HEADROOM]! + i32[frame + FRAME_LEN]!;
  const pageBytes = 1 << host.pageShift;
  if (used > pageBytes - SHARED_INFO_BYTES || (flags & UNREADABLE) !== 0) return 0;
  const page = host.pages.allocPages(0);
  if (page === 0) return 0;
  const start = host.offsetOf(page);
  const at = start >> 2;
  host.u8.copyWithin(start, frame << 2, (frame << 2) + used);
  i32[at + FRAME_REF] = page;
  i32[at + FRAME_SZ] = pageBytes;
  i32[at + FRAME_MEM_TYPE] = ORDER0;
  i32[at + FRAME_FLAGS] = flags & HAS_FRAGS;
  if ((flags & HAS_FRAGS) === 0 || copyFrags(host, frame, sharedInfoAt(start, pageBytes))) return at as FrameRef;
  host.pages.freePage(page);
  return 0;
}

/** False, and nothing stays allocated, without pages. */
function copyFrags(host: Host, frame: FrameRef, to: number): boolean {
  const i32 = host.i32;
  const from = frameSharedInfoAt(host, frame);
  const count = i32[from + SHINFO_NR_FRAGS]!;
  let truesize = 0;
  for (let n = 0; n < count; n++) {
    const bytes = copyFrag(host, fragAt(from, n), to, n);
    if (bytes === 0) return dropFrags(host, to, n);
    truesize += bytes;
  }
  i32[to + SHINFO_NR_FRAGS] = count;
  i32[to + SHINFO_XDP_FRAGS_SIZE] = i32[from + SHINFO_XDP_FRAGS_SIZE]!;
  i32[to + SHINFO_XDP_FRAGS_TRUESIZE] = truesize;
  return true;
}

/** Returns the bytes of the new buffer, 0 without one. */
function copyFrag(host: Host, fragWord: number, to: number, n: number): number {
  const i32 = host.i32;
  const len = i32[fragWord + FRAG_LEN]!;
  const order = orderFor(len, host.pageShift);
  const page = order > MAX_ORDER ? 0 : host.pages.allocPages(order);
  if (page === 0) return 0;
  const data = host.offsetOf(i32[fragWord + FRAG_REF]! as ReadableRef) + i32[fragWord + FRAG_OFFSET]!;
  host.u8.copyWithin(host.offsetOf(page), data, data + len);
  const truesize = 1 << (host.pageShift + order);
  writeFrag(i32, to, n, page, 0, len, truesize);
  return truesize;
}

function dropFrags(host: Host, shinfo: number, count: number): false {
  for (let n = 0; n < count; n++) returnNetmem(host, host.i32[fragAt(shinfo, n) + FRAG_REF]! as NetmemRef);
  return false;
}

function orderFor(bytes: number, pageShift: number): number {
  const pages = (bytes - 1) >> pageShift;
  return pages <= 0 ? 0 : 32 - Math.clz32(pages);
}
