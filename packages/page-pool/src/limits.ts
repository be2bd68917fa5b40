/** The kernel's constants of page_pool (Linux 7.2). */

/** Entries of the return ring when `poolSize` is not given. */
export const DEFAULT_RING_SIZE = 1024;
/** Larger pool sizes are clamped silently. */
export const MAX_RING_SIZE = 16384;
/** Highest order of a pool on the page allocator. */
export const MAX_PAGE_ORDER = 10;
/** log2 of the largest buffer in bytes: offsets inside stay positive 32-bit integers. */
export const MAX_BUFFER_SHIFT = 30;
/** Pool-level count of the current fragment page; users are subtracted when the pool moves on. */
export const BIAS_MAX = 0x3fffffff;
/** Fragments start at multiples of this many bytes: the alignment of skb_shared_info. */
export const FRAG_ALIGN_BYTES = 8;
/** Entries per round of a bulk put. */
export const BULK_QUEUE_SIZE = 16;
/** Delay between attempts to free a destroyed pool that still has buffers outside. */
export const DEFER_TIME_MS = 1000;
/** Interval between warnings about such a pool. */
export const DEFER_WARN_INTERVAL_MS = 60_000;
/** How long `Symbol.asyncDispose` waits for buffers outside. */
export const ASYNC_DISPOSE_TIMEOUT_MS = 5000;

const SMALL_PAGE_BYTES = 16 * 1024;
const BIG_PAGE_BYTES = 64 * 1024;

/** Buffers per refill of the alloc cache: fewer when pages are large. */
export function refillCountFor(pageSizeBytes: number): number {
  if (pageSizeBytes >= BIG_PAGE_BYTES) return 4;
  return pageSizeBytes >= SMALL_PAGE_BYTES ? 16 : 64;
}

/** How often a pool with waiters asks its provider or the page allocator again. */
export const ALLOC_RETRY_MS = 10;
