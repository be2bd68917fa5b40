import {
  getNetmem,
  type Host,
  idxOf,
  isPfmemalloc,
  type MemOwner,
  MemType,
  META_GEN_MASK,
  META_SHARED,
  NetmemState,
  type NetmemRef,
  OWNER_SHARED,
  ownerTag,
  pageRefCount,
  type PageRef,
  putNetmem,
  unrefNetmem,
} from "@netmem/core";

/** How often a page served again, and how often a new one was taken. */
export interface PageSharedStats {
  readonly reused: number;
  readonly fresh: number;
}

/**
 * Split pages (`MemType.PageShared`): one page, several users, counted by the page refcount. The trick of drivers
 * without a page pool: keep a reference, hand out one half, and when the count tells that the stack let go, use the
 * other half again. Every return pays the counting path.
 */
export class PageShared implements MemOwner {
  readonly name = "page_shared";
  readonly memType: number = MemType.PageShared;
  /** Where the half that {@link nextHalf} returned begins in its page, until the next call. */
  declare lastOffset: number;
  declare private readonly host: Host;
  declare private readonly halfBytes: number;
  declare private reused: number;
  declare private fresh: number;

  constructor(host: Host) {
    this.host = host;
    this.lastOffset = 0;
    this.halfBytes = host.pageSizeBytes >>> 1;
    this.reused = 0;
    this.fresh = 0;
    host.owners.claimShared(OWNER_SHARED, this);
  }

  /** A page with one holder, the caller; 0 when exhausted. */
  alloc(): PageRef | 0 {
    const page = this.host.pages.allocPages(0);
    if (page === 0) return 0;
    const idx = idxOf(page);
    const kept = this.host.i32[idx]! & (META_GEN_MASK | META_SHARED);
    this.host.i32[idx] = ownerTag(OWNER_SHARED, NetmemState.Out) | kept;
    return page;
  }

  /**
   * The half for a ring slot's next packet. `page` is what the slot used last (0 = none) and `offset` which half of it
   * went to the stack. The other half is used again when at most the caller and that half hold the page and it is local
   * and no reserve; otherwise the caller's reference is dropped and a fresh page taken. 0 = exhausted, and the caller
   * holds nothing then. The offset is left in {@link lastOffset}.
   */
  nextHalf(page: PageRef | 0, offset: number): PageRef | 0 {
    if (page !== 0 && this.isReusable(page)) {
      this.reused++;
      this.lastOffset = offset ^ this.halfBytes;
      return page;
    }
    if (page !== 0) putNetmem(this.host, page);
    this.lastOffset = 0;
    const fresh = this.alloc();
    if (fresh !== 0) this.fresh++;
    return fresh;
  }

  /** Refcount <= 2: the caller and the half that just went out. The kernel's drivers ask the same three questions. */
  private isReusable(page: PageRef): boolean {
    const { host } = this;
    if (pageRefCount(host, page) > 2 || isPfmemalloc(host, page)) return false;
    return host.nodeCount === 1 || host.nodeOf(page) === host.context.nid;
  }

  stats(): PageSharedStats {
    return { reused: this.reused, fresh: this.fresh };
  }

  /** One more holder, for a half that is handed out. Each holder calls `returnNetmem` or `putNetmem` once. */
  share(page: PageRef): void {
    getNetmem(this.host, page);
  }

  /** Holders of the page; 1 = only the caller, so every part of it is free again. */
  holders(page: PageRef): number {
    return pageRefCount(this.host, page);
  }

  returnSlow(ref: NetmemRef): void {
    if (unrefNetmem(this.host, ref, 1) === 0) putNetmem(this.host, ref);
  }
}
