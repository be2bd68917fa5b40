export { addSkbFrag, appendFragList, buildSkbFromFrame, buildSkbFromXdp, markForRecycle } from "./build-skb.ts";
export { memTypeOf } from "./buffer-type.ts";
export { copyBits, copyBitsWithin, storeBits } from "./copy-bits.ts";
export { DROP_REASON_COUNT, DropReason, dropReasonName } from "./drop-reason.ts";
export { FRAME_BULK_SIZE, FrameBulk } from "./frame-bulk.ts";
export { cloneFrame } from "./frame-clone.ts";
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
export { GRO_MAX_BYTES, groReceive, groReceiveList } from "./gro-merge.ts";
export { GroTable } from "./gro-table.ts";
export type { GroDeliver, GroMode, GroParams } from "./gro-table.ts";
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
  SHINFO_GSO,
  SHINFO_HARD_START,
  SHINFO_HASH,
  SHINFO_HEAD,
  SHINFO_IFINDEX,
  SHINFO_NR_FRAGS,
  SHINFO_QUEUE,
  SHINFO_XDP_FRAGS_SIZE,
  SHINFO_XDP_FRAGS_TRUESIZE,
  sharedInfoAt,
} from "./shared-info.ts";
export { checksumSkb } from "./skb-checksum.ts";
export { cloneSkb } from "./skb-clone.ts";
export { tryCoalesce } from "./skb-coalesce.ts";
export { copySkb, copySkbHead } from "./skb-copy.ts";
export { cowSkb } from "./skb-cow.ts";
export { cowHead, expandHead } from "./skb-expand.ts";
export { consumeSkb, consumeSkbBulk, dropSkb } from "./skb-free.ts";
export { allocSkb, buildSkb, headroomOf, isSkbCloned, pullSkb, pushSkb, putSkb, tailroomOf } from "./skb-head.ts";
export { linearizeSkb, mayPull, pullTail } from "./skb-pull.ts";
export {
  asSkbRef,
  SKB_DATA,
  SKB_DATA_LEN,
  SKB_FLAGS,
  SKB_LEN,
  SKB_NEXT,
  SKB_REF,
  SKB_SHINFO,
  SKB_TRUESIZE,
  SKB_WORDS,
  SkbFlag,
} from "./skb-record.ts";
export type { SkbRef } from "./skb-record.ts";
export { SkbSeq } from "./skb-seq.ts";
export { freeSkbSlab, SkbSlab } from "./skb-slab.ts";
export type { SharedSkbSlab, SkbSlabParams } from "./skb-slab.ts";
export { splitSkb } from "./skb-split.ts";
export { trimSkb } from "./skb-trim.ts";
export { SkbView } from "./skb-view.ts";
export { isMetadataLength, MAX_METADATA_BYTES, XdpBuff } from "./xdp-buff.ts";
export type { XdpBuffOptions } from "./xdp-buff.ts";
export { XdpFlag } from "./xdp-flags.ts";
export {
  convertBuffToFrame,
  convertFrameToBuff,
  frameData,
  frameHasFrags,
  frameLen,
  frameSharedInfoAt,
  returnFrame,
  returnFrameBulk,
  returnFrameRxNapi,
  updateFrameFromBuff,
} from "./xdp-frame.ts";
export { convertZcToFrame } from "./xdp-zc.ts";
