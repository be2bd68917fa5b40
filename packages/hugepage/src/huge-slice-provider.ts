import {
  checkInt,
  type DmaDir,
  failParam,
  type Host,
  type HugeBacking,
  type InfoSink,
  MAX_ORDER,
  type MemoryProviderOps,
  type NetmemRef,
  type PoolHandle,
} from "@netmem/core";
import { Chunks } from "./chunks.ts";
import { failNoHugePages } from "./huge-errors.ts";
import { mapRun, unmapRun, warnLeak } from "./mapped-run.ts";
import { PageRun } from "./page-run.ts";
import { checkPool } from "./pool-rules.ts";
import { RunTable } from "./run-table.ts";

const DEFAULT_SLICE_BYTES = 2 ** 27;
const DEFAULT_PAGES = 2;

export interface HugeSliceParams {
  /** Where the gigantic pages come from; `pageBytes` is theirs, 1 GiB on x86. */
  readonly backing: HugeBacking;
  /** What one pool gets: a power of two, at least 32 pages of the host, at most a gigantic page. Default 128 MiB. */
  readonly sliceBytes?: number;
  /** Gigantic pages that the provider may have, a hard limit. They are taken when a pool needs one. Default 2. */
  readonly maxPages?: number;
  /** Memory node that the gigantic pages should be on. Default -1: any. */
  readonly nid?: number;
  /** Default "hugeSlice". */
  readonly name?: string;
}

/** What a slicing provider holds. */
export interface HugeSliceStats {
  /** Gigantic pages held. */
  readonly pages: number;
  readonly slicesUsed: number;
  readonly slicesFree: number;
  /** Slices left behind because somebody holds pages of them. */
  readonly leakedSlices: number;
}

/** A gigantic page. */
interface Giant {
  readonly firstIdx: number;
  /** First pages of the slices that no pool has. */
  readonly free: number[];
}

interface Slice {
  readonly run: PageRun;
  readonly giant: Giant;
  readonly dir: DmaDir;
}

/** Gigantic pages cut into slices, one per pool. Made by {@link createHugeSliceProvider}. */
export class HugeSliceProvider implements MemoryProviderOps {
  readonly name: string;
  readonly opsVersion = 1;
  readonly isReadable = true;
  private readonly host: Host;
  private readonly backing: HugeBacking;
  private readonly chunks: Chunks;
  private readonly table: RunTable;
  private readonly sliceOrder: number;
  private readonly maxPages: number;
  private readonly nid: number;
  private readonly slices = new Map<PoolHandle, Slice>();
  private giants: Giant[] = [];
  private leaked: Slice[] = [];

  /** @internal Use {@link createHugeSliceProvider}. */
  constructor(host: Host, params: HugeSliceParams) {
    const { backing, sliceBytes = Math.min(DEFAULT_SLICE_BYTES, params.backing.pageBytes) } = params;
    this.name = params.name ?? "hugeSlice";
    this.host = host;
    this.backing = backing;
    this.chunks = new Chunks(host, backing);
    this.table = new RunTable(host);
    checkInt("sliceBytes", sliceBytes, 32 * host.pageSizeBytes, backing.pageBytes);
    const shift = Math.round(Math.log2(sliceBytes));
    if (2 ** shift !== sliceBytes) failParam("sliceBytes", sliceBytes, "a power of two", "Round it up.");
    this.sliceOrder = shift - host.pageShift;
    this.maxPages = checkInt("maxPages", params.maxPages ?? DEFAULT_PAGES, 1, 1024);
    this.nid = checkInt("nid", params.nid ?? -1, -1, host.nodeCount - 1);
  }

  /**
   * Gives the pool a slice and maps it at once.
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) without DmaMap or for buffers larger than a slice;
   * `ERR_NETMEM_NO_HUGE_PAGES` (ENOMEM), `ERR_NETMEM_DMA_MAP` (ENOMEM), what the backing throws. Nothing is held then.
   */
  init(pool: PoolHandle): void {
    checkPool(this.host, pool, Math.min(this.sliceOrder, MAX_ORDER));
    this.reclaimLeaked();
    const giant = this.giants.find(({ free }) => free.length > 0) ?? this.takeGiant();
    const run = new PageRun(this.host, giant.free.pop()!, this.sliceOrder, pool.order);
    const slice = { run, giant, dir: pool.dmaDir };
    try {
      mapRun(this.host, run, pool.dmaDir);
    } catch (error) {
      this.give(slice);
      throw error;
    }
    this.setOrder(run, pool.order);
    this.slices.set(pool, slice);
    this.table.add(run);
  }

  /** Takes the pool's slice back; one of which a page is held is left behind, with a warning. */
  destroy(pool: PoolHandle): void {
    const slice = this.slices.get(pool);
    if (slice === undefined) return;
    this.slices.delete(pool);
    this.table.remove(slice.run);
    unmapRun(this.host, slice.run, slice.dir);
    if (!this.retire(slice)) warnLeak(this.host, this.name, [slice.run]);
  }

  allocNetmems(pool: PoolHandle, out: Int32Array, max: number): number {
    const run = this.slices.get(pool)?.run;
    if (run === undefined) return 0;
    const n = run.take(out, 0, max);
    if (n > 0 || run.heldCount === 0) return n;
    run.recoverHeld();
    return run.take(out, 0, max);
  }

  releaseNetmem(_pool: PoolHandle, ref: NetmemRef): boolean {
    const run = this.table.find(ref);
    // Of a provider whose thread died: the page allocator is the only one left to take it.
    if (run === null) return true;
    if (!run.put(ref)) this.table.warnDouble(this.name, ref);
    return false;
  }

  owns(ref: NetmemRef): boolean {
    return this.table.has(ref);
  }

  fillInfo(info: InfoSink): void {
    info.set("huge-pages", this.giants.length);
    info.set("huge-page-bytes", this.backing.pageBytes);
    info.set("huge-backing", this.backing.kind);
    info.set("slices", this.slices.size);
  }

  stats(): HugeSliceStats {
    return {
      pages: this.giants.length,
      slicesUsed: this.slices.size,
      slicesFree: this.giants.reduce((sum, { free }) => sum + free.length, 0),
      leakedSlices: this.leaked.length,
    };
  }

  /** Takes back what was left behind and is nobody's any more; returns how many slices. Every `init` does so too. */
  reclaimLeaked(): number {
    const before = this.leaked.length;
    for (const slice of this.leaked.splice(0)) this.retire(slice);
    return before - this.leaked.length;
  }

  private takeGiant(): Giant {
    if (this.giants.length >= this.maxPages) failNoHugePages(1, 0, `the limit of ${this.maxPages} is reached`);
    const [firstIdx] = this.chunks.take(1, this.nid);
    const count = 2 ** (this.chunks.order - this.sliceOrder);
    const free = Array.from({ length: count }, (_, n) => firstIdx! + (count - 1 - n) * 2 ** this.sliceOrder);
    const giant = { firstIdx: firstIdx!, free };
    this.giants.push(giant);
    return giant;
  }

  /** Makes the units blocks of the pool's order, or single pages again. */
  private setOrder(run: PageRun, order: number): void {
    const { i32, infoAt } = this.host;
    for (let unit = 0; unit < run.unitCount; unit++) i32[infoAt + run.pageOf(unit)] = order;
  }

  /** False, and the slice waits, while somebody holds pages of it. */
  private retire(slice: Slice): boolean {
    slice.run.recoverHeld();
    if (slice.run.isWhole()) this.give(slice);
    else this.leaked.push(slice);
    return slice.run.isWhole();
  }

  /** A gigantic page goes back when it has all of its slices. */
  private give({ run, giant, dir }: Slice): void {
    unmapRun(this.host, run, dir);
    this.setOrder(run, 0);
    giant.free.push(run.firstIdx);
    if (giant.free.length < 2 ** (this.chunks.order - this.sliceOrder)) return;
    this.giants = this.giants.filter((other) => other !== giant);
    this.chunks.give(giant.firstIdx);
  }
}

/**
 * A provider that cuts gigantic pages (1 GiB) into slices, one for each pool: a pool's memory is contiguous, mapped at
 * once, and no other pool can take it. Pools may have any order up to a slice's. When the slice is out, allocations fail:
 * wrap the provider in a fallback if that is not wanted. Belongs to the thread that made it.
 *
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL)
 */
export function createHugeSliceProvider(host: Host, params: HugeSliceParams): HugeSliceProvider {
  return new HugeSliceProvider(host, params);
}
