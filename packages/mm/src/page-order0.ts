/*
 * data path
 *
 * The page allocator: a list of single pages for this thread over the buddy lists of all threads. The list *is* the
 * return stack of this thread's `page_order0` record, so returning a plain page is the same push as for every other
 * owner. Blocks of several pages are handed out as SHARED, which keeps them off that push: they go straight to the buddy
 * lists.
 *
 * With several memory nodes the list holds pages of one node, the context's. The push cannot tell nodes apart, so the
 * list's count is hidden there: every return and allocation takes the slow path, and one node pays nothing for it.
 * Watermarks and the limit are asked where pages leave the buddy lists: one compare with an arena word.
 *
 * A thread may die anywhere. What its list's count covers is on the list, whatever the meta words say, and nothing else
 * is: so the count grows before a page is marked as listed, and shrinks after pages are marked as out. See dead-worker.ts.
 */
import {
  asPageRef,
  checkInt,
  failBulkEntry,
  failParam,
  GEN_MASK,
  GEN_ONE as GEN_ONE_,
  GEN_SHIFT as GEN_SHIFT_,
  type Host,
  IDX_MASK as IDX_MASK_,
  INFO_ORDER_MASK as INFO_ORDER_MASK_,
  INFO_PFMEMALLOC,
  makeRef,
  MAX_NODES as MAX_NODES_,
  MAX_ORDER as MAX_ORDER_,
  type MemOwner,
  MemType,
  META_SHARED as META_SHARED_,
  NET_IOV_TAG,
  type NetmemRef,
  NetmemState,
  OWN_LIMIT as OWN_LIMIT_,
  OWN_STACK as OWN_STACK_,
  OWNER_ORDER0,
  OWNER_STACK_SIZE as OWNER_STACK_SIZE_,
  ownerTag,
  type PageAllocator,
  type PageReclaim,
  type PageRef,
  putNetmem,
  REF_MASK,
  unrefNetmem,
} from "@netmem/core";
import { ALERT_BELOW, FREE_PAGES as FREE_PAGES_ } from "./allocator-words.ts";
import type { Buddy } from "./buddy.ts";
import { reclaimDead } from "./dead-worker.ts";
import { checkFreeable as checkFreeable_ } from "./free-check.ts";
import { PageCentre } from "./page-centre.ts";
import { countOffset, LIST_NID as LIST_NID_, listedPages, openList } from "./thread-lists.ts";
import { type PageAllocatorParams, type PageAllocatorStats, resolveMarks, Watermarks } from "./watermarks.ts";

const FREE_PAGES = FREE_PAGES_;
const LIST_NID = LIST_NID_;
const checkFreeable = checkFreeable_;
const GEN_SHIFT = GEN_SHIFT_;
const GEN_ONE = GEN_ONE_;
const IDX_MASK = IDX_MASK_;
const MAX_NODES = MAX_NODES_;
const MAX_ORDER = MAX_ORDER_;
const PAGE_REF_MASK = REF_MASK & ~NET_IOV_TAG;
const ORDER_MASK = INFO_ORDER_MASK_;
const LIMIT = OWN_LIMIT_;
const STACK = OWN_STACK_;
const STACK_SIZE = OWNER_STACK_SIZE_;
const SHARED = META_SHARED_;
const PFMEMALLOC = INFO_PFMEMALLOC;
const PLAIN_OUT = ownerTag(OWNER_ORDER0, NetmemState.Out);
const PLAIN_POOLED = ownerTag(OWNER_ORDER0, NetmemState.Pooled);

/** Pages moved between the thread's list and the buddy lists at a time. */
const BATCH = 64;

/** From the free pages of node 0 to the alert mark. */
const ALERT = ALERT_BELOW - FREE_PAGES;

/** Count and limit where nobody may push or pop without asking: below every count, and as an unsigned number above. */
const HIDDEN = -1;

/** Plain pages (`MemType.PageOrder0`): allocator and owner in one. Made by `createPageAllocator`, `attachPageAllocator`. */
export class PageOrder0 implements PageAllocator, MemOwner {
  readonly name = "page_order0";
  readonly memType: number = MemType.PageOrder0;
  declare readonly totalPageCount: number;
  /** Free blocks by order, of node 0 and of every node. */
  declare readonly buddy: Buddy;
  declare readonly buddies: readonly Buddy[];
  /** Introspection: the marks as they are in force. */
  declare readonly watermarks: Watermarks;
  /** The node whose pages the list holds. */
  declare private listNid: number;
  declare private local: Buddy;
  declare private readonly nodeCount: number;
  declare private readonly centre: PageCentre;
  declare private readonly freeAt: number;
  declare private readonly host: Host;
  declare private readonly i32: Int32Array;
  declare private readonly infoAt: number;
  declare private readonly at: number;
  /** Where the list's count is: `at`, or with several nodes a private word. */
  declare private readonly countAt: number;

  /**
   * On a thread that attached, joins the allocator of the host, whatever `params` say.
   *
   * @throws `ERR_NETMEM_OWNER_TAKEN` (EBUSY) when the thread has a page allocator, `ERR_NETMEM_INVALID_PARAM` (EINVAL)
   * for watermarks that contradict each other; joining, what `attachPageAllocator` throws.
   */
  constructor(host: Host, params: PageAllocatorParams = {}) {
    this.at = host.owners.claimShared(OWNER_ORDER0, this);
    this.host = host;
    this.i32 = host.i32;
    this.infoAt = host.infoAt;
    this.centre = new PageCentre(host);
    this.buddies = this.centre.buddies;
    this.buddy = this.centre.buddy;
    this.totalPageCount = host.layout.pageCount - host.layout.firstPageIdx;
    const isSingle = host.nodeCount === 1;
    this.countAt = this.at + countOffset(host);
    this.i32[this.at] = isSingle ? 0 : HIDDEN;
    this.i32[this.at + LIMIT] = isSingle ? STACK_SIZE : HIDDEN;
    this.nodeCount = host.nodeCount;
    this.freeAt = host.layout.allocatorAt + FREE_PAGES;
    this.listNid = 0;
    this.local = this.buddy;
    this.watermarks = new Watermarks(
      host,
      this,
      host.attached === 0 ? resolveMarks(params, this.totalPageCount) : null,
    );
    openList(host, this.centre, this.at);
    if (host.nodeCount > 1) host.context.onNid(() => this.moveList());
    this.moveList();
  }

  /** Pages not handed out, those of the threads' lists included: of one node, or of all. */
  freePageCount(nid = -1): number {
    const { centre } = this;
    if (nid >= this.nodeCount) return 0;
    const free = nid < 0 ? centre.freePageCount() : this.buddies[nid]!.freePageCount;
    return free + listedPages(this.host, centre, nid);
  }

  /** Free pages that this thread can get at: all but those on other threads' lists. */
  reachablePageCount(): number {
    return this.centre.freePageCount() + this.listedCount();
  }

  /** Pages on the thread's list. */
  listedCount(): number {
    return this.i32[this.countAt]!;
  }

  stats(): PageAllocatorStats {
    return this.watermarks.stats();
  }

  /**
   * One block of 2^order pages, 0 when exhausted. Single pages of the context's node come from the thread's list, 2-3 ns.
   * A node that is short or not there is replaced by the nearest that has pages, unless `strict`.
   */
  allocPages(order: number, nid?: number, strict?: boolean): PageRef | 0 {
    if (nid !== undefined || strict === true) return this.allocOn(order, nid ?? -1, strict === true);
    if (order === 0) return this.allocPage();
    checkInt("order", order, 0, MAX_ORDER);
    if (this.nodeCount === 1 && this.host.threaded === 0 && !this.isTight(1 << order)) {
      const idx = this.buddy.take(order);
      if (idx !== 0) return this.handOut(idx, order, SHARED);
    }
    return this.allocBlock(order, this.listNid, false);
  }

  private allocOn(order: number, nid: number, strict: boolean): PageRef | 0 {
    checkInt("order", order, 0, MAX_ORDER);
    checkInt("nid", nid, -1, MAX_NODES - 1);
    const wanted = nid < 0 ? this.listNid : nid;
    if (order === 0 && wanted === this.listNid && this.listedCount() > 0) return this.popListed();
    return this.allocBlock(order, wanted, strict);
  }

  private allocPage(): PageRef | 0 {
    const i32 = this.i32;
    const count = i32[this.at]!;
    if (count <= 0) return i32[this.countAt]! > 0 ? this.popListed() : this.refill();
    const ref = i32[this.at + STACK + count - 1]!;
    i32[(ref >>> 1) & IDX_MASK] = PLAIN_OUT | (ref >>> GEN_SHIFT);
    i32[this.at] = count - 1;
    return asPageRef(ref);
  }

  private popListed(): PageRef {
    const i32 = this.i32;
    const count = i32[this.countAt]! - 1;
    const ref = i32[this.at + STACK + count]!;
    i32[(ref >>> 1) & IDX_MASK] = PLAIN_OUT | (ref >>> GEN_SHIFT);
    i32[this.countAt] = count;
    return asPageRef(ref);
  }

  /** Whether `Watermarks` has a say in taking `count` pages. */
  private isTight(count: number): boolean {
    const free = this.nodeCount === 1 ? this.i32[this.freeAt]! : this.centre.freePageCount();
    return free - count < this.i32[this.freeAt + ALERT]!;
  }

  private allocBlock(order: number, nid: number, strict: boolean): PageRef | 0 {
    const count = 1 << order;
    if (this.isTight(count) && !this.watermarks.grantBlock(count)) return this.allocReserve(order, nid, strict);
    return this.takeBlock(order, nid, strict, order, order === 0 ? 0 : SHARED);
  }

  /** What only a memalloc context gets. The mark keeps pools from recycling it. */
  private allocReserve(order: number, nid: number, strict: boolean): PageRef | 0 {
    if (!this.watermarks.grantReserve(1 << order)) return 0;
    return this.takeBlock(order, nid, strict, order | PFMEMALLOC, SHARED);
  }

  /** Takes what was granted, unless another thread was faster. */
  private takeBlock(order: number, nid: number, strict: boolean, info: number, shared: number): PageRef | 0 {
    const { centre } = this;
    const isReserve = (info & PFMEMALLOC) !== 0;
    centre.lock();
    const idx = isReserve || this.isStillGranted(1 << order) ? this.takeNearest(order, nid, strict) : 0;
    const ref = idx === 0 ? 0 : this.handOut(idx, info, shared);
    centre.unlock();
    return ref;
  }

  private isStillGranted(count: number): boolean {
    return this.host.threaded === 0 || this.watermarks.unreserved() >= count;
  }

  /** Under the lock. */
  private takeNearest(order: number, nid: number, strict: boolean): number {
    const { centre } = this;
    const tries = centre.triesOf(nid, strict);
    for (let k = 0; k < tries; k++) {
      const idx = this.takeFrom(centre.nearest(nid, k), order);
      if (idx !== 0) return idx;
    }
    return 0;
  }

  /** A block that only the list prevents is found by emptying the list. */
  private takeFrom(buddy: Buddy, order: number): number {
    const idx = buddy.take(order);
    if (idx !== 0 || buddy !== this.local || this.listedCount() === 0) return idx;
    this.flushAll();
    return buddy.take(order);
  }

  /** Single pages into `out[0..n)`; n is short only when memory is. Never from the reserve. */
  allocBulk(out: Int32Array, max: number, nid = -1, strict = false): number {
    if (max > out.length) failParam("max", max, `at most out.length = ${out.length}`, "Pass a longer array.");
    const i32 = this.i32;
    let count = i32[this.at]!;
    if (count < 0 || strict || (nid + 1) >>> 0 > MAX_NODES) return this.allocBulkOn(out, max, nid, strict);
    let n = 0;
    while (count > 0 && n < max) {
      count--;
      const ref = i32[this.at + STACK + count]!;
      i32[(ref >>> 1) & IDX_MASK] = PLAIN_OUT | (ref >>> GEN_SHIFT);
      out[n++] = ref;
    }
    i32[this.at] = count;
    return n < max ? this.takeSingles(out, n, max, 0, false) : n;
  }

  /** With several nodes, or strict. */
  private allocBulkOn(out: Int32Array, max: number, nid: number, strict: boolean): number {
    checkInt("nid", nid, -1, MAX_NODES - 1);
    const wanted = nid < 0 ? this.listNid : nid;
    let n = 0;
    if (wanted === this.listNid) while (n < max && this.listedCount() > 0) out[n++] = this.popListed();
    return n < max ? this.takeSingles(out, n, max, wanted, strict) : n;
  }

  /**
   * Takes back a page or block of which the caller is the only holder.
   * @throws a misuse error (see `failReturn`), or `ERR_NETMEM_PAGE_SHARED` while others hold it; nothing has changed then.
   */
  freePage(ref: PageRef): void {
    const i32 = this.i32;
    const at = this.at;
    const idx = (ref >>> 1) & IDX_MASK;
    const count = i32[at]!;
    if (i32[idx] !== (PLAIN_OUT | (ref >> GEN_SHIFT)) || count >>> 0 >= STACK_SIZE) return this.freeSlow(ref);
    const next = (ref + GEN_ONE) & PAGE_REF_MASK;
    const meta = PLAIN_POOLED | (next >>> GEN_SHIFT);
    i32[at + STACK + count] = next;
    i32[at] = count + 1;
    i32[idx] = meta;
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
    if (this.i32[(ref >>> 1) & IDX_MASK] === (PLAIN_OUT | (ref >> GEN_SHIFT))) this.freePage(asPageRef(ref));
    else if (unrefNetmem(this.host, ref, 1) === 0) putNetmem(this.host, ref);
  }

  /** Gives re-armed references of single pages to the buddy lists (`MemModel.drain`). */
  drain(refs: Int32Array, count: number): void {
    this.centre.lock();
    for (let i = 0; i < count; i++) this.giveSingle(refs[i]!);
    this.centre.unlock();
  }

  /** Moves this thread's whole list to the buddy lists, so that neighbours merge. */
  drainList(): void {
    this.centre.lock();
    this.flushAll();
    this.centre.unlock();
  }

  /** Ends this thread's part: its list goes to the buddy lists. The object must not be used again. Control path. */
  detach(): void {
    this.drainList();
    this.centre.setListOf(this.host.workerId, 0);
    this.host.owners.releaseShared(OWNER_ORDER0);
  }

  /**
   * Takes back what a worker that runs no more had on its list, after putting right what it left half done. Control path.
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) for this thread itself, or a number that is no worker's.
   */
  reclaimWorker(workerId: number): PageReclaim {
    return reclaimDead(this.host, this.centre, workerId);
  }

  /** The thread runs on another node now. Control path. */
  private moveList(): void {
    const nid = Math.min(Math.max(this.host.context.nid, 0), this.nodeCount - 1);
    if (nid === this.listNid) return;
    this.drainList();
    this.listNid = nid;
    this.i32[this.at + LIST_NID] = nid;
    this.local = this.buddies[nid]!;
  }

  /** Shared, several pages, of another node, or the list is full; misuse throws. */
  private freeSlow(ref: PageRef): void {
    const { i32, centre } = this;
    const idx = (ref >>> 1) & IDX_MASK;
    const meta = i32[idx]!;
    if (meta !== (PLAIN_OUT | (ref >> GEN_SHIFT))) checkFreeable(this.host, ref, meta);
    const order = i32[this.infoAt + idx]! & ORDER_MASK;
    const next = (ref + GEN_ONE) & PAGE_REF_MASK;
    const home = centre.home(idx);
    if (order !== 0 || home !== this.local) {
      if (this.host.threaded === 0) home.give(idx, order, next >>> GEN_SHIFT);
      else this.giveHome(home, idx, order, next >>> GEN_SHIFT);
      return;
    }
    const count = this.listedCount() < STACK_SIZE ? this.listedCount() : this.makeRoom();
    i32[this.at + STACK + count] = next;
    i32[this.countAt] = count + 1;
    i32[idx] = PLAIN_POOLED | (next >>> GEN_SHIFT);
  }

  private giveHome(home: Buddy, idx: number, order: number, meta: number): void {
    this.centre.lock();
    home.give(idx, order, meta);
    this.centre.unlock();
  }

  private makeRoom(): number {
    this.centre.lock();
    const count = this.flush();
    this.centre.unlock();
    return count;
  }

  /** Under the lock. */
  private flushAll(): void {
    while (this.listedCount() > 0) this.flush();
  }

  /** Oldest part of the list to the buddy lists; returns the new count. Under the lock. */
  private flush(): number {
    const i32 = this.i32;
    const stackAt = this.at + STACK;
    const count = i32[this.countAt]!;
    const n = Math.min(count, BATCH);
    for (let i = 0; i < n; i++) this.giveSingle(i32[stackAt + i]!);
    i32.copyWithin(stackAt, stackAt + n, stackAt + count);
    i32[this.countAt] = count - n;
    return count - n;
  }

  private giveSingle(ref: number): void {
    const idx = (ref >>> 1) & IDX_MASK;
    this.centre.home(idx).give(idx, 0, ref >>> GEN_SHIFT);
  }

  private refill(): PageRef | 0 {
    const { centre } = this;
    const wanted = this.isTight(BATCH) ? this.watermarks.grantRefill(BATCH) : BATCH;
    if (wanted === 0) return this.allocReserve(0, this.listNid, false);
    centre.lock();
    this.fillList(this.host.threaded === 0 ? wanted : Math.min(wanted, this.watermarks.unreserved()));
    centre.unlock();
    return this.listedCount() > 0 ? this.popListed() : this.takeBlock(0, this.listNid, false, 0, 0);
  }

  /** Fills the empty list with up to `wanted` pages of its node. Under the lock. */
  private fillList(wanted: number): void {
    const { i32, local } = this;
    let n = 0;
    while (n < wanted) {
      const order = fittingOrder(local, wanted - n);
      if (order < 0) break;
      const idx = local.take(order);
      for (let i = (1 << order) - 1; i >= 0; i--) {
        const ref = makeRef(idx + i, i32[idx + i]! & GEN_MASK, 0);
        i32[this.infoAt + idx + i] = 0;
        i32[idx + i] = PLAIN_POOLED | (ref >>> GEN_SHIFT);
        i32[this.at + STACK + n] = ref;
        n++;
      }
      // Before the next block is taken: see dead-worker.ts.
      i32[this.countAt] = n;
    }
  }

  private takeSingles(out: Int32Array, from: number, max: number, nid: number, strict: boolean): number {
    const { centre } = this;
    const wanted = max - from;
    let granted = this.isTight(wanted) ? this.watermarks.grantUpTo(wanted) : wanted;
    centre.lock();
    if (this.host.threaded !== 0) granted = Math.min(granted, this.watermarks.unreserved());
    const end = from + granted;
    const tries = centre.triesOf(nid, strict);
    let n = from;
    for (let k = 0; k < tries && n < end; k++) n = this.takeSinglesFrom(centre.nearest(nid, k), out, n, end);
    centre.unlock();
    return n;
  }

  private takeSinglesFrom(buddy: Buddy, out: Int32Array, from: number, end: number): number {
    let n = from;
    while (n < end) {
      const order = fittingOrder(buddy, end - n);
      if (order < 0) break;
      const idx = buddy.take(order);
      for (let i = 0; i < 1 << order; i++) out[n++] = this.handOut(idx + i, 0, 0);
    }
    if (n === end || buddy !== this.local || this.listedCount() === 0) return n;
    this.flushAll();
    return this.takeSinglesFrom(buddy, out, n, end);
  }

  /** Makes 2^order free pages a plain block that is out. `info` is the order and, for the reserve, the mark. */
  private handOut(idx: number, info: number, shared: number): PageRef {
    const i32 = this.i32;
    const gen = i32[idx]! & GEN_MASK;
    i32[this.infoAt + idx] = info;
    i32[idx] = PLAIN_OUT | shared | gen;
    return makeRef(idx, gen, 0) as PageRef;
  }
}

/** Order of the next block to break into at most `wanted` pages: small leftovers first, -1 when nothing is free. */
function fittingOrder(buddy: Buddy, wanted: number): number {
  const lowest = buddy.findOrder(0);
  const fitting = 31 - Math.clz32(wanted);
  return lowest < fitting ? lowest : fitting;
}
