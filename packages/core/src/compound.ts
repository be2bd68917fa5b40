/*
 * data path
 *
 * A block of 2^order pages has one descriptor that counts, its head's. Its tails are marked nowhere, so that handing out
 * a block costs the same whatever its order: blocks are aligned to their size, so a tail's head is one of ten candidates.
 */
import type { Host } from "./host.ts";
import { INFO_ORDER_MASK as INFO_ORDER_MASK_ } from "./layout.ts";
import { META_FREE, META_STATE_MASK as META_STATE_MASK_ } from "./meta.ts";
import { IDX_MASK as IDX_MASK_, IDX_SHIFT as IDX_SHIFT_, type NetmemRef } from "./netmem-ref.ts";
import { MAX_ORDER as MAX_ORDER_ } from "./page-allocator.ts";

const IDX_MASK = IDX_MASK_;
const IDX_SHIFT = IDX_SHIFT_;
const MAX_ORDER = MAX_ORDER_;
const ORDER_MASK = INFO_ORDER_MASK_;
const STATE_MASK = META_STATE_MASK_;
const FREE = META_FREE;

/**
 * The block that the page of `ref` lies in (kernel: `compound_head`): `ref` itself when it is a head, a single page or a
 * net_iov; 0 when the page is free. A tail is written as head + 2n, so it carries its head's generation, and the result
 * carries it on: a tail of a block that went home gives a stale head, which every return refuses.
 */
export function compoundHead(host: Host, ref: NetmemRef): NetmemRef | 0 {
  const idx = (ref >>> IDX_SHIFT) & IDX_MASK;
  if ((ref & 1) !== 0 || (host.i32[idx]! & STATE_MASK) !== FREE) return ref;
  for (let order = 1; order <= MAX_ORDER; order++) {
    const head = idx & -(1 << order);
    if (isHeadOf(host, head, order)) return (ref - ((idx - head) << IDX_SHIFT)) as NetmemRef;
  }
  return 0;
}

/** Whether a block of at least 2^order pages that is not free starts at `idx`. The order word of a free page is stale. */
function isHeadOf(host: Host, idx: number, order: number): boolean {
  return (host.i32[idx]! & STATE_MASK) !== FREE && (host.i32[host.infoAt + idx]! & ORDER_MASK) >= order;
}
