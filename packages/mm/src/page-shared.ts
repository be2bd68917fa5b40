import {
  getNetmem,
  type Host,
  idxOf,
  type MemOwner,
  MemType,
  META_GEN_MASK,
  NetmemState,
  type NetmemRef,
  OWNER_SHARED,
  ownerTag,
  pageRefCount,
  type PageRef,
  putNetmem,
  unrefNetmem,
} from "@netmem/core";

/**
 * Split pages (`MemType.PageShared`): one page, several users, counted by the page refcount. The trick of drivers
 * without a page pool: keep a reference, hand out one half, and when the count tells that the stack let go, use the
 * other half again. Every return pays the counting path.
 */
export class PageShared implements MemOwner {
  readonly name = "page_shared";
  readonly memType: number = MemType.PageShared;
  private readonly host: Host;

  constructor(host: Host) {
    this.host = host;
    host.owners.claimId(OWNER_SHARED, this);
  }

  /** A page with one holder, the caller; 0 when exhausted. */
  alloc(): PageRef | 0 {
    const page = this.host.pages.allocPages(0);
    if (page === 0) return 0;
    const idx = idxOf(page);
    this.host.i32[idx] = ownerTag(OWNER_SHARED, NetmemState.Out) | (this.host.i32[idx]! & META_GEN_MASK);
    return page;
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
