/*
 * data path
 *
 * The tail of a packet with fragments (kernel: `bpf_xdp_frags_shrink_tail`, `bpf_xdp_frags_increase_tail`).
 */
import { type Host, IDX_MASK as IDX_MASK_, type NetmemRef, returnNetmem } from "@netmem/core";
import { fragFlags } from "./buffer-type.ts";
import {
  FRAG_LEN as FRAG_LEN_,
  FRAG_OFFSET as FRAG_OFFSET_,
  FRAG_REF as FRAG_REF_,
  FRAG_TRUESIZE as FRAG_TRUESIZE_,
  fragAt,
  SHINFO_NR_FRAGS,
  SHINFO_XDP_FRAGS_SIZE,
  SHINFO_XDP_FRAGS_TRUESIZE,
} from "./shared-info.ts";
import { XdpFlag } from "./xdp-flags.ts";

const IDX_MASK = IDX_MASK_;
const FRAG_REF = FRAG_REF_;
const FRAG_OFFSET = FRAG_OFFSET_;
const FRAG_LEN = FRAG_LEN_;
const FRAG_TRUESIZE = FRAG_TRUESIZE_;
const NR_FRAGS = SHINFO_NR_FRAGS;
const FRAGS_SIZE = SHINFO_XDP_FRAGS_SIZE;
const FRAGS_TRUESIZE = SHINFO_XDP_FRAGS_TRUESIZE;
const HAS_FRAGS = XdpFlag.HasFrags;

/**
 * Takes up to `bytes` off the fragments, from the end; those that become empty go home. Returns the bytes that are left
 * to take off the linear part.
 */
export function shrinkFrags(host: Host, shinfo: number, bytes: number): number {
  const i32 = host.i32;
  let left = bytes;
  for (let n = i32[shinfo + NR_FRAGS]! - 1; n >= 0 && left > 0; n--) {
    const at = fragAt(shinfo, n);
    const len = i32[at + FRAG_LEN]!;
    if (left < len) {
      i32[at + FRAG_LEN] = len - left;
      i32[shinfo + FRAGS_SIZE] = i32[shinfo + FRAGS_SIZE]! - left;
      return 0;
    }
    left -= len;
    i32[shinfo + NR_FRAGS] = n;
    i32[shinfo + FRAGS_SIZE] = i32[shinfo + FRAGS_SIZE]! - len;
    i32[shinfo + FRAGS_TRUESIZE] = i32[shinfo + FRAGS_TRUESIZE]! - i32[at + FRAG_TRUESIZE]!;
    returnNetmem(host, i32[at + FRAG_REF]! as NetmemRef);
  }
  return left;
}

/** Flags of a packet by the fragments that it has now; 0 when it has none. */
export function flagsOfFrags(host: Host, shinfo: number): number {
  const i32 = host.i32;
  const count = i32[shinfo + NR_FRAGS]!;
  let flags = count === 0 ? 0 : HAS_FRAGS;
  for (let n = 0; n < count; n++) {
    const ref = i32[fragAt(shinfo, n) + FRAG_REF]! as NetmemRef;
    flags |= fragFlags(host, ref, i32[(ref >>> 1) & IDX_MASK]!);
  }
  return flags;
}

/**
 * Lengthens the last fragment by `bytes` zeros, inside the stride of `fragSize` bytes that the queue's driver cuts its
 * buffers into. False, and nothing changed, when there is no room, or no byte to be written.
 */
export function growLastFrag(host: Host, shinfo: number, fragSize: number, bytes: number): boolean {
  const i32 = host.i32;
  const at = fragAt(shinfo, i32[shinfo + NR_FRAGS]! - 1);
  const ref = i32[at + FRAG_REF]! as NetmemRef;
  const offset = i32[at + FRAG_OFFSET]!;
  const end = offset + i32[at + FRAG_LEN]!;
  const strideEnd = offset - (offset % fragSize) + fragSize;
  if (end + bytes > strideEnd || end + bytes > host.bufferBytes(ref) || !host.isReadable(ref)) return false;
  const data = host.offsetOf(ref) + end;
  host.u8.fill(0, data, data + bytes);
  i32[at + FRAG_LEN] = i32[at + FRAG_LEN]! + bytes;
  i32[shinfo + FRAGS_SIZE] = i32[shinfo + FRAGS_SIZE]! + bytes;
  return true;
}
