/* Numbers of the bpf system call, as on every processor that we support. */

export const BpfCommand = {
  MapCreate: 0,
  MapLookupElem: 1,
  MapUpdateElem: 2,
  MapDeleteElem: 3,
  ProgLoad: 5,
  ObjPin: 6,
  ObjGet: 7,
  ProgTestRun: 10,
  ProgGetFdById: 13,
  ObjGetInfoByFd: 15,
  LinkCreate: 28,
} as const;

/** Kinds of map that XDP programs of ours use. */
export const BpfMapType = {
  /** 32-bit index to a value of any size. */
  Array: 2,
  /** 32-bit index to the index of the interface that a packet is redirected to. */
  DevMap: 14,
  /** RX queue to the AF_XDP socket that its packets are redirected to. */
  XskMap: 17,
} as const;
export type BpfMapType = (typeof BpfMapType)[keyof typeof BpfMapType];

export const PROG_TYPE_XDP = 6;
export const ATTACH_XDP = 37;
export const XDP_FLAGS_SKB_MODE = 2;
export const XDP_FLAGS_DRV_MODE = 4;
/** The program takes packets of more than one buffer. */
export const PROG_XDP_HAS_FRAGS = 32;
export const TEST_XDP_LIVE_FRAMES = 2;

/** Bytes of a name, with the zero at its end. */
const NAME_BYTES = 16;

/** What the kernel takes as a name: letters, digits, `_` and `.`, at most 15. */
export function bpfName(name: string): Uint8Array {
  return new TextEncoder().encode(name.replaceAll(/[^A-Za-z0-9_.]/g, "_").slice(0, NAME_BYTES - 1));
}
