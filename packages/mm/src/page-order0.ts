/*
 * data path
 *
 * The page allocator: a list of single pages for this thread over the buddy lists. The list *is* the return stack of
 * the `page_order0` owner, so returning a plain page is the same push as for every other owner. Blocks of several pages
 * are handed out as SHARED, which keeps them off that push: they go straight to the buddy lists.
 */
import {
  asPageRef,
  checkInt,
  failBulkEntry,
  failParam,
  failReturn,
  GEN_MASK,
  GEN_ONE as GEN_ONE_,
  GEN_SHIFT as GEN_SHIFT_,
  type Host,
  IDX_MASK as IDX_MASK_,
  INFO_ORDER_MASK as INFO_ORDER_MASK_,
  INFO_PFMEMALLOC,
  makeRef,
  MAX_ORDER as MAX_ORDER_,
  type MemOwner,
  MemType,
  META_GEN_MASK,
  META_OUT,
  META_OWNER_SHIFT,
  META_SHARED as META_SHARED_,
  META_STATE_MASK,
  NET_IOV_TAG,
  NetmemError,
  type NetmemRef,
  NetmemState,
  OWN_LIMIT,
  OWN_STACK as OWN_STACK_,
  OWNER_ORDER0,
  OWNER_STACK_SIZE as OWNER_STACK_SIZE_,
  ownerTag,
  type PageAllocator,
  type PageRef,
  putNetmem,
  REF_MASK,
  unrefNetmem,
} from "@netmem/core";
import { Buddy } from "./buddy.ts";

const GEN_SHIFT = GEN_SHIFT_;
const GEN_ONE = GEN_ONE_;
const IDX_MASK = IDX_MASK_;
const MAX_ORDER = MAX_ORDER_;
const PAGE_REF_MASK = REF_MASK & ~NET_IOV_TAG;
const ORDER_MASK = INFO_ORDER_MASK_;
const STACK = OWN_STACK_;
const STACK_SIZE = OWNER_STACK_SIZE_;
const SHARED = META_SHARED_;
const LIVE_MASK = META_STATE_MASK | META_GEN_MASK;
const OUT = META_OUT;
const PLAIN_OUT = ownerTag(OWNER_ORDER0, NetmemState.Out);
const PLAIN_POOLED = ownerTag(OWNER_ORDER0, NetmemState.Pooled);

/** Pages moved between the thread's list and the buddy lists at a time. */
const BATCH = 64;

/** Plain pages (`MemType.PageOrder0`): allocator and owner in one. Made by `createPageAllocator`. */
export class PageOrder0 implements PageAllocator, MemOwner {
  readonly name = "page_order0";
  readonly memType: number = MemType.PageOrder0;
  declare readonly totalPageCount: number;
  /** Free blocks by order, for introspection. */
  declare readonly buddy: Buddy;
  declare private readonly host: Host;
  declare private readonly i32: Int32Array;
  declare private readonly infoAt: number;
  declare private readonly at: number;

  /** @throws `ERR_NETMEM_OWNER_TAKEN` (EBUSY) when the host has a page allocator. */
  constructor(host: Host) {
    host.owners.claimId(OWNER_ORDER0, this);
    this.host = host;
    this.i32 = host.i32;
    this.infoAt = host.infoAt;
    this.buddy = new Buddy(host);
    this.totalPageCount = host.layout.pageCount - host.layout.firstPageIdx;
    this.at = host.owners.recordAt(OWNER_ORDER0);
    this.i32[this.at + OWN_LIMIT] = STACK_SIZE;
  }

  freePageCount(): number {
    return this.buddy.freePageCount + this.i32[this.at]!;
  }

  /** One block of 2^order pages, 0 when exhausted. Single pages come from the thread's list, 2-3 ns. */
  allocPages(order: number): PageRef | 0 {
    if (order === 0) return this.allocPage();
    checkInt("order", order, 0, MAX_ORDER);
    const block = this.takeBlock(order);
    if (block !== 0 || this.i32[this.at] === 0) return block;
    this.drainList();
    return this.takeBlock(order);
  }

  private allocPage(): PageRef | 0 {
    const i32 = this.i32;
    const count = i32[this.at]!;
    if (count === 0) return this.refill();
    i32[this.at] = count - 1;
    const ref = i32[this.at + STACK + count - 1]!;
    i32[(ref >>> 1) & IDX_MASK] = PLAIN_OUT | (ref >>> GEN_SHIFT);
    return asPageRef(ref);
  }

  private takeBlock(order: number): PageRef | 0 {
    const idx = this.buddy.take(order);
    return idx === 0 ? 0 : this.handOut(idx, order, SHARED);
  }

  /** Single pages into `out[0..n)`; n is short only when memory is. */
  allocBulk(out: Int32Array, max: number): number {
    if (max > out.length) failParam("max", max, `at most out.length = ${out.length}`, "Pass a longer array.");
    const i32 = this.i32;
    let count = i32[this.at]!;
    let n = 0;
    while (count > 0 && n < max) {
      count--;
      const ref = i32[this.at + STACK + count]!;
      i32[(ref >>> 1) & IDX_MASK] = PLAIN_OUT | (ref >>> GEN_SHIFT);
      out[n++] = ref;
    }
    i32[this.at] = count;
    return n < max ? this.takeSingles(out, n, max) : n;
  }

  /**
   * Takes back a page or block of which the caller is the only holder.
   * @throws a misuse error (see `failReturn`), or `ERR_NETMEM_PAGE_SHARED` while others hold it; nothing has changed then.
   */
  freePage(ref: PageRef): void {
    const i32 = this.i32;
    const idx = (ref >>> 1) & IDX_MASK;
    const count = i32[this.at]!;
    if (i32[idx] !== (PLAIN_OUT | (ref >> GEN_SHIFT)) || count >= STACK_SIZE) return this.freeSlow(ref);
    const next = (ref + GEN_ONE) & PAGE_REF_MASK;
    i32[idx] = PLAIN_POOLED | (next >>> GEN_SHIFT);
    i32[this.at + STACK + count] = next;
    i32[this.at] = count + 1;
  }

  /**
   * @throws as {@link freePage}, with `param` "refs[i]": entries before `i` are home, it and the rest stay with the
   * caller.
   */
  freeBulk(refs: Int32Array, count: number): void {
    let i = 0;
    try {
      for (; i < count; i++) this.freePage(asPageRef(refs[i]!));
    } catch (cause) {
      failBulkEntry(cause, i);
    }
  }

  /** A shared page loses a holder; an exclusive one goes home although the stack was full. */
  returnSlow(ref: NetmemRef): void {
    if (unrefNetmem(this.host, ref, 1) === 0) putNetmem(this.host, ref);
  }

  /** Gives re-armed references of single pages to the buddy lists (`MemModel.drain`). */
  drain(refs: Int32Array, count: number): void {
    for (let i = 0; i < count; i++) this.giveSingle(refs[i]!);
  }

  /** Moves this thread's whole list to the buddy lists, so that neighbours merge. */
  drainList(): void {
    while (this.i32[this.at]! > 0) this.flush();
  }

  /** Shared, several pages, or the list is full; misuse throws. */
  private freeSlow(ref: PageRef): void {
    const i32 = this.i32;
    const idx = (ref >>> 1) & IDX_MASK;
    const meta = i32[idx]!;
    if (meta !== (PLAIN_OUT | (ref >> GEN_SHIFT))) this.checkFreeable(ref, meta);
    const order = i32[this.infoAt + idx]! & ORDER_MASK;
    const next = (ref + GEN_ONE) & PAGE_REF_MASK;
    if (order !== 0) {
      i32[idx] = next >>> GEN_SHIFT;
      this.buddy.give(idx, order);
      return;
    }
    const count = i32[this.at]! < STACK_SIZE ? i32[this.at]! : this.flush();
    i32[idx] = PLAIN_POOLED | (next >>> GEN_SHIFT);
    i32[this.at + STACK + count] = next;
    i32[this.at] = count + 1;
  }

  /** Oldest part of the list to the buddy lists; returns the new count. */
  private flush(): number {
    const i32 = this.i32;
    const stackAt = this.at + STACK;
    const count = i32[this.at]!;
    const n = Math.min(count, BATCH);
    for (let i = 0; i < n; i++) this.giveSingle(i32[stackAt + i]!);
    i32.copyWithin(stackAt, stackAt + n, stackAt + count);
    i32[this.at] = count - n;
    return count - n;
  }

  private giveSingle(ref: number): void {
    const idx = (ref >>> 1) & IDX_MASK;
    this.i32[idx] = ref >>> GEN_SHIFT;
    this.buddy.give(idx, 0);
  }

  private refill(): PageRef | 0 {
    const i32 = this.i32;
    let n = 0;
    while (n < BATCH) {
      const order = this.fittingOrder(BATCH - n);
      if (order < 0) break;
      const idx = this.buddy.take(order);
      for (let i = (1 << order) - 1; i >= 0; i--) {
        const ref = makeRef(idx + i, i32[idx + i]! & GEN_MASK, 0);
        i32[this.infoAt + idx + i] = 0;
        i32[idx + i] = PLAIN_POOLED | (ref >>> GEN_SHIFT);
        i32[this.at + STACK + n] = ref;
        n++;
      }
    }
    i32[this.at] = n;
    return n === 0 ? 0 : this.allocPage();
  }

  /** Order of the next block to break into at most `wanted` pages: small leftovers first, -1 when nothing is free. */
  private fittingOrder(wanted: number): number {
    const lowest = this.buddy.findOrder(0);
    const fitting = 31 - Math.clz32(wanted);
    return lowest < fitting ? lowest : fitting;
  }

  private takeSingles(out: Int32Array, from: number, max: number): number {
    let n = from;
    while (n < max) {
      const order = this.fittingOrder(max - n);
      if (order < 0) break;
      const idx = this.buddy.take(order);
      for (let i = 0; i < 1 << order; i++) out[n++] = this.handOut(idx + i, 0, 0);
    }
    return n;
  }

  private handOut(idx: number, order: number, shared: number): PageRef {
    const i32 = this.i32;
    const gen = i32[idx]! & GEN_MASK;
    i32[this.infoAt + idx] = order;
    i32[idx] = PLAIN_OUT | shared | gen;
    return makeRef(idx, gen, 0) as PageRef;
  }

  /** Lets shared-marked plain pages through once nobody else holds them; everything else is misuse. */
  private checkFreeable(ref: PageRef, meta: number): void {
    const { host, i32 } = this;
    const idx = (ref >>> 1) & IDX_MASK;
    const isLive = ref > 0 && (meta & LIVE_MASK) === (OUT | (ref >>> GEN_SHIFT));
    if (!isLive || !host.isPlainOwner(meta >>> META_OWNER_SHIFT)) failReturn(host, ref, OWNER_ORDER0);
    const holders = i32[host.pageRefAt + idx]! + i32[host.ppRefAt + idx]! + 1;
    if (holders > 1) failShared(ref, holders);
    i32[this.infoAt + idx] = i32[this.infoAt + idx]! & ~INFO_PFMEMALLOC;
  }
}

function failShared(ref: PageRef, holders: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_PAGE_SHARED",
    reason: `page 0x${ref.toString(16)} has ${holders} holders`,
    remedy: "Return it with returnNetmem: the last holder's call frees the page.",
    param: "ref",
    value: ref,
  });
}
