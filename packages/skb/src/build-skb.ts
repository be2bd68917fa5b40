/* data path */
import {
  IDX_MASK as IDX_MASK_,
  META_OWNER_SHIFT as META_OWNER_SHIFT_,
  type NetmemRef,
  OWNER_SHARED,
} from "@netmem/core";
import {
  FRAME_FLAGS,
  FRAME_HASH,
  FRAME_IFINDEX,
  FRAME_LEN,
  FRAME_QUEUE,
  FRAME_REF,
  FRAME_SZ,
  type FrameRef,
} from "./frame-record.ts";
import {
  MAX_SKB_FRAGS,
  SHARED_INFO_BYTES,
  SHINFO_DATAREF,
  SHINFO_FRAG_LIST,
  SHINFO_GSO,
  SHINFO_HARD_START,
  SHINFO_HASH,
  SHINFO_HEAD,
  SHINFO_IFINDEX,
  SHINFO_NR_FRAGS,
  SHINFO_QUEUE,
  SHINFO_XDP_FRAGS_SIZE,
  SHINFO_XDP_FRAGS_TRUESIZE,
  sharedInfoAt as sharedInfoAt_,
  writeFrag as writeFrag_,
} from "./shared-info.ts";
import { checkData as checkData_, checkOwned as checkOwned_ } from "./skb-head.ts";
import {
  SKB_DATA,
  SKB_DATA_LEN as SKB_DATA_LEN_,
  SKB_FLAGS as SKB_FLAGS_,
  SKB_LEN as SKB_LEN_,
  SKB_NEXT as SKB_NEXT_,
  SKB_SHINFO as SKB_SHINFO_,
  SKB_TRUESIZE as SKB_TRUESIZE_,
  SkbFlag,
  type SkbRef,
} from "./skb-record.ts";
import type { SkbSlab } from "./skb-slab.ts";
import type { XdpBuff } from "./xdp-buff.ts";
import { XdpFlag } from "./xdp-flags.ts";
import { frameData as frameData_ } from "./xdp-frame.ts";

const IDX_MASK = IDX_MASK_;
const OWNER_SHIFT = META_OWNER_SHIFT_;
const LAST_PLAIN_OWNER = OWNER_SHARED;
const INFO_BYTES = SHARED_INFO_BYTES;
const NR_FRAGS = SHINFO_NR_FRAGS;
const DATAREF = SHINFO_DATAREF;
const FRAG_LIST = SHINFO_FRAG_LIST;
const FRAGS_SIZE = SHINFO_XDP_FRAGS_SIZE;
const FRAGS_TRUESIZE = SHINFO_XDP_FRAGS_TRUESIZE;
const MAX_FRAGS = MAX_SKB_FRAGS;
const HEAD = SHINFO_HEAD;
const DATA = SKB_DATA;
const LEN = SKB_LEN_;
const DATA_LEN = SKB_DATA_LEN_;
const SHINFO = SKB_SHINFO_;
const TRUESIZE = SKB_TRUESIZE_;
const FLAGS = SKB_FLAGS_;
const NEXT = SKB_NEXT_;
const HASH = SHINFO_HASH;
const QUEUE = SHINFO_QUEUE;
const IFINDEX = SHINFO_IFINDEX;
const GSO = SHINFO_GSO;
const HARD_START = SHINFO_HARD_START;
const F_REF = FRAME_REF;
const F_LEN = FRAME_LEN;
const F_SZ = FRAME_SZ;
const F_FLAGS = FRAME_FLAGS;
const F_HASH = FRAME_HASH;
const F_QUEUE = FRAME_QUEUE;
const F_IFINDEX = FRAME_IFINDEX;
const X_POOLED = XdpFlag.Pooled;
const X_UNREADABLE = XdpFlag.Unreadable;
const X_PFMEMALLOC = XdpFlag.PfMemalloc;
const PP_RECYCLE = SkbFlag.PpRecycle;
const HEAD_FRAG = SkbFlag.HeadFrag;
const UNREADABLE = SkbFlag.Unreadable;
const PFMEMALLOC = SkbFlag.PfMemalloc;
const sharedInfoAt = sharedInfoAt_;
const writeFrag = writeFrag_;
const frameData = frameData_;
const checkData = checkData_;
const checkOwned = checkOwned_;

/**
 * An skb around the packet, without a copy; it owns head and fragments then. 0, and the buffers stay with the xdp_buff,
 * when the slab is full. Metadata is left in the headroom. Kernel: `xdp_build_skb_from_buff`. About 6 ns.
 */
export function buildSkbFromXdp(slab: SkbSlab, xdp: XdpBuff): SkbRef | 0 {
  const at = slab.allocAt();
  if (at === 0) return 0;
  const i32 = slab.i32;
  const shinfo = sharedInfoAt(xdp.dataHardStart, xdp.frameSz);
  writeHead(i32, at, xdp.headRef, xdp.data, xdp.dataEnd - xdp.data, xdp.frameSz, shinfo, xdp.flags);
  i32[shinfo + HASH] = xdp.hash;
  i32[shinfo + QUEUE] = xdp.rxq.queueIdx;
  i32[shinfo + IFINDEX] = xdp.rxq.ifindex;
  return i32[at]! as SkbRef;
}

/**
 * An skb around a frame, without a copy; the frame is dead afterwards. 0, and the frame lives on, when the slab is full.
 * Kernel: `xdp_build_skb_from_frame`.
 */
export function buildSkbFromFrame(slab: SkbSlab, frame: FrameRef): SkbRef | 0 {
  const at = slab.allocAt();
  if (at === 0) return 0;
  const i32 = slab.i32;
  const frameSz = i32[frame + F_SZ]!;
  const shinfo = sharedInfoAt(frame << 2, frameSz);
  const head = i32[frame + F_REF]! as NetmemRef;
  writeHead(i32, at, head, frameData(slab.host, frame), i32[frame + F_LEN]!, frameSz, shinfo, i32[frame + F_FLAGS]!);
  i32[shinfo + HASH] = i32[frame + F_HASH]!;
  i32[shinfo + QUEUE] = i32[frame + F_QUEUE]!;
  i32[shinfo + IFINDEX] = i32[frame + F_IFINDEX]!;
  return i32[at]! as SkbRef;
}

/**
 * Appends `len` bytes at `offset` of netmem `ref`; the skb owns the reference then. False, and the reference stays with
 * the caller, when 17 fragments are there. A pool's buffer needs {@link markForRecycle} too. Kernel: `skb_add_rx_frag_netmem`.
 *
 * @throws `ERR_NETMEM_STALE_SKB`, `ERR_NETMEM_SKB_EMPTIED`, `ERR_NETMEM_SKB_SHARED` (EBUSY) while clones share the
 * fragments.
 */
export function addSkbFrag(
  slab: SkbSlab,
  skb: SkbRef,
  ref: NetmemRef,
  offset: number,
  len: number,
  truesize: number,
): boolean {
  const at = checkOwned(slab, skb);
  const i32 = slab.i32;
  const shinfo = i32[at + SHINFO]!;
  const count = i32[shinfo + NR_FRAGS]!;
  if (count === MAX_FRAGS) return false;
  writeFrag(i32, shinfo, count, ref, offset, len, truesize);
  i32[shinfo + NR_FRAGS] = count + 1;
  addLengths(i32, at, len, truesize);
  if ((ref & 1) !== 0 && !slab.host.isReadable(ref)) i32[at + FLAGS] = i32[at + FLAGS]! | UNREADABLE;
  return true;
}

/**
 * Hangs `child` behind the last skb of the fragment list; `skb` owns it then. The child's flags that concern reading
 * apply to the whole. Kernel: `skb_shinfo(skb)->frag_list`.
 */
export function appendFragList(slab: SkbSlab, skb: SkbRef, child: SkbRef): void {
  const at = checkOwned(slab, skb);
  const childAt = checkData(slab, child);
  const i32 = slab.i32;
  let linkAt = i32[at + SHINFO]! + FRAG_LIST;
  while (i32[linkAt] !== 0) linkAt = slab.recordAt(i32[linkAt]! as SkbRef) + NEXT;
  i32[linkAt] = child;
  addLengths(i32, at, i32[childAt + LEN]!, i32[childAt + TRUESIZE]!);
  i32[at + FLAGS] = i32[at + FLAGS]! | (i32[childAt + FLAGS]! & (UNREADABLE | PFMEMALLOC));
}

/** Says that a buffer of the skb may belong to a pool (kernel: `skb_mark_for_recycle`). The build functions do it themselves. */
export function markForRecycle(slab: SkbSlab, skb: SkbRef): void {
  const at = slab.check(skb);
  slab.i32[at + FLAGS] = slab.i32[at + FLAGS]! | PP_RECYCLE;
}

function addLengths(i32: Int32Array, at: number, len: number, truesize: number): void {
  i32[at + LEN] = i32[at + LEN]! + len;
  i32[at + DATA_LEN] = i32[at + DATA_LEN]! + len;
  i32[at + TRUESIZE] = i32[at + TRUESIZE]! + truesize;
}

function writeHead(
  i32: Int32Array,
  at: number,
  head: NetmemRef,
  data: number,
  linear: number,
  frameSz: number,
  shinfo: number,
  xdpFlags: number,
): void {
  const pooled = i32[(head >>> 1) & IDX_MASK]! >>> OWNER_SHIFT > LAST_PLAIN_OWNER;
  const flags = pooled ? HEAD_FRAG | PP_RECYCLE : HEAD_FRAG;
  i32[shinfo + HEAD] = head;
  i32[at + DATA] = data;
  i32[at + SHINFO] = shinfo;
  i32[shinfo + GSO] = 0;
  i32[shinfo + HARD_START] = (shinfo << 2) + INFO_BYTES - frameSz;
  i32[shinfo + DATAREF] = 1;
  i32[shinfo + FRAG_LIST] = 0;
  // Any flag means that the xdp side started its fragments, and wrote nrFrags and the sums.
  if (xdpFlags !== 0) {
    const dataLen = i32[shinfo + FRAGS_SIZE]!;
    i32[at + LEN] = linear + dataLen;
    i32[at + DATA_LEN] = dataLen;
    i32[at + TRUESIZE] = frameSz + i32[shinfo + FRAGS_TRUESIZE]!;
    i32[at + FLAGS] = flags | skbFlags(xdpFlags);
    return;
  }
  i32[shinfo + NR_FRAGS] = 0;
  i32[at + LEN] = linear;
  i32[at + DATA_LEN] = 0;
  i32[at + TRUESIZE] = frameSz;
  i32[at + FLAGS] = flags;
}

function skbFlags(xdpFlags: number): number {
  return (
    ((xdpFlags & X_POOLED) === 0 ? 0 : PP_RECYCLE) |
    ((xdpFlags & X_UNREADABLE) === 0 ? 0 : UNREADABLE) |
    ((xdpFlags & X_PFMEMALLOC) === 0 ? 0 : PFMEMALLOC)
  );
}
