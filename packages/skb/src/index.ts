export { addSkbFrag, appendFragList, buildSkbFromFrame, buildSkbFromXdp, markForRecycle } from "./build-skb.ts";
export { copyBits } from "./copy-bits.ts";
export { DROP_REASON_COUNT, DropReason } from "./drop-reason.ts";
export {
  asFrameRef,
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
} from "./frame-record.ts";
export type { FrameRef } from "./frame-record.ts";
export {
  FRAG_LEN,
  FRAG_OFFSET,
  FRAG_REF,
  FRAG_TRUESIZE,
  FRAG_WORDS,
  fragAt,
  MAX_SKB_FRAGS,
  SHARED_INFO_BYTES,
  SHINFO_DATAREF,
  SHINFO_FRAG_LIST,
  SHINFO_FRAGS,
  SHINFO_NR_FRAGS,
  SHINFO_XDP_FRAGS_SIZE,
  SHINFO_XDP_FRAGS_TRUESIZE,
  sharedInfoAt,
} from "./shared-info.ts";
export { consumeSkb, consumeSkbBulk, dropSkb } from "./skb-free.ts";
export {
  asSkbRef,
  SKB_DATA,
  SKB_DATA_LEN,
  SKB_FLAGS,
  SKB_HASH,
  SKB_HEAD,
  SKB_IFINDEX,
  SKB_LEN,
  SKB_NEXT,
  SKB_QUEUE,
  SKB_REF,
  SKB_SHINFO,
  SKB_TRUESIZE,
  SKB_WORDS,
  SkbFlag,
} from "./skb-record.ts";
export type { SkbRef } from "./skb-record.ts";
export { SkbSlab } from "./skb-slab.ts";
export type { SkbSlabParams } from "./skb-slab.ts";
export { SkbView } from "./skb-view.ts";
export { isMetadataLength, MAX_METADATA_BYTES, XdpBuff } from "./xdp-buff.ts";
export { XdpFlag } from "./xdp-flags.ts";
export {
  convertBuffToFrame,
  frameData,
  frameHasFrags,
  frameLen,
  frameSharedInfoAt,
  returnFrame,
  returnFrameBulk,
  returnFrameRxNapi,
} from "./xdp-frame.ts";
