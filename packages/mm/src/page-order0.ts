/*
 * data path
 *
 * The page allocator: a list of single pages for this thread over the buddy lists. The list *is* the return stack of
 * the `page_order0` owner, so returning a plain page is the same push as for every other owner. Blocks of several pages
 * are handed out as SHARED, which keeps them off that push: they go straight to the buddy lists.
 *
 * With several memory nodes the list holds pages of one node, the context's. The push cannot tell nodes apart, so the
 * list's count is hidden there: every return and allocation takes the slow path, and one node pays nothing for it.
 * Watermarks and the limit are asked where pages leave the buddy lists: one compare with an arena word.
 *
 *  allocator words + 1   free pages of the only node, see buddy.ts
 *                  + 2   free pages below which `Watermarks` decides
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
  MAX_NODES as MAX_NODES_,
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
  OWN_LIMIT as OWN_LIMIT_,
  OWN_PRIVATE as OWN_PRIVATE_,
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
import { type PageAllocatorParams, type PageAllocatorStats, Watermarks } from "./watermarks.ts";

const GEN_SHIFT = GEN_SHIFT_;
const GEN_ONE = GEN_ONE_;
const IDX_MASK = IDX_MASK_;
const MAX_NODES = MAX_NODES_;
const MAX_ORDER = MAX_ORDER_;
const PAGE_REF_MASK = REF_MASK & ~NET_IOV_TAG;
const ORDER_MASK = INFO_ORDER_MASK_;
const LIMIT = OWN_LIMIT_;
const PRIVATE = OWN_PRIVATE_;
const STACK = OWN_STACK_;
const STACK_SIZE = OWNER_STACK_SIZE_;
const SHARED = META_SHARED_;
const LIVE_MASK = META_STATE_MASK | META_GEN_MASK;
const OUT = META_OUT;
const PFMEMALLOC = INFO_PFMEMALLOC;
const PLAIN_OUT = ownerTag(OWNER_ORDER0, NetmemState.Out);
const PLAIN_POOLED = ownerTag(OWNER_ORDER0, NetmemState.Pooled);

/** Pages moved between the thread's list and the buddy lists at a time. */
const BATCH = 64;

/** Allocator words: the free pages of node 0, and from there to the alert mark. */
const FREE_PAGES = 1;
const ALERT_BELOW = 1;

/** Count and limit where nobody may push or pop without asking: below every count, and as an unsigned number above. */
const HIDDEN = -1;

/** Plain pages (`MemType.PageOrder0`): allocator and owner in one. Made by `createPageAllocator`. */
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
  declare private readonly nodeTable: Uint8Array;
  declare private readonly nodeShift: number;
  /** For each node, all nodes by distance. */
  declare private readonly fallback: Int32Array;
  declare private readonly freeAt: number;
  declare private readonly host: Host;
  declare private readonly i32: Int32Array;
  declare private readonly infoAt: number;
  declare private readonly at: number;
  /** Where the list's count is: `at`, or with several nodes a private word. */
  declare private readonly countAt: number;

  /**
   * @throws `ERR_NETMEM_OWNER_TAKEN` (EBUSY) when the host has a page allocator, `ERR_NETMEM_INVALID_PARAM` (EINVAL) for
   * watermarks that contradict each other.
   */
  constructor(host: Host, params: PageAllocatorParams = {}) {
    host.owners.claimId(OWNER_ORDER0, this);
    this.host = host;
    this.i32 = host.i32;
    this.infoAt = host.infoAt;
    this.buddies = Array.from({ length: host.nodeCount }, (_, nid) => new Buddy(host, nid));
    this.buddy = this.buddies[0]!;
    this.totalPageCount = host.layout.pageCount - host.layout.firstPageIdx;
    this.at = host.owners.recordAt(OWNER_ORDER0);
    const isSingle = host.nodeCount === 1;
    this.countAt = isSingle ? this.at : this.at + PRIVATE;
    this.i32[this.at] = isSingle ? 0 : HIDDEN;
    this.i32[this.at + LIMIT] = isSingle ? STACK_SIZE : HIDDEN;
    this.nodeCount = host.nodeCount;
    this.nodeTable = host.nodes.table;
    this.nodeShift = host.nodes.shift;
    this.fallback = createFallback(host.nodeCount);
    this.freeAt = host.layout.allocatorAt + FREE_PAGES;
    this.listNid = 0;
    this.local = this.buddy;
    this.watermarks = new Watermarks(host, this, params, this.freeAt + ALERT_BELOW);
    if (host.nodeCount > 1) host.context.onNid(() => this.moveList());
  }

  /** Pages not handed out, those of the thread's list included: of one node, or of all. */
  freePageCount(nid = -1): number {
    if (nid < 0) return this.buddyFree() + this.listedCount();
    const listed = nid === this.listNid ? this.listedCount() : 0;
    return nid < this.nodeCount ? this.buddies[nid]!.freePageCount + listed : 0;
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
    if (this.nodeCount === 1 && this.i32[this.freeAt]! - (1 << order) >= this.i32[this.freeAt + ALERT_BELOW]!) {
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
    i32[this.at] = count - 1;
    const ref = i32[this.at + STACK + count - 1]!;
    i32[(ref >>> 1) & IDX_MASK] = PLAIN_OUT | (ref >>> GEN_SHIFT);
    return asPageRef(ref);
  }

  private popListed(): PageRef {
    const i32 = this.i32;
    const count = i32[this.countAt]! - 1;
    i32[this.countAt] = count;
    const ref = i32[this.at + STACK + count]!;
    i32[(ref >>> 1) & IDX_MASK] = PLAIN_OUT | (ref >>> GEN_SHIFT);
    return asPageRef(ref);
  }

  private allocBlock(order: number, nid: number, strict: boolean): PageRef | 0 {
    const count = 1 << order;
    const isTight = this.buddyFree() - count < this.i32[this.freeAt + ALERT_BELOW]!;
    if (isTight && !this.watermarks.grantBlock(count)) return this.allocReserve(order, nid, strict);
    const idx = this.takeNearest(order, nid, strict);
    return idx === 0 ? 0 : this.handOut(idx, order, order === 0 ? 0 : SHARED);
  }

  /** What only a memalloc context gets. The mark keeps pools from recycling it. */
  private allocReserve(order: number, nid: number, strict: boolean): PageRef | 0 {
    if (!this.watermarks.grantReserve(1 << order)) return 0;
    const idx = this.takeNearest(order, nid, strict);
    return idx === 0 ? 0 : this.handOut(idx, order | PFMEMALLOC, SHARED);
  }

  private takeNearest(order: number, nid: number, strict: boolean): number {
    const tries = this.triesOf(nid, strict);
    for (let k = 0; k < tries; k++) {
      const idx = this.takeFrom(this.nearest(nid, k), order);
      if (idx !== 0) return idx;
    }
    return 0;
  }

  /** A block that only the list prevents is found by emptying the list. */
  private takeFrom(buddy: Buddy, order: number): number {
    const idx = buddy.take(order);
    if (idx !== 0 || buddy !== this.local || this.listedCount() === 0) return idx;
    this.drainList();
    return buddy.take(order);
  }

  private triesOf(nid: number, strict: boolean): number {
    if (!strict) return this.nodeCount;
    return nid < this.nodeCount ? 1 : 0;
  }

  private nearest(nid: number, k: number): Buddy {
    return this.buddies[this.fallback[nid * this.nodeCount + k]!]!;
  }

  private buddyFree(): number {
    let free = this.buddy.freePageCount;
    for (let nid = 1; nid < this.nodeCount; nid++) free += this.buddies[nid]!.freePageCount;
    return free;
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
    const idx = (ref >>> 1) & IDX_MASK;
    const count = i32[this.at]!;
    if (i32[idx] !== (PLAIN_OUT | (ref >> GEN_SHIFT)) || count >>> 0 >= STACK_SIZE) return this.freeSlow(ref);
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
    if (this.i32[(ref >>> 1) & IDX_MASK] === (PLAIN_OUT | (ref >> GEN_SHIFT))) this.freePage(asPageRef(ref));
    else if (unrefNetmem(this.host, ref, 1) === 0) putNetmem(this.host, ref);
  }

  /** Gives re-armed references of single pages to the buddy lists (`MemModel.drain`). */
  drain(refs: Int32Array, count: number): void {
    for (let i = 0; i < count; i++) this.giveSingle(refs[i]!);
  }

  /** Moves this thread's whole list to the buddy lists, so that neighbours merge. */
  drainList(): void {
    while (this.listedCount() > 0) this.flush();
  }

  /** The thread runs on another node now. Control path. */
  private moveList(): void {
    const nid = Math.min(Math.max(this.host.context.nid, 0), this.nodeCount - 1);
    if (nid === this.listNid) return;
    this.drainList();
    this.listNid = nid;
    this.local = this.buddies[nid]!;
  }

  private home(idx: number): Buddy {
    return this.nodeCount === 1 ? this.buddy : this.buddies[this.nodeTable[idx >>> this.nodeShift]!]!;
  }

  /** Shared, several pages, of another node, or the list is full; misuse throws. */
  private freeSlow(ref: PageRef): void {
    const i32 = this.i32;
    const idx = (ref >>> 1) & IDX_MASK;
    const meta = i32[idx]!;
    if (meta !== (PLAIN_OUT | (ref >> GEN_SHIFT))) this.checkFreeable(ref, meta);
    const order = i32[this.infoAt + idx]! & ORDER_MASK;
    const next = (ref + GEN_ONE) & PAGE_REF_MASK;
    const home = this.home(idx);
    if (order !== 0 || home !== this.local) {
      i32[idx] = next >>> GEN_SHIFT;
      home.give(idx, order);
      return;
    }
    const count = this.listedCount() < STACK_SIZE ? this.listedCount() : this.flush();
    i32[idx] = PLAIN_POOLED | (next >>> GEN_SHIFT);
    i32[this.at + STACK + count] = next;
    i32[this.countAt] = count + 1;
  }

  /** Oldest part of the list to the buddy lists; returns the new count. */
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
    this.i32[idx] = ref >>> GEN_SHIFT;
    this.home(idx).give(idx, 0);
  }

  private refill(): PageRef | 0 {
    const { i32, local } = this;
    const isTight = this.buddyFree() - BATCH < i32[this.freeAt + ALERT_BELOW]!;
    const wanted = isTight ? this.watermarks.grantRefill(BATCH) : BATCH;
    if (wanted === 0) return this.allocReserve(0, this.listNid, false);
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
    }
    i32[this.countAt] = n;
    if (n > 0) return this.popListed();
    const idx = this.takeNearest(0, this.listNid, false);
    return idx === 0 ? 0 : this.handOut(idx, 0, 0);
  }

  private takeSingles(out: Int32Array, from: number, max: number, nid: number, strict: boolean): number {
    const isTight = this.buddyFree() - (max - from) < this.i32[this.freeAt + ALERT_BELOW]!;
    const end = isTight ? from + this.watermarks.grantUpTo(max - from) : max;
    const tries = this.triesOf(nid, strict);
    let n = from;
    for (let k = 0; k < tries && n < end; k++) n = this.takeSinglesFrom(this.nearest(nid, k), out, n, end);
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
    this.drainList();
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

  /** Lets shared-marked plain pages through once nobody else holds them; everything else is misuse. */
  private checkFreeable(ref: PageRef, meta: number): void {
    const { host, i32 } = this;
    const idx = (ref >>> 1) & IDX_MASK;
    const isLive = ref > 0 && (meta & LIVE_MASK) === (OUT | (ref >>> GEN_SHIFT));
    if (!isLive || !host.isPlainOwner(meta >>> META_OWNER_SHIFT)) failReturn(host, ref, OWNER_ORDER0);
    const holders = i32[host.pageRefAt + idx]! + i32[host.ppRefAt + idx]! + 1;
    if (holders > 1) failShared(ref, holders);
    i32[this.infoAt + idx] = i32[this.infoAt + idx]! & ORDER_MASK;
  }
}

/** Order of the next block to break into at most `wanted` pages: small leftovers first, -1 when nothing is free. */
function fittingOrder(buddy: Buddy, wanted: number): number {
  const lowest = buddy.findOrder(0);
  const fitting = 31 - Math.clz32(wanted);
  return lowest < fitting ? lowest : fitting;
}

/** Rows of node ids, nearest first; of two that are as near, the lower one. Ids beyond the last node have rows as well. */
function createFallback(nodeCount: number): Int32Array {
  const nodes = Array.from({ length: nodeCount }, (_, nid) => nid);
  const rows = Array.from({ length: MAX_NODES }, (_, nid) =>
    nodes.toSorted((a, b) => Math.abs(a - nid) - Math.abs(b - nid) || a - b),
  );
  return Int32Array.from(rows.flat());
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
