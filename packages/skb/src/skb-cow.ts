/* data path */
import { NetmemError, type NetmemRef, type QueueAllocator, type ReadableRef } from "@netmem/core";
import { addSkbFrag, markForRecycle } from "./build-skb.ts";
import { copyBitsWithin } from "./copy-bits.ts";
import { SHARED_INFO_BYTES, SHINFO_FRAG_LIST as SHINFO_FRAG_LIST_ } from "./shared-info.ts";
import { failUnreadableSkb } from "./skb-checksum.ts";
import { copyMetadata } from "./skb-copy.ts";
import { isPooled } from "./skb-frags.ts";
import { consumeSkb } from "./skb-free.ts";
import { buildSkb, checkData, checkSizes, putSkb, tailroomOf } from "./skb-head.ts";
import {
  SKB_FLAGS as SKB_FLAGS_,
  SKB_LEN as SKB_LEN_,
  SKB_SHINFO as SKB_SHINFO_,
  SkbFlag,
  type SkbRef,
} from "./skb-record.ts";
import { failFragList } from "./skb-split.ts";
import type { SkbSlab } from "./skb-slab.ts";

const INFO_BYTES = SHARED_INFO_BYTES;
const FRAG_LIST = SHINFO_FRAG_LIST_;
const FLAGS = SKB_FLAGS_;
const LEN = SKB_LEN_;
const SHINFO = SKB_SHINFO_;
const UNREADABLE = SkbFlag.Unreadable;

/**
 * Replaces a packet by a private copy in buffers of `allocator`, with `headroomBytes` in front, so that a program may
 * write it (kernel: `skb_cow_data_for_xdp`, `skb_pp_cow_data`). The copy has a head and up to 17 fragments, a buffer or
 * piece each; the original is consumed. 0 when the packet does not fit, or the allocator or the slab is exhausted: what
 * was copied so far goes home and the original is untouched.
 *
 * @throws `ERR_NETMEM_UNREADABLE` (EFAULT) for a packet with unreadable fragments, or an allocator of buffers that the
 * CPU cannot write; `ERR_NETMEM_FRAG_LIST` (EOPNOTSUPP), `ERR_NETMEM_SKB_NO_ROOM` (EINVAL) for a headroom below zero,
 * `ERR_NETMEM_STALE_SKB`, `ERR_NETMEM_WRONG_THREAD`, `ERR_NETMEM_POOL_PAGE_FREED` as `consumeSkb`. Nothing has changed then.
 */
export function cowSkb(slab: SkbSlab, skb: SkbRef, allocator: QueueAllocator, headroomBytes: number): SkbRef | 0 {
  const from = checkData(slab, skb);
  const i32 = slab.i32;
  if ((i32[from + FLAGS]! & UNREADABLE) !== 0) failUnreadableSkb(skb, "copy-on-write");
  if (i32[i32[from + SHINFO]! + FRAG_LIST] !== 0) failFragList(skb, "copy-on-write");
  checkSizes(headroomBytes, 0);
  slab.checkThread();
  const copy = takeHead(slab, allocator, headroomBytes);
  if (copy === 0) return 0;
  try {
    if (copyAll(slab, skb, copy, allocator, i32[from + LEN]!)) {
      copyMetadata(i32, from, slab.recordAt(copy));
      consumeSkb(slab, skb);
      return copy;
    }
  } catch (error) {
    consumeSkb(slab, copy);
    throw error;
  }
  consumeSkb(slab, copy);
  return 0;
}

/** Fills the copy's head, then as many fragments as it takes. False when there are no more. */
function copyAll(slab: SkbSlab, skb: SkbRef, copy: SkbRef, allocator: QueueAllocator, len: number): boolean {
  const room = tailroomOf(slab, copy);
  const linear = len < room ? len : room;
  copyBitsWithin(slab, skb, 0, putSkb(slab, copy, linear), linear);
  for (let done = linear; done < len;) {
    const size = copyToFrag(slab, skb, copy, allocator, done, len - done);
    if (size === 0) return false;
    done += size;
  }
  return true;
}

function takeHead(slab: SkbSlab, allocator: QueueAllocator, headroomBytes: number): SkbRef | 0 {
  const ref = takeReadable(slab, allocator);
  if (ref === 0) return 0;
  const size = usableBytes(slab, allocator, ref) & ~3;
  const start = startOf(allocator);
  const fits = headroomBytes + INFO_BYTES <= size && (start & 3) === 0;
  const copy = fits ? buildSkb(slab, ref, start, size, headroomBytes) : 0;
  if (copy === 0) allocator.put(ref, 0, false);
  return copy;
}

/** Copies up to a buffer's worth of the bytes from `offset` on into one more fragment; returns how many, 0 for failure. */
function copyToFrag(
  slab: SkbSlab,
  skb: SkbRef,
  copy: SkbRef,
  allocator: QueueAllocator,
  offset: number,
  left: number,
): number {
  const ref = takeReadable(slab, allocator);
  if (ref === 0) return 0;
  const room = usableBytes(slab, allocator, ref);
  const size = left < room ? left : room;
  const start = startOf(allocator);
  if (!addSkbFrag(slab, copy, ref, start, size, room)) {
    allocator.put(ref, 0, false);
    return 0;
  }
  if (isPooled(slab.host, ref)) markForRecycle(slab, copy);
  copyBitsWithin(slab, skb, offset, slab.host.offsetOf(ref) + start, size);
  return size;
}

function takeReadable(slab: SkbSlab, allocator: QueueAllocator): ReadableRef | 0 {
  const ref = allocator.allocNetmem();
  if (ref === 0) return 0;
  if (slab.host.isReadable(ref)) return ref;
  allocator.put(ref, 0, false);
  return failAllocator(ref);
}

function startOf(allocator: QueueAllocator): number {
  return allocator.fragBytes === undefined ? 0 : (allocator.lastOffset ?? 0);
}

function usableBytes(slab: SkbSlab, allocator: QueueAllocator, ref: NetmemRef): number {
  return allocator.fragBytes ?? slab.host.bufferBytes(ref);
}

function failAllocator(ref: NetmemRef): never {
  throw new NetmemError({
    code: "ERR_NETMEM_UNREADABLE",
    errno: "EFAULT",
    reason: `the allocator gave ref 0x${ref.toString(16)}, memory that the CPU cannot write a copy to`,
    remedy: "Copy into a pool of pages.",
    param: "allocator",
    value: ref,
  });
}
