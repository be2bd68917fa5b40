import { type DmaDevice, type DmaDir, idxOf, type NetmemRef } from "@netmem/core";
import type { FaultInjector } from "@netmem/testing";

interface Mapping {
  readonly order: number;
  readonly dir: DmaDir;
}

export interface SyncCall {
  readonly pfn: number;
  readonly offset: number;
  readonly len: number;
}

/** A device that only keeps books: live mappings, syncs, mistakes. Page frame number = netmem index + 1000. */
export class FakeDmaDevice implements DmaDevice {
  readonly name = "fake";
  readonly needsSync: boolean;
  readonly live = new Map<number, Mapping>();
  readonly syncs: SyncCall[] = [];
  readonly cpuSyncs: SyncCall[] = [];
  maps = 0;
  unmaps = 0;
  private readonly faults: FaultInjector | null;

  constructor(options: { readonly needsSync?: boolean; readonly faults?: FaultInjector } = {}) {
    this.needsSync = options.needsSync ?? true;
    this.faults = options.faults ?? null;
  }

  map(ref: NetmemRef, order: number, dir: DmaDir): number {
    if (this.faults?.shouldFail("dma.map") === true) return 0;
    const pfn = idxOf(ref) + 1000;
    if (this.live.has(pfn)) throw new Error(`${pfn} is mapped twice`);
    this.live.set(pfn, { order, dir });
    this.maps++;
    return pfn;
  }

  unmap(pfn: number, order: number, dir: DmaDir): void {
    const mapping = this.live.get(pfn);
    if (mapping === undefined || mapping.order !== order || mapping.dir !== dir) throw new Error(`bad unmap of ${pfn}`);
    this.live.delete(pfn);
    this.unmaps++;
  }

  syncForDevice(pfn: number, offset: number, len: number, dir: DmaDir): void {
    if (this.live.get(pfn)?.dir !== dir) throw new Error(`sync of ${pfn}, which is not mapped like that`);
    this.syncs.push({ pfn, offset, len });
  }

  syncForCpu(pfn: number, offset: number, len: number, dir: DmaDir): void {
    const mapping = this.live.get(pfn);
    if (mapping !== undefined && mapping.dir !== dir) throw new Error(`sync of ${pfn}, which is not mapped like that`);
    this.cpuSyncs.push({ pfn, offset, len });
  }

  translateMany(pfns: Int32Array, n: number): void {
    for (let k = 0; k < n; k++) pfns[k] = this.live.has(pfns[k]!) ? (pfns[k]! - 1000) << 12 : -1;
  }
}
