import {
  type Host,
  IDX_MASK,
  makeRef,
  META_GEN_MASK,
  META_OUT,
  META_SHARED,
  OWNER_ORDER0,
  ownerTag,
  type PageRef,
} from "@netmem/core";

const BLOCK_OUT = ownerTag(OWNER_ORDER0, 0) | META_OUT | META_SHARED;

/**
 * Turns a block of 2^order pages that its caller holds alone into single pages (kernel: `split_page`): each of them free
 * in the sense of the meta word, with a generation of its own, and known to nobody but the caller.
 */
export function splitBlock(host: Host, block: PageRef, order: number): void {
  const { i32, infoAt } = host;
  const idx = (block >>> 1) & IDX_MASK;
  // A tail is free already; what its info word says is left from an earlier life.
  i32[idx] = i32[idx]! & META_GEN_MASK;
  i32.fill(0, infoAt + idx, infoAt + idx + 2 ** order);
}

/** Makes 2^order pages that {@link splitBlock} parted, all of them free, a block again and frees it. */
export function joinAndFree(host: Host, idx: number, order: number): void {
  const { i32, infoAt, dmaAt } = host;
  const gen = i32[idx]! & META_GEN_MASK;
  i32.fill(0, infoAt + idx, infoAt + idx + 2 ** order);
  i32.fill(0, dmaAt + idx, dmaAt + idx + 2 ** order);
  i32[infoAt + idx] = order;
  i32[idx] = BLOCK_OUT | gen;
  host.pages.freePage(makeRef(idx, gen, 0) as PageRef);
}
