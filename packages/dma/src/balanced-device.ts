import { checkInt, type DmaDevice, DmaDir, NetmemError, type NetmemRef } from "@netmem/core";
import { describeMapping, failMismatch, failNotMapped, failSyncDir, failSyncRange } from "./mapping-misuse.ts";

const DEFAULT_PAGE_SHIFT = 12;

/** A mapping that has not been unmapped yet. */
export interface LiveMapping {
  readonly ref: NetmemRef;
  readonly pfn: number;
  readonly order: number;
  readonly dir: DmaDir;
}

export interface BalanceOptions {
  /** log2 of the page size of the device's host. Default 12. */
  readonly pageShift?: number;
}

/** A device in front of another one that checks every call. A mapping costs it an object: for tests and debugging. */
export class BalancedDevice implements DmaDevice {
  readonly name: string;
  readonly needsSync: boolean;
  /** Mappings that are live now. */
  mapped = 0;
  private readonly upstream: DmaDevice;
  private readonly pageShift: number;
  /** Largest order that was mapped so far. */
  private maxOrder = 0;
  /** By page frame number. Devices without translation map a page again to the same number. */
  private readonly live = new Map<number, LiveMapping[]>();

  /** @internal Use {@link withBalance}. */
  constructor(upstream: DmaDevice, options: BalanceOptions) {
    this.upstream = upstream;
    this.pageShift = checkInt("pageShift", options.pageShift ?? DEFAULT_PAGE_SHIFT, 12, 16);
    this.name = `balance(${upstream.name})`;
    this.needsSync = upstream.needsSync;
  }

  map(ref: NetmemRef, order: number, dir: DmaDir): number {
    const pfn = this.upstream.map(ref, order, dir);
    if (pfn === 0) return 0;
    const mapping = { ref, pfn, order, dir };
    this.maxOrder = Math.max(this.maxOrder, order);
    const here = this.live.get(pfn);
    if (here === undefined) this.live.set(pfn, [mapping]);
    else here.push(mapping);
    this.mapped++;
    return pfn;
  }

  /** @throws `ERR_NETMEM_DMA_NOT_MAPPED`, `ERR_NETMEM_DMA_MISMATCH` (EINVAL); upstream is not asked then. */
  unmap(pfn: number, order: number, dir: DmaDir): void {
    const here = this.mappingsAt(pfn);
    const n = here.findIndex((mapping) => mapping.order === order && mapping.dir === dir);
    if (n < 0) failMismatch(this.name, pfn, order, dir, describeAll(here));
    this.upstream.unmap(pfn, order, dir);
    here.splice(n, 1);
    if (here.length === 0) this.live.delete(pfn);
    this.mapped--;
  }

  /** @throws `ERR_NETMEM_DMA_NOT_MAPPED`, `ERR_NETMEM_DMA_SYNC_RANGE`, `ERR_NETMEM_DMA_SYNC_DIR` (EINVAL) */
  syncForDevice(pfn: number, offset: number, len: number, dir: DmaDir): void {
    this.checkSync(pfn, offset, len, dir);
    this.upstream.syncForDevice(pfn, offset, len, dir);
  }

  /** @throws `ERR_NETMEM_DMA_NOT_MAPPED`, `ERR_NETMEM_DMA_SYNC_RANGE`, `ERR_NETMEM_DMA_SYNC_DIR` (EINVAL) */
  syncForCpu(pfn: number, offset: number, len: number, dir: DmaDir): void {
    this.checkSync(pfn, offset, len, dir);
    this.upstream.syncForCpu(pfn, offset, len, dir);
  }

  translateMany(pfns: Int32Array, n: number, access?: DmaDir): void {
    this.upstream.translateMany(pfns, n, access);
  }

  /** Everything that is mapped, oldest first for each address. */
  liveMappings(): LiveMapping[] {
    return [...this.live.values()].flat();
  }

  /** @throws `ERR_NETMEM_DMA_STILL_MAPPED` (EBUSY) naming what was not unmapped; `value` is {@link liveMappings}. */
  assertBalanced(): void {
    if (this.mapped === 0) return;
    const value = this.liveMappings();
    throw new NetmemError({
      code: "ERR_NETMEM_DMA_STILL_MAPPED",
      errno: "EBUSY",
      reason: `${value.length} mappings of ${this.name} are live: ${describeAll(value)}`,
      remedy: "Unmap each once, or destroy the pool that holds it.",
      param: "device",
      value,
    });
  }

  private checkSync(pfn: number, offset: number, len: number, dir: DmaDir): void {
    const here = this.mappingsOver(pfn);
    const fitting = here.filter((mapping) => mapping.dir === dir || mapping.dir === DmaDir.Bidirectional);
    if (fitting.length === 0) failSyncDir(this.name, dir, describeAll(here));
    const bytes = Math.max(...fitting.map((one) => (one.pfn + 2 ** one.order - pfn) * 2 ** this.pageShift));
    if (!(offset >= 0 && len >= 0 && offset + len <= bytes)) failSyncRange(this.name, offset, len, bytes);
  }

  /** Mappings that start at the page, else those that it is in. */
  private mappingsOver(pfn: number): LiveMapping[] {
    for (let first = pfn; first > pfn - 2 ** this.maxOrder; first--) {
      const over = this.live.get(first)?.filter(({ order }) => first + 2 ** order > pfn) ?? [];
      if (over.length > 0) return over;
    }
    return failNotMapped(this.name, pfn);
  }

  private mappingsAt(pfn: number): LiveMapping[] {
    return this.live.get(pfn) ?? failNotMapped(this.name, pfn);
  }
}

function describeAll(mappings: readonly LiveMapping[]): string {
  return mappings
    .map(({ ref, pfn, order, dir }) => `${describeMapping(pfn, order, dir)} of ref 0x${ref.toString(16)}`)
    .join("; ");
}

/**
 * Checks that every unmap matches a mapping, once, with its order and direction, and every sync lies inside one (kernel:
 * `DMA_API_DEBUG`). Translation passes through. Refused maps do not count.
 */
export function withBalance(upstream: DmaDevice, options: BalanceOptions = {}): BalancedDevice {
  return new BalancedDevice(upstream, options);
}
