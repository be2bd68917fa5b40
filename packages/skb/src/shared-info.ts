/*
 * data path
 *
 * The shared info sits in the last 320 bytes of a head buffer, for an xdp_buff, an xdp_frame and an skb alike
 * (kernel: `skb_shared_info`). Word offsets:
 *
 *  +-----+----------+---------+-----------+---------------+---------------+----------+------------------------+
 *  | 0   | 1        | 2       | 3         | 4             | 5 .. 11       | 12 .. 79                          |
 *  | nr  | dataref  | frag    | xdp frags | xdp frags     | reserved      | 17 frags of                       |
 *  |frags|          | list    | bytes     | truesize      |               | {ref, offset, len, truesize}      |
 *  +-----+----------+---------+-----------+---------------+---------------+-----------------------------------+
 *
 * A fragment's offset counts from the first byte of its netmem. Nothing in here is valid before `nrFrags` and
 * `dataref` were written: a packet without fragments that is dropped never touches these cache lines.
 */
import { type Host, type NetmemRef, returnNetmem, returnNetmemRxNapi } from "@netmem/core";

/** Bytes that every head buffer keeps free at its end. */
export const SHARED_INFO_BYTES = 320;
/** Fragments of one packet, its head not counted. */
export const MAX_SKB_FRAGS = 17;

export const SHINFO_NR_FRAGS = 0;
/** Holders of the data: this skb and its clones. Crosses threads. */
export const SHINFO_DATAREF = 1;
/** First skb of the fragment list, 0 for none. */
export const SHINFO_FRAG_LIST = 2;
export const SHINFO_XDP_FRAGS_SIZE = 3;
export const SHINFO_XDP_FRAGS_TRUESIZE = 4;
export const SHINFO_FRAGS = 12;

export const FRAG_WORDS = 4;
export const FRAG_REF = 0;
export const FRAG_OFFSET = 1;
export const FRAG_LEN = 2;
export const FRAG_TRUESIZE = 3;

/** Word offset of the shared info of a head buffer that starts at byte `hardStart` and has `frameSz` bytes. */
export function sharedInfoAt(hardStart: number, frameSz: number): number {
  return (hardStart + frameSz - SHARED_INFO_BYTES) >> 2;
}

/** Word offset of fragment `fragIdx`; does not check the index. */
export function fragAt(shinfoAt: number, fragIdx: number): number {
  return shinfoAt + SHINFO_FRAGS + fragIdx * FRAG_WORDS;
}

/** Writes fragment `fragIdx`. Bytes; the reference now belongs to the packet. */
export function writeFrag(
  i32: Int32Array,
  shinfoAt: number,
  fragIdx: number,
  ref: NetmemRef,
  offset: number,
  len: number,
  truesize: number,
): void {
  const at = fragAt(shinfoAt, fragIdx);
  i32[at + FRAG_REF] = ref;
  i32[at + FRAG_OFFSET] = offset;
  i32[at + FRAG_LEN] = len;
  i32[at + FRAG_TRUESIZE] = truesize;
}

/** Sends every fragment home, in order, each to its own owner. */
export function returnFrags(host: Host, shinfoAt: number): void {
  const i32 = host.i32;
  const count = i32[shinfoAt + SHINFO_NR_FRAGS]!;
  for (let n = 0; n < count; n++) returnNetmem(host, i32[fragAt(shinfoAt, n)]! as NetmemRef);
}

/** As {@link returnFrags}, promising that the caller is the poll of the owners' NAPI. */
export function returnFragsRxNapi(host: Host, shinfoAt: number): void {
  const i32 = host.i32;
  const count = i32[shinfoAt + SHINFO_NR_FRAGS]!;
  for (let n = 0; n < count; n++) returnNetmemRxNapi(host, i32[fragAt(shinfoAt, n)]! as NetmemRef);
}
