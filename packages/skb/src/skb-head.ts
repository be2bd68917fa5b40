/*
 * data path
 *
 *  hardStart     data               data + headLen        shinfo * 4
 *  |             |                  |                     |
 *  +-------------+------------------+---------------------+--------------+
 *  | headroom    | linear part      | tailroom            | shared info  |
 *  +-------------+------------------+---------------------+--------------+
 */
import {
  type Host,
  IDX_MASK as IDX_MASK_,
  isPfmemalloc as isPfmemalloc_,
  MAX_ORDER as MAX_ORDER_,
  META_OWNER_SHIFT,
  NetmemError,
  OWNER_SHARED,
  type PageRef,
  type ReadableRef,
} from "@netmem/core";
import {
  SHARED_INFO_BYTES,
  SHINFO_DATAREF as SHINFO_DATAREF_,
  SHINFO_FRAG_LIST as SHINFO_FRAG_LIST_,
  SHINFO_GSO,
  SHINFO_HARD_START,
  SHINFO_HASH,
  SHINFO_HEAD,
  SHINFO_IFINDEX,
  SHINFO_NR_FRAGS as SHINFO_NR_FRAGS_,
  SHINFO_QUEUE,
  sharedInfoAt as sharedInfoAt_,
} from "./shared-info.ts";
import {
  SKB_DATA,
  SKB_DATA_LEN,
  SKB_FLAGS,
  SKB_LEN,
  SKB_SHINFO,
  SKB_TRUESIZE,
  SkbFlag,
  type SkbRef,
} from "./skb-record.ts";
import type { SkbSlab } from "./skb-slab.ts";

const IDX_MASK = IDX_MASK_;
const MAX_ORDER = MAX_ORDER_;
const OWNER_SHIFT = META_OWNER_SHIFT;
const LAST_PLAIN_OWNER = OWNER_SHARED;
const isPfmemalloc = isPfmemalloc_;
const sharedInfoAt = sharedInfoAt_;
const INFO_BYTES = SHARED_INFO_BYTES;
const NR_FRAGS = SHINFO_NR_FRAGS_;
const DATAREF = SHINFO_DATAREF_;
const FRAG_LIST = SHINFO_FRAG_LIST_;
const HEAD = SHINFO_HEAD;
const DATA = SKB_DATA;
const LEN = SKB_LEN;
const DATA_LEN = SKB_DATA_LEN;
const SHINFO = SKB_SHINFO;
const TRUESIZE = SKB_TRUESIZE;
const FLAGS = SKB_FLAGS;
const HASH = SHINFO_HASH;
const QUEUE = SHINFO_QUEUE;
const IFINDEX = SHINFO_IFINDEX;
const GSO = SHINFO_GSO;
const HARD_START = SHINFO_HARD_START;
const PP_RECYCLE = SkbFlag.PpRecycle;
const HEAD_FRAG = SkbFlag.HeadFrag;
const PFMEMALLOC = SkbFlag.PfMemalloc;
const CLONED = SkbFlag.Cloned;
const HEAD_STOLEN = SkbFlag.HeadStolen;
const UNUSUAL = CLONED | HEAD_STOLEN;

/**
 * An empty skb with a head of its own from the page allocator: room for `sizeBytes` of packet behind `headroomBytes`
 * (kernel: `alloc_skb`, `skb_reserve`). 0 when the slab or memory is exhausted.
 *
 * @throws `ERR_NETMEM_SKB_NO_ROOM` (EINVAL) for sizes below zero; `ERR_NETMEM_WRONG_THREAD` on a thread that the slab was
 * shared with.
 */
export function allocSkb(slab: SkbSlab, sizeBytes: number, headroomBytes: number): SkbRef | 0 {
  const { host } = slab;
  checkSizes(headroomBytes, sizeBytes);
  // The record first: on another thread this throws, and must not have taken anything.
  const at = slab.allocAt();
  if (at === 0) return 0;
  const skb = slab.i32[at]! as SkbRef;
  const head = allocHead(host, headroomBytes + sizeBytes + INFO_BYTES);
  if (head === 0) {
    slab.free(skb, at);
    return 0;
  }
  writeEmpty(slab, at, head, host.offsetOf(head), host.bufferBytes(head), headroomBytes, 0);
  return skb;
}

/**
 * An empty skb whose head is `fragSz` bytes at `offset` of a buffer of any kind: a pool's page, a piece of one, a piece
 * from page_frag (kernel: `napi_build_skb`, `skb_reserve`). The skb owns the reference then, and has the `ppRecycle` bit
 * when it is a pool's. 0, and the reference stays with the caller, when the slab is full. `offset` and `fragSz` are
 * multiples of 4; headroom and packet need `fragSz` less 320 bytes.
 */
export function buildSkb(
  slab: SkbSlab,
  ref: ReadableRef,
  offset: number,
  fragSz: number,
  headroomBytes: number,
): SkbRef | 0 {
  if (((offset | fragSz) & 3) !== 0 || headroomBytes < 0 || headroomBytes + INFO_BYTES > fragSz) {
    failRoom("fragSz", fragSz, headroomBytes + INFO_BYTES);
  }
  const at = slab.allocAt();
  if (at === 0) return 0;
  const pooled = slab.i32[(ref >>> 1) & IDX_MASK]! >>> OWNER_SHIFT > LAST_PLAIN_OWNER;
  const flags = pooled ? HEAD_FRAG | PP_RECYCLE : HEAD_FRAG;
  writeEmpty(slab, at, ref, slab.host.offsetOf(ref) + offset, fragSz, headroomBytes, flags);
  return slab.i32[at]! as SkbRef;
}

/** Appends `lenBytes` to the linear part and returns the arena byte offset of the first (kernel: `skb_put`). */
export function putSkb(slab: SkbSlab, skb: SkbRef, lenBytes: number): number {
  const at = checkData(slab, skb);
  const room = tailroomAt(slab, at);
  if (lenBytes < 0 || lenBytes > room) failRoom("lenBytes", lenBytes, room);
  return growTail(slab, at, lenBytes);
}

/** Puts `lenBytes` in front of the packet and returns its new first byte's arena offset (kernel: `skb_push`). */
export function pushSkb(slab: SkbSlab, skb: SkbRef, lenBytes: number): number {
  const at = checkData(slab, skb);
  const i32 = slab.i32;
  const room = i32[at + DATA]! - i32[i32[at + SHINFO]! + HARD_START]!;
  if (lenBytes < 0 || lenBytes > room) failRoom("lenBytes", lenBytes, room);
  i32[at + DATA] = i32[at + DATA]! - lenBytes;
  i32[at + LEN] = i32[at + LEN]! + lenBytes;
  return i32[at + DATA]!;
}

/**
 * Takes `lenBytes` off the front of the linear part (kernel: `skb_pull`). False, and nothing changed, when it has less:
 * `mayPull` moves bytes there.
 */
export function pullSkb(slab: SkbSlab, skb: SkbRef, lenBytes: number): boolean {
  const at = checkData(slab, skb);
  const i32 = slab.i32;
  if (lenBytes < 0 || lenBytes > i32[at + LEN]! - i32[at + DATA_LEN]!) return false;
  i32[at + DATA] = i32[at + DATA]! + lenBytes;
  i32[at + LEN] = i32[at + LEN]! - lenBytes;
  return true;
}

/** Bytes in front of the packet (kernel: `skb_headroom`). */
export function headroomOf(slab: SkbSlab, skb: SkbRef): number {
  const at = slab.check(skb);
  return slab.i32[at + DATA]! - hardStartAt(slab, at);
}

/** Bytes that {@link putSkb} can append: none to a packet with fragments (kernel: `skb_tailroom`). */
export function tailroomOf(slab: SkbSlab, skb: SkbRef): number {
  return tailroomAt(slab, slab.check(skb));
}

/** Word offset of the record of an skb that has data. @throws `ERR_NETMEM_STALE_SKB`, `ERR_NETMEM_SKB_EMPTIED` */
export function checkData(slab: SkbSlab, skb: SkbRef): number {
  const at = slab.check(skb);
  if ((slab.i32[at + FLAGS]! & HEAD_STOLEN) !== 0) failEmptied(skb);
  return at;
}

/**
 * Word offset of the record of an skb whose fragments may be changed.
 * @throws `ERR_NETMEM_STALE_SKB`, `ERR_NETMEM_SKB_EMPTIED`, `ERR_NETMEM_SKB_SHARED` while clones share them.
 */
export function checkOwned(slab: SkbSlab, skb: SkbRef): number {
  const at = slab.check(skb);
  if ((slab.i32[at + FLAGS]! & UNUSUAL) === 0) return at;
  if (isClonedAt(slab, checkData(slab, skb))) failShared(skb);
  return at;
}

/** Whether clones share the data of the record at `at` (kernel: `skb_cloned`). */
export function isClonedAt(slab: SkbSlab, at: number): boolean {
  const i32 = slab.i32;
  if ((i32[at + FLAGS]! & CLONED) === 0) return false;
  const datarefAt = i32[at + SHINFO]! + DATAREF;
  // Pairs with the Atomics.add of the clone that lets go: what it read must have been read before we write.
  return (slab.host.threaded === 0 ? i32[datarefAt]! : Atomics.load(i32, datarefAt)) !== 1;
}

/** Whether others share the packet's data, so that it must not be written (kernel: `skb_cloned`). */
export function isSkbCloned(slab: SkbSlab, skb: SkbRef): boolean {
  return isClonedAt(slab, slab.check(skb));
}

/** Bytes of the head buffer. */
export function headBytesAt(slab: SkbSlab, at: number): number {
  return (slab.i32[at + SHINFO]! << 2) + INFO_BYTES - hardStartAt(slab, at);
}

/** Arena byte offset of the head buffer's first byte (kernel: `skb->head`). */
export function hardStartAt(slab: SkbSlab, at: number): number {
  return slab.i32[slab.i32[at + SHINFO]! + HARD_START]!;
}

export function tailroomAt(slab: SkbSlab, at: number): number {
  const i32 = slab.i32;
  return i32[at + DATA_LEN] !== 0 ? 0 : rawTailroomAt(slab, at);
}

/** Bytes between the linear part and the shared info, whether or not fragments follow. */
export function rawTailroomAt(slab: SkbSlab, at: number): number {
  const i32 = slab.i32;
  return (i32[at + SHINFO]! << 2) - i32[at + DATA]! - (i32[at + LEN]! - i32[at + DATA_LEN]!);
}

/** Makes the linear part `lenBytes` longer and returns where the new bytes are. The room was checked. */
export function growTail(slab: SkbSlab, at: number, lenBytes: number): number {
  const i32 = slab.i32;
  const tail = i32[at + DATA]! + i32[at + LEN]! - i32[at + DATA_LEN]!;
  i32[at + LEN] = i32[at + LEN]! + lenBytes;
  return tail;
}

/** Pages for a head buffer of at least `bytes`, shared info included; 0 when there are none. */
export function allocHead(host: Host, bytes: number): PageRef | 0 {
  // First: the shift below takes what is left of `bytes` modulo 2^32.
  if (!(bytes <= host.pageSizeBytes << MAX_ORDER)) return 0;
  return host.pages.allocPages(bytes <= host.pageSizeBytes ? 0 : 32 - Math.clz32((bytes - 1) >>> host.pageShift));
}

/** Throws `ERR_NETMEM_SKB_NO_ROOM` unless both are 0 or more: data in front of its buffer would be somebody else's. */
export function checkSizes(headroomBytes: number, sizeBytes: number): void {
  if (!(headroomBytes >= 0)) failRoom("headroomBytes", headroomBytes, 0);
  if (!(sizeBytes >= 0)) failRoom("sizeBytes", sizeBytes, 0);
}

/** Points the record at a head buffer with no fragments, one holder and no bytes. */
function writeEmpty(
  slab: SkbSlab,
  at: number,
  head: ReadableRef,
  hardStart: number,
  headBytes: number,
  headroom: number,
  flags: number,
): void {
  const i32 = slab.i32;
  const shinfo = sharedInfoAt(hardStart, headBytes);
  i32[at + DATA] = hardStart + headroom;
  i32[at + LEN] = 0;
  i32[at + DATA_LEN] = 0;
  i32[at + SHINFO] = shinfo;
  i32[at + TRUESIZE] = headBytes;
  i32[at + FLAGS] = isPfmemalloc(slab.host, head) ? flags | PFMEMALLOC : flags;
  writeSharedInfo(i32, shinfo, head, hardStart);
}

/** One holder, no fragments, nothing known of the packet. */
export function writeSharedInfo(i32: Int32Array, shinfo: number, head: ReadableRef, hardStart: number): void {
  i32[shinfo + NR_FRAGS] = 0;
  i32[shinfo + DATAREF] = 1;
  i32[shinfo + FRAG_LIST] = 0;
  i32[shinfo + HEAD] = head;
  i32[shinfo + HARD_START] = hardStart;
  i32[shinfo + HASH] = 0;
  i32[shinfo + QUEUE] = 0;
  i32[shinfo + IFINDEX] = 0;
  i32[shinfo + GSO] = 0;
}

/** What is known of the packet, for a copy of it. */
export function copyPacketInfo(i32: Int32Array, from: number, to: number): void {
  i32[to + HASH] = i32[from + HASH]!;
  i32[to + QUEUE] = i32[from + QUEUE]!;
  i32[to + IFINDEX] = i32[from + IFINDEX]!;
  i32[to + GSO] = i32[from + GSO]!;
}

/** Throws `ERR_NETMEM_SKB_EMPTIED`. */
export function failEmptied(skb: SkbRef): never {
  throw new NetmemError({
    code: "ERR_NETMEM_SKB_EMPTIED",
    reason: `head and fragments of skb 0x${skb.toString(16)} were merged into another skb`,
    remedy: "Consume it; nothing else can be done with it.",
    param: "skb",
    value: skb,
  });
}

function failShared(skb: SkbRef): never {
  throw new NetmemError({
    code: "ERR_NETMEM_SKB_SHARED",
    errno: "EBUSY",
    reason: `clones share the fragments of skb 0x${skb.toString(16)}`,
    remedy: "Call expandHead first, which makes them its own.",
    param: "skb",
    value: skb,
  });
}

function failRoom(param: string, value: number, room: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_SKB_NO_ROOM",
    errno: "EINVAL",
    reason: `${param} is ${value}, and ${room} bytes are what there is or must be`,
    remedy: "Ask headroomOf or tailroomOf first, and make room with expandHead.",
    param,
    value,
  });
}
