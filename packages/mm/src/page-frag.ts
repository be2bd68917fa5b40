/*
 * data path
 *
 * Pieces of a block of pages, one after the other (kernel: `page_frag_alloc`). The block starts with BIAS page
 * references; a piece that is handed out takes one of them without touching the count, which only the frees and the end
 * of the block do. So a piece costs one atomic in its life instead of two.
 *
 *  block  | piece 0 | piece 1 |...| next -> free ... | sizeBytes
 *         page refcount = BIAS - frees;  the cache's share of it = BIAS - users
 */
import {
  asPageRef,
  checkInt,
  failParam,
  fetchAdd,
  GEN_ONE as GEN_ONE_,
  GEN_SHIFT as GEN_SHIFT_,
  type Host,
  IDX_MASK as IDX_MASK_,
  INFO_FRAG_MASK as INFO_FRAG_MASK_,
  INFO_FRAG_SHIFT as INFO_FRAG_SHIFT_,
  isPfmemalloc as isPfmemalloc_,
  MAX_ORDER,
  META_SHARED,
  NET_IOV_TAG,
  NetmemError,
  type NetmemRef,
  NetmemState,
  OWNER_ORDER0,
  ownerTag,
  type PageRef,
  type QueueAllocator,
  REF_MASK,
  returnNetmem as returnNetmem_,
} from "@netmem/core";

const GEN_SHIFT = GEN_SHIFT_;
const GEN_ONE = GEN_ONE_;
const IDX_MASK = IDX_MASK_;
const PAGE_REF_MASK = REF_MASK & ~NET_IOV_TAG;
const FRAG_SHIFT = INFO_FRAG_SHIFT_;
const FRAG_MASK = INFO_FRAG_MASK_;
const SHARED_OUT = ownerTag(OWNER_ORDER0, NetmemState.Out) | META_SHARED;
const addTo = fetchAdd;
const isPfmemalloc = isPfmemalloc_;
const returnNetmem = returnNetmem_;

/** Page references of a block that is being cut: more than it has bytes. */
const FRAG_BIAS = 1 << 24;
/** log2 of the block that the kernel cuts: 32 KiB. */
const BLOCK_SHIFT = 15;

export interface PageFragParams {
  /** Block to cut: 2^order pages. Default: 32 KiB. Without such a block, single pages serve. */
  readonly order?: number;
  /** Pieces start at multiples of this, a power of two of at least 8. Default 8. */
  readonly alignBytes?: number;
  /** What {@link PageFrag.allocNetmem} and `allocBulk` hand out. Default 2048. */
  readonly fragBytes?: number;
}

export interface PageFragStats {
  /** Blocks of the wanted order taken from the page allocator. */
  readonly blocks: number;
  /** Single pages taken because there was no such block. */
  readonly fallbackPages: number;
  /** Blocks cut again in place: every piece was home by the time the block was used up. */
  readonly reused: number;
}

/** Cuts blocks into pieces. Made by {@link createPageFrag}; owner's thread only, frees excepted. */
export class PageFrag implements QueueAllocator {
  /** Where the last piece begins, in bytes from {@link Host.offsetOf} of its reference, until the next call. */
  declare lastOffset: number;
  /** Where the pieces of the last `allocBulk` begin. */
  declare readonly lastOffsets: Int32Array;
  /** Bytes of what {@link allocNetmem} hands out. */
  declare readonly fragBytes: number;
  declare private next: number;
  declare private sizeBytes: number;
  declare private readonly alignMask: number;
  declare private ref: number;
  declare private users: number;
  declare private readonly host: Host;
  declare private readonly i32: Int32Array;
  declare private readonly order: number;
  declare private destroyed: boolean;
  declare private blocks: number;
  declare private fallbackPages: number;
  declare private reused: number;

  /** @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL). */
  constructor(host: Host, params: PageFragParams = {}) {
    const { order = Math.max(BLOCK_SHIFT - host.pageShift, 0), alignBytes = 8, fragBytes = 2048 } = params;
    this.lastOffset = 0;
    this.next = 0;
    this.sizeBytes = 0;
    this.alignMask = checkInt("alignBytes", alignBytes, 8, host.pageSizeBytes) - 1;
    if ((alignBytes & this.alignMask) !== 0) {
      failParam("alignBytes", alignBytes, "a power of two", "Pass 8, 16, ... up to the page size.");
    }
    this.ref = 0;
    this.users = 0;
    this.host = host;
    this.i32 = host.i32;
    this.order = checkInt("order", order, 0, MAX_ORDER);
    this.fragBytes = checkInt("fragBytes", fragBytes, 1, host.pageSizeBytes << order);
    this.destroyed = false;
    this.blocks = 0;
    this.fallbackPages = 0;
    this.reused = 0;
    this.lastOffsets = new Int32Array(64);
  }

  /**
   * A piece of `sizeBytes` bytes: the block's reference, with the offset in {@link lastOffset}. 0 when memory is short,
   * also for more than a page while only single pages are left. Its holder calls `returnNetmem` or `putNetmem` once.
   */
  alloc(sizeBytes: number): PageRef | 0 {
    const size = (sizeBytes + this.alignMask) & ~this.alignMask;
    const offset = this.next;
    if ((size - 1) >>> 0 >= this.sizeBytes - offset) return this.allocSlow(sizeBytes);
    this.next = offset + size;
    this.users++;
    this.lastOffset = offset;
    return asPageRef(this.ref);
  }

  /** A piece of `fragBytes` bytes. */
  allocNetmem(): PageRef | 0 {
    return this.alloc(this.fragBytes);
  }

  /** Up to 64 pieces of `fragBytes` bytes at a time, no more than `out` has room for; their offsets are in {@link lastOffsets}. */
  allocBulk(out: Int32Array, max: number): number {
    const { lastOffsets } = this;
    const room = out.length < lastOffsets.length ? out.length : lastOffsets.length;
    const wanted = max < room ? max : room;
    let n = 0;
    for (; n < wanted; n++) {
      const ref = this.alloc(this.fragBytes);
      if (ref === 0) break;
      out[n] = ref;
      lastOffsets[n] = this.lastOffset;
    }
    return n;
  }

  put(ref: NetmemRef, _dmaSyncSize: number, _allowDirect: boolean): void {
    returnNetmem(this.host, ref);
  }

  /** Gives up the block that is being cut; pieces that are out keep it until they are home. The next `alloc` takes another. */
  drain(): void {
    if (this.sizeBytes === 0) return;
    if (this.retire()) this.host.pages.freePage(asPageRef(this.ref));
    this.sizeBytes = 0;
    this.next = 0;
    this.ref = 0;
  }

  /** {@link drain}, for good. */
  destroy(): void {
    this.drain();
    this.destroyed = true;
  }

  /** Control path. */
  stats(): PageFragStats {
    return { blocks: this.blocks, fallbackPages: this.fallbackPages, reused: this.reused };
  }

  private allocSlow(sizeBytes: number): PageRef | 0 {
    checkInt("sizeBytes", sizeBytes, 1, this.host.pageSizeBytes << this.order);
    if (this.destroyed) failDestroyed();
    if (this.canReuse()) this.open((this.ref + GEN_ONE) & PAGE_REF_MASK, this.order);
    else if (!this.refill(sizeBytes)) return 0;
    return this.alloc(sizeBytes);
  }

  /** Ends the current block. True when it is ours alone, of the full order and no reserve: then it is cut again. */
  private canReuse(): boolean {
    if (this.sizeBytes === 0 || !this.retire()) return false;
    const ref = asPageRef(this.ref);
    const isWhole = this.sizeBytes === this.host.pageSizeBytes << this.order;
    if (isWhole && !isPfmemalloc(this.host, ref)) {
      this.reused++;
      return true;
    }
    this.host.pages.freePage(ref);
    return false;
  }

  private refill(sizeBytes: number): boolean {
    const { host } = this;
    this.sizeBytes = 0;
    this.next = 0;
    const block = this.order === 0 ? 0 : this.takeBlock();
    if (block !== 0) {
      this.blocks++;
      this.open(block, this.order);
      return true;
    }
    if (sizeBytes > host.pageSizeBytes) return false;
    const page = host.pages.allocPages(0);
    if (page === 0) return false;
    if (this.order === 0) this.blocks++;
    else this.fallbackPages++;
    this.open(page, 0);
    return true;
  }

  /** The reserve is for single pages (kernel: `__GFP_NOMEMALLOC`). */
  private takeBlock(): PageRef | 0 {
    const { context, pages } = this.host;
    const memalloc = context.memalloc;
    context.memalloc = false;
    try {
      return pages.allocPages(this.order);
    } finally {
      context.memalloc = memalloc;
    }
  }

  /** Starts to cut a block that nobody else knows. */
  private open(ref: number, order: number): void {
    const { host, i32 } = this;
    const idx = (ref >>> 1) & IDX_MASK;
    i32[idx] = SHARED_OUT | (ref >>> GEN_SHIFT);
    i32[host.pageRefAt + idx] = FRAG_BIAS - 1;
    this.ref = ref;
    this.sizeBytes = host.pageSizeBytes << order;
    this.next = 0;
    this.users = 0;
  }

  /** Drops the references that no piece took. True when no piece is out: the block is exclusively ours then. */
  private retire(): boolean {
    const { host, i32 } = this;
    const idx = (this.ref >>> 1) & IDX_MASK;
    const infoAt = host.infoAt + idx;
    const mean = this.users === 0 ? 0 : ((this.next / this.users + 7) | 0) >>> 3;
    i32[infoAt] = (i32[infoAt]! & ~(FRAG_MASK << FRAG_SHIFT)) | (Math.min(mean, FRAG_MASK) << FRAG_SHIFT);
    const at = host.pageRefAt + idx;
    const share = FRAG_BIAS - this.users;
    if (addTo(host, at, -share) + 1 > share) return false;
    i32[at] = 0;
    return true;
  }
}

/** Makes a fragment allocator over the host's pages. Call `destroy()` at the end. */
export function createPageFrag(host: Host, params: PageFragParams = {}): PageFrag {
  return new PageFrag(host, params);
}

function failDestroyed(): never {
  throw new NetmemError({
    code: "ERR_NETMEM_PAGE_FRAG_DESTROYED",
    reason: "an allocation on a page_frag after destroy()",
    remedy: "Stop the queue before destroying its allocator.",
    param: "pageFrag",
  });
}
