import {
  checkInt,
  type DmaDir,
  DmaDir as Dir,
  type Host,
  type HugeBacking,
  IDX_MASK,
  type InfoSink,
  isNetmemError,
  MAX_ORDER,
  type MemoryProviderOps,
  type NetmemRef,
  type PageRef,
  type PoolHandle,
  type TimerId,
} from "@netmem/core";
import { BlockBacking } from "./block-backing.ts";
import { joinAndFree, splitBlock } from "./block-pages.ts";
import { MAP_REFUSED } from "./huge-errors.ts";
import { mapRun, unmapRun, warnLeak } from "./mapped-run.ts";
import { PageRun } from "./page-run.ts";
import { checkDir, checkPool } from "./pool-rules.ts";
import { RunTable } from "./run-table.ts";
import { SinglePages } from "./single-pages.ts";

const DEFAULT_MIN_ORDER = 3;
const DEFAULT_RETRY_MS = 120_000;
/** Blocks without users that stay: traffic around a block's edge does not take and give it all the time. */
const KEPT_WHOLE = 1;

export interface HugeSplitParams {
  /** Puts huge pages under blocks that are large enough. Default: none. */
  readonly backing?: HugeBacking;
  /** Largest block to ask for, as a power of two of pages. Default 10. */
  readonly maxOrder?: number;
  /** Below this order single pages are taken instead, 1 to maxOrder. Default 3. */
  readonly minOrder?: number;
  /** How long smaller blocks do after a larger one was refused, before that is tried again. Milliseconds. Default 120,000. */
  readonly retryMs?: number;
  /** Default "hugeSplit". */
  readonly name?: string;
}

/** What a splitting provider holds and has tried. */
export interface HugeSplitStats {
  /** Blocks in use, by order. */
  readonly blocks: readonly number[];
  readonly freePages: number;
  readonly heldPages: number;
  /** Order that the next block will have; below `minOrder`: single pages. */
  readonly order: number;
  /** Times that a block was refused and the order went down. */
  readonly stepsDown: number;
  /** Times that the largest order was tried again. */
  readonly retries: number;
  readonly hugePages: number;
  readonly singlePagesOut: number;
  /** Blocks left behind because somebody holds pages of them. */
  readonly leakedBlocks: number;
}

/** Blocks taken when needed, the largest that there are, and handed out page by page. Made by {@link createHugeSplitProvider}. */
export class HugeSplitProvider implements MemoryProviderOps {
  readonly name: string;
  readonly opsVersion = 1;
  readonly isReadable = true;
  private readonly host: Host;
  private readonly table: RunTable;
  private readonly singles: SinglePages;
  private readonly backing: BlockBacking | null;
  private readonly maxOrder: number;
  private readonly minOrder: number;
  private readonly retryMs: number;
  private order: number;
  private timer: TimerId = 0;
  private readonly pools = new Set<PoolHandle>();
  private dir: DmaDir = Dir.None;
  private leaked: PageRun[] = [];
  private stepsDown = 0;
  private retries = 0;

  /** @internal Use {@link createHugeSplitProvider}. */
  constructor(host: Host, params: HugeSplitParams) {
    this.name = params.name ?? "hugeSplit";
    this.host = host;
    this.table = new RunTable(host);
    this.singles = new SinglePages(host);
    this.backing = params.backing === undefined ? null : new BlockBacking(host, params.backing);
    this.maxOrder = checkInt("maxOrder", params.maxOrder ?? MAX_ORDER, 1, MAX_ORDER);
    this.minOrder = checkInt(
      "minOrder",
      params.minOrder ?? Math.min(DEFAULT_MIN_ORDER, this.maxOrder),
      1,
      this.maxOrder,
    );
    this.retryMs = checkInt("retryMs", params.retryMs ?? DEFAULT_RETRY_MS, 1, 2 ** 31 - 1);
    this.order = this.maxOrder;
  }

  /**
   * Takes nothing yet.
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) for order > 0 or without DmaMap; `ERR_NETMEM_HUGE_DMA_DIR` (EINVAL)
   */
  init(pool: PoolHandle): void {
    checkPool(this.host, pool, 0);
    if (this.pools.size > 0) checkDir(this.dir, pool.dmaDir);
    else this.reclaimLeaked();
    this.dir = pool.dmaDir;
    this.pools.add(pool);
  }

  /** The last pool's end gives every block back; one of which a page is held is left behind, with a warning. */
  destroy(pool: PoolHandle): void {
    // A pool that was adopted from a thread that died is none of ours.
    if (!this.pools.delete(pool) || this.pools.size > 0) return;
    this.host.clock.clearTimer(this.timer);
    this.timer = 0;
    this.order = this.maxOrder;
    const before = this.leaked.length;
    for (const block of this.table.runs()) {
      this.table.remove(block);
      this.retire(block);
    }
    warnLeak(this.host, this.name, this.leaked.slice(before));
  }

  allocNetmems(pool: PoolHandle, out: Int32Array, max: number): number {
    const n = this.table.take(out, max);
    if (n > 0) return n;
    return this.grow(pool.nid) ? this.table.take(out, max) : this.singles.take(pool, out, max);
  }

  releaseNetmem(pool: PoolHandle, ref: NetmemRef): boolean {
    const block = this.table.find(ref);
    if (block === null) {
      // Neither: of a provider whose thread died. The page allocator is the only one left to take it.
      if (this.singles.has(ref)) this.singles.drop(pool, ref);
      return true;
    }
    if (!block.put(ref)) this.table.warnDouble(this.name, ref);
    else if (block.isWhole() && this.table.wholeCount() > KEPT_WHOLE) {
      this.table.remove(block);
      this.give(block);
    }
    return false;
  }

  owns(ref: NetmemRef): boolean {
    return this.table.has(ref) || this.singles.has(ref);
  }

  fillInfo(info: InfoSink): void {
    info.set("split-blocks", this.table.runs().length);
    info.set("split-order", this.order);
    info.set("split-single-pages", this.singles.count);
    info.set("huge-pages", this.backing?.pageCount ?? 0);
  }

  stats(): HugeSplitStats {
    const blocks = Array.from({ length: MAX_ORDER + 1 }, () => 0);
    for (const { order } of this.table.runs()) blocks[order] = blocks[order]! + 1;
    return {
      blocks,
      freePages: this.table.freeCount(),
      heldPages: this.table.heldCount(),
      order: this.order,
      stepsDown: this.stepsDown,
      retries: this.retries,
      hugePages: this.backing?.pageCount ?? 0,
      singlePagesOut: this.singles.count,
      leakedBlocks: this.leaked.length,
    };
  }

  /** Gives back what was left behind and is nobody's any more; returns how many blocks. Every first `init` does so too. */
  reclaimLeaked(): number {
    const before = this.leaked.length;
    for (const block of this.leaked.splice(0)) this.retire(block);
    return before - this.leaked.length;
  }

  /** Takes a block of the largest order that the allocator has; false when it has none that is worth a mapping. */
  private grow(nid: number): boolean {
    for (; this.order >= this.minOrder; this.stepDown()) {
      const page = this.host.pages.allocPages(this.order, nid);
      if (page !== 0 && this.adopt(page, this.order)) return true;
    }
    return false;
  }

  private adopt(page: PageRef, order: number): boolean {
    const idx = (page >>> 1) & IDX_MASK;
    splitBlock(this.host, page, order);
    const block = new PageRun(this.host, idx, order, 0);
    this.backing?.back(idx, order);
    try {
      mapRun(this.host, block, this.dir);
    } catch (error) {
      this.give(block);
      if (isNetmemError(error) && error.code === MAP_REFUSED) return false;
      throw error;
    }
    this.table.add(block);
    return true;
  }

  private stepDown(): void {
    this.order--;
    this.stepsDown++;
    if (this.timer !== 0) return;
    this.timer = this.host.clock.setTimer(() => {
      this.timer = 0;
      this.order = this.maxOrder;
      this.retries++;
    }, this.retryMs);
  }

  /** A block on its way out: home, or left behind while somebody holds pages of it. */
  private retire(block: PageRun): void {
    unmapRun(this.host, block, this.dir);
    block.recoverHeld();
    if (block.isWhole()) this.give(block);
    else this.leaked.push(block);
  }

  private give(block: PageRun): void {
    unmapRun(this.host, block, this.dir);
    this.backing?.release(block.firstIdx, block.order);
    joinAndFree(this.host, block.firstIdx, block.order);
  }
}

/**
 * A provider that takes the largest blocks the page allocator has when it needs pages (the RFC's `mp_huge_split`), maps
 * each at once and hands it out page by page. A refusal lowers the order by one; below `minOrder` single pages do. The largest is tried again
 * after `retryMs`. Blocks whose pages are all home go back, but for one.
 *
 * Pools need order 0, `DmaMap`, and all the same `dmaDir`. On a host without a DMA device nothing is mapped. Belongs to
 * the thread that made it.
 *
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL)
 */
export function createHugeSplitProvider(host: Host, params: HugeSplitParams = {}): HugeSplitProvider {
  return new HugeSplitProvider(host, params);
}
