/*
 * The record that makes a packet outlive its poll: ten words at the very start of its own head buffer
 * (kernel: `xdp_frame`). The word offset of the record *is* the frame, so a frame crosses threads as an integer.
 */
declare const kind: unique symbol;

/** A packet on its way to a TX queue: word offset of its record. 0 is none. Returned exactly once. */
export type FrameRef = number & { readonly [kind]: "frame" };

/** Declares that `value` is a frame, e.g. after reading it from an Int32Array. Free; checks nothing. */
export function asFrameRef(value: number): FrameRef {
  return value as FrameRef;
}

/** Bytes of the record. */
export const FRAME_BYTES = 40;

/** Head buffer. */
export const FRAME_REF = 0;
/** Bytes of the linear part. */
export const FRAME_LEN = 1;
/** Bytes between the record's end and the packet, metadata included. */
export const FRAME_HEADROOM = 2;
/** Bytes of metadata in front of the packet. */
export const FRAME_METASIZE = 3;
/** Memory type of the queue that received the packet. Informative: every buffer names its owner itself. */
export const FRAME_MEM_TYPE = 4;
/** Bytes of the head buffer, shared info included. */
export const FRAME_SZ = 5;
/** `XdpFlag`. */
export const FRAME_FLAGS = 6;
/** Device and queue that received the packet. */
export const FRAME_IFINDEX = 7;
export const FRAME_QUEUE = 8;
export const FRAME_HASH = 9;
