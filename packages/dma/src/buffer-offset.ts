import { checkInt, DmaDir, failParam, type Host, idxOf, isPage, type NetmemRef, type ReadableRef } from "@netmem/core";

const MAX_MAP_ORDER = 19;

/**
 * Arena byte offset of the 2^order pages from `ref` on, checked as a device must: what is behind it gets written without
 * another look.
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) when the range is not whole pages of the page window, or `dir` is none;
 * `ERR_NETMEM_UNREADABLE` (EFAULT) for memory outside the arena.
 */
export function bufferOffset(host: Host, ref: NetmemRef, order: number, dir: DmaDir): number {
  checkInt("order", order, 0, MAX_MAP_ORDER);
  checkInt("dir", dir, DmaDir.Bidirectional, DmaDir.FromDevice);
  const { firstPageIdx, pageCount, pageShift } = host.layout;
  const offset = host.offsetOf(ref as ReadableRef);
  const idx = isPage(ref) ? idxOf(ref) : offset >>> pageShift;
  if (idx < firstPageIdx || idx + 2 ** order > pageCount || offset !== idx << pageShift) {
    failParam(
      "ref",
      ref,
      `the first of ${2 ** order} whole pages of the arena`,
      "Map pages, or an area of page-sized buffers.",
    );
  }
  return offset;
}
