/*
 * pcapng, all words in the byte order of the section:
 *
 *   any block      0 type  4 length  8 body ...  length-4: length again      length counts all of it, a multiple of 4
 *   section        8 byte order magic  12 major(16) 14 minor(16)  16 section length(64)  24 options
 *   interface      8 link type(16) 10 reserved(16)  12 snap length  16 options
 *   enhanced       8 interface  12 ticks high  16 ticks low  20 captured  24 original  28 data, padded, then options
 *   packet (old)   8 interface(16) 10 drops(16)  12 ... as enhanced
 *   simple         8 original  12 data, padded
 *   option         0 code(16)  2 length(16)  4 value, padded to a multiple of 4
 */

export const BlockType = {
  section: 0x0a0d0d0a,
  interface: 1,
  packet: 2,
  simple: 3,
  enhanced: 6,
} as const;

export const OptionCode = { end: 0, ifName: 2, ifTsResol: 9, ifTsOffset: 14 } as const;

export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
export const PCAPNG_MAJOR = 1;
export const MIN_BLOCK_BYTES = 12;
export const MIN_SECTION_BYTES = 28;
export const MIN_INTERFACE_BYTES = 20;
export const MIN_SIMPLE_BYTES = 16;
export const MIN_ENHANCED_BYTES = 32;
/** Offsets of the packet data in their blocks. */
export const SIMPLE_DATA_OFF = 12;
export const ENHANCED_DATA_OFF = 28;
/** 10^-6 s: what a tick is unless the interface says otherwise. */
export const DEFAULT_TS_RESOLUTION = 6;

/** Rounds up to a multiple of 4. Exact for all 32-bit lengths. */
export function padTo4(lenBytes: number): number {
  return Math.ceil(lenBytes / 4) * 4;
}
