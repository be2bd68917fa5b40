/**
 * What lies under a range that {@link HugeBacking.back} was called for. `model`: the arena's own memory, only books are
 * kept. `hugetlb`: pages of the kernel's reserve. `thp`: ordinary memory that the kernel collapsed into huge pages.
 */
export type HugeBackingKind = "model" | "hugetlb" | "thp";

/**
 * Puts huge pages under parts of the arena. Injected into providers, which know the buffers; whoever implements it knows
 * the memory. A page's index stays its page number: the range is the same, only what is under it changes.
 *
 * Huge pages have places: `firstOffset + n * pageBytes` for n >= 0, as long as all of the page lies in the arena. The
 * arena need not start at a huge-aligned address, hence `firstOffset`.
 *
 * One thread, the one that made it. Control path: calls may take milliseconds.
 */
export interface HugeBacking {
  readonly kind: HugeBackingKind;
  /** Bytes of one huge page, a power of two above the host's page size: 2 MiB or 1 GiB on x86. */
  readonly pageBytes: number;
  /** Arena byte offset of the first place, 0 to pageBytes - 1; a multiple of the host's page size. */
  readonly firstOffset: number;
  /** Huge pages that could be put under the arena now. Read afresh; others may take them before the caller does. */
  available(): number;
  /**
   * Puts huge pages under `[offsetBytes, offsetBytes + bytes)`, whole places. The caller holds every page of the range
   * and none of them has users: the bytes are lost, and all zero afterwards unless `kind` is `model`. When it returns, touching the
   * range cannot fail any more. When it throws, the range is ordinary memory as before, its bytes undefined.
   *
   * @throws `ERR_NETMEM_NO_HUGE_PAGES` (ENOMEM) when there are not that many; `ERR_NETMEM_INVALID_PARAM` (EINVAL) for a
   * range that is not whole places; `ERR_NETMEM_HUGE_RANGE` (EBUSY) for one that has huge pages already.
   */
  back(offsetBytes: number, bytes: number): void;
  /**
   * Puts ordinary memory back under a range, or a part, that {@link back} was called for; its bytes are undefined. Again,
   * nobody uses it.
   *
   * @throws `ERR_NETMEM_HUGE_RANGE` (EINVAL) for a range without huge pages, `ERR_NETMEM_INVALID_PARAM` (EINVAL).
   */
  release(offsetBytes: number, bytes: number): void;
}
