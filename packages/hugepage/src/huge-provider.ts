import {
  checkInt,
  type DmaDir,
  DmaDir as Dir,
  type Host,
  type HugeBacking,
  type InfoSink,
  type MemoryProviderOps,
  type NetmemRef,
  type PoolHandle,
} from "@netmem/core";
import { Chunks } from "./chunks.ts";
import { mapRun, unmapRun, warnLeak } from "./mapped-run.ts";
import { PageRun } from "./page-run.ts";
import { checkDir, checkPool } from "./pool-rules.ts";
import { RunTable } from "./run-table.ts";
import { SinglePages } from "./single-pages.ts";

const DEFAULT_CHUNKS = 32;
const MAX_CHUNKS = 65534;

export interface HugeParams {
  /** Where the huge pages come from: `createModelBacking(host)` anywhere. */
  readonly backing: HugeBacking;
  /** Huge pages that the provider has while it has pools, all or none. Default 32. */
  readonly chunks?: number;
  /** Give ordinary pages, mapped one by one, when all chunks are out. Default true. */
  readonly fallback?: boolean;
  /** Memory node that the chunks should be on. Default -1: any. */
  readonly nid?: number;
  /** Default "huge". */
  readonly name?: string;
}

/** What a huge-page provider holds and has given. */
export interface HugeStats {
  /** Huge pages in use; 0 without pools. */
  readonly chunks: number;
  readonly freePages: number;
  /** Pages that came home while somebody else held them. */
  readonly heldPages: number;
  /** Ordinary pages that are out because the chunks were. */
  readonly fallbackOut: number;
  /** Ordinary pages given since the provider was made. */
  readonly fallbackTotal: number;
  /** Huge pages left behind because somebody holds pages of them. */
  readonly leakedChunks: number;
}

/** Preallocated huge pages, mapped once each, handed out page by page. Made by {@link createHugeProvider}. */
export class HugeProvider implements MemoryProviderOps {
  readonly name: string;
  readonly opsVersion = 1;
  readonly isReadable = true;
  private readonly host: Host;
  private readonly backing: HugeBacking;
  private readonly chunks: Chunks;
  private readonly table: RunTable;
  private readonly singles: SinglePages;
  private readonly chunkCount: number;
  private readonly fallback: boolean;
  private readonly nid: number;
  private readonly pools = new Set<PoolHandle>();
  private dir: DmaDir = Dir.None;
  private leaked: PageRun[] = [];
  private runs: PageRun[] = [];

  /** @internal Use {@link createHugeProvider}. */
  constructor(host: Host, params: HugeParams) {
    this.name = params.name ?? "huge";
    this.host = host;
    this.backing = params.backing;
    this.chunks = new Chunks(host, params.backing);
    this.table = new RunTable(host);
    this.singles = new SinglePages(host);
    this.chunkCount = checkInt("chunks", params.chunks ?? DEFAULT_CHUNKS, 1, MAX_CHUNKS);
    this.fallback = params.fallback ?? true;
    this.nid = checkInt("nid", params.nid ?? -1, -1, host.nodeCount - 1);
  }

  /**
   * The first pool takes and maps the chunks, later ones share them.
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) for order > 0 or without DmaMap; `ERR_NETMEM_HUGE_DMA_DIR` (EINVAL),
   * `ERR_NETMEM_NO_HUGE_PAGES` (ENOMEM), `ERR_NETMEM_DMA_MAP` (ENOMEM), what the backing throws. Nothing is held then.
   */
  init(pool: PoolHandle): void {
    checkPool(this.host, pool, 0);
    if (this.pools.size > 0) checkDir(this.dir, pool.dmaDir);
    else this.takeRuns(pool.dmaDir);
    this.pools.add(pool);
  }

  /** The last pool's end gives the chunks back; one of which a page is held is left behind, with a warning. */
  destroy(pool: PoolHandle): void {
    // A pool that was adopted from a thread that died is none of ours.
    if (!this.pools.delete(pool) || this.pools.size > 0) return;
    const before = this.leaked.length;
    for (const run of this.runs.splice(0)) {
      this.table.remove(run);
      this.retire(run);
    }
    warnLeak(this.host, this.name, this.leaked.slice(before));
  }

  allocNetmems(pool: PoolHandle, out: Int32Array, max: number): number {
    const n = this.table.take(out, max);
    if (n > 0) return n;
    return this.fallback ? this.singles.take(pool, out, max) : 0;
  }

  releaseNetmem(pool: PoolHandle, ref: NetmemRef): boolean {
    const run = this.table.find(ref);
    if (run === null) {
      // Neither: of a provider whose thread died. The page allocator is the only one left to take it.
      if (this.singles.has(ref)) this.singles.drop(pool, ref);
      return true;
    }
    if (!run.put(ref)) this.table.warnDouble(this.name, ref);
    return false;
  }

  owns(ref: NetmemRef): boolean {
    return this.table.has(ref) || this.singles.has(ref);
  }

  fillInfo(info: InfoSink): void {
    info.set("huge-pages", this.runs.length);
    info.set("huge-page-bytes", this.backing.pageBytes);
    info.set("huge-backing", this.backing.kind);
    info.set("huge-fallback-pages", this.singles.count);
  }

  stats(): HugeStats {
    return {
      chunks: this.runs.length,
      freePages: this.table.freeCount(),
      heldPages: this.table.heldCount(),
      fallbackOut: this.singles.count,
      fallbackTotal: this.singles.given,
      leakedChunks: this.leaked.length,
    };
  }

  /** Gives back what was left behind and is nobody's any more; returns how many chunks. Every first `init` does so too. */
  reclaimLeaked(): number {
    const before = this.leaked.length;
    for (const chunk of this.leaked.splice(0)) this.retire(chunk);
    return before - this.leaked.length;
  }

  private takeRuns(dir: DmaDir): void {
    this.reclaimLeaked();
    const places = this.chunks.take(this.chunkCount, this.nid);
    const runs = places.map((idx) => new PageRun(this.host, idx, this.chunks.order, 0));
    try {
      for (const run of runs) mapRun(this.host, run, dir);
    } catch (error) {
      for (const run of runs) this.give(run, dir);
      throw error;
    }
    this.dir = dir;
    this.runs = runs;
    for (const run of runs) this.table.add(run);
  }

  /** A chunk on its way out: home, or left behind while somebody holds pages of it. */
  private retire(run: PageRun): void {
    unmapRun(this.host, run, this.dir);
    run.recoverHeld();
    if (run.isWhole()) this.give(run, this.dir);
    else this.leaked.push(run);
  }

  private give(run: PageRun, dir: DmaDir): void {
    unmapRun(this.host, run, dir);
    this.chunks.give(run.firstIdx);
  }
}

/**
 * A provider that preallocates huge pages (32 of 2 MiB by default, as the RFC's `mp_huge`) when its first pool is made, maps each once, and hands
 * them out page by page: an IOTLB needs one entry where it needed 512. Pools share the chunks, so a queue that restarts
 * needs no second set. Register it, bind it to a queue.
 *
 * Pools need order 0, `DmaMap`, and all the same `dmaDir`. On a host without a DMA device nothing is mapped. A refill of
 * 64 pages costs about as much as from the page allocator. Belongs to the thread that made it.
 *
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL)
 */
export function createHugeProvider(host: Host, params: HugeParams): HugeProvider {
  return new HugeProvider(host, params);
}
