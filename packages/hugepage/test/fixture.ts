import {
  createHost,
  DmaDir,
  GEN_ONE,
  getNetmem,
  type Host,
  type HostParams,
  IDX_MASK,
  isNetmemError,
  makePlain,
  type MemoryProviderOps,
  NetmemState,
  type NetmemRef,
  type NetmemWarning,
  ownerTag,
  type PoolHandle,
  putNetmem,
  REF_MASK,
} from "@netmem/core";
import { createIommuDevice, type IommuDevice, withBalance } from "@netmem/dma";
import { createPageAllocator } from "@netmem/mm";
import { VirtualClock } from "@netmem/testing";
import { expect } from "vitest";

export const MIB = 2 ** 20;

export interface Bench {
  readonly host: Host;
  readonly clock: VirtualClock;
  readonly warnings: NetmemWarning[];
  readonly iommu: IommuDevice;
  /** Live mappings, and that each ends once. */
  readonly mapped: () => number;
}

export function makeBench(params: Partial<HostParams> = {}): Bench {
  const clock = new VirtualClock();
  const warnings: NetmemWarning[] = [];
  let iommu: IommuDevice | null = null;
  const host = createHost({
    arenaBytes: 32 * MIB,
    clock,
    pageAllocator: createPageAllocator,
    onWarning: (warning) => warnings.push(warning),
    dma: (one) => {
      iommu = createIommuDevice(one);
      return withBalance(iommu);
    },
    ...params,
  });
  return { host, clock, warnings, iommu: iommu!, mapped: () => iommu?.stats().mapped ?? 0 };
}

/** What a page pool does with a provider's buffers, and no more: takes them out, gives them back with the next generation. */
export class BarePool implements PoolHandle {
  readonly host: Host;
  readonly id = 1;
  readonly ownerId: number;
  readonly order: number;
  readonly nid = -1;
  readonly dmaDir: DmaDir;
  readonly dmaMap: boolean;
  dmaSync = true;
  dmaSyncCpu = true;
  readonly rxq = null;
  private provider: MemoryProviderOps;
  private readonly tag: number;

  constructor(
    host: Host,
    provider: MemoryProviderOps,
    params: { readonly order?: number; readonly dmaMap?: boolean; readonly dmaDir?: DmaDir } = {},
  ) {
    this.host = host;
    this.provider = provider;
    this.ownerId = host.layout.maxOwners - 1;
    this.tag = ownerTag(this.ownerId, NetmemState.Out);
    this.order = params.order ?? 0;
    this.dmaMap = params.dmaMap ?? true;
    this.dmaDir = params.dmaDir ?? DmaDir.Bidirectional;
    provider.init(this);
  }

  /** Up to `count` buffers, asked for 64 at a time. */
  take(count: number): NetmemRef[] {
    const refs: NetmemRef[] = [];
    const out = new Int32Array(64);
    while (refs.length < count) {
      const got = this.provider.allocNetmems(this, out, Math.min(64, count - refs.length));
      if (got === 0) break;
      for (const ref of out.subarray(0, got)) {
        this.host.i32[(ref >>> 1) & IDX_MASK] = this.tag | (ref >>> 21);
        refs.push(ref as NetmemRef);
      }
    }
    return refs;
  }

  /** One buffer home. Returns whether the provider wanted it freed. */
  give(ref: NetmemRef): boolean {
    const { host } = this;
    const idx = (ref >>> 1) & IDX_MASK;
    const isHeld = host.i32[host.pageRefAt + idx] !== 0;
    const next = (isHeld ? ref : (ref + GEN_ONE) & REF_MASK) as NetmemRef;
    if (isHeld) makePlain(host, ref);
    else host.i32[idx] = next >>> 21;
    const put = this.provider.releaseNetmem(this, next);
    if (!put) return false;
    host.i32[host.dmaAt + idx] = 0;
    makePlain(host, next);
    putNetmem(host, next);
    return true;
  }

  giveMany(refs: readonly NetmemRef[]): void {
    for (const ref of refs) this.give(ref);
  }

  /** From now on another provider hears of the pool, which it never accepted: its thread adopted it. */
  moveTo(provider: MemoryProviderOps): void {
    this.provider = provider;
  }

  destroy(): void {
    this.provider.destroy(this);
  }
}

/** Marks a page as held by somebody besides the pool, as `getNetmem` does on a live one. */
export function hold(host: Host, ref: NetmemRef): void {
  getNetmem(host, ref);
}

export function expectCode(code: string, act: () => unknown): Record<string, unknown> {
  let error: unknown;
  try {
    act();
  } catch (thrown) {
    error = thrown;
  }
  expect(isNetmemError(error) ? error.code : error).toBe(code);
  return error as Record<string, unknown>;
}

export function idxsOf(refs: readonly NetmemRef[]): number[] {
  return refs.map((ref) => (ref >>> 1) & IDX_MASK);
}
