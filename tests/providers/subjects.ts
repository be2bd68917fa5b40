import { WindowProvider } from "@netmem-examples/custom-provider/window-provider";
import {
  createHost,
  type Host,
  type HostParams,
  type HugeBacking,
  type MemoryProviderOps,
  type NetmemWarning,
} from "@netmem/core";
import { createIommuDevice, type IommuDevice, withBalance } from "@netmem/dma";
import {
  createHugeProvider,
  createHugeSliceProvider,
  createHugeSplitProvider,
  createModelBacking,
  type ModelBacking,
} from "@netmem/hugepage";
import { createPageAllocator } from "@netmem/mm";
import type { ProviderSubject } from "@netmem/page-pool/conformance";
import { VirtualClock } from "@netmem/testing";

export const MIB = 2 ** 20;

export interface Stand {
  readonly host: Host;
  readonly clock: VirtualClock;
  readonly iommu: IommuDevice;
  readonly warnings: NetmemWarning[];
}

/** A host behind an IOMMU, every mapping balanced. */
export function makeStand(params: Partial<HostParams> = {}): Stand {
  const clock = new VirtualClock();
  const warnings: NetmemWarning[] = [];
  const iommus: IommuDevice[] = [];
  const host = createHost({
    arenaBytes: 16 * MIB,
    clock,
    pageAllocator: createPageAllocator,
    onWarning: (warning) => warnings.push(warning),
    dma: (one) => {
      iommus.push(createIommuDevice(one));
      return withBalance(iommus[0]!);
    },
    ...params,
  });
  return { host, clock, iommu: iommus[0]!, warnings };
}

/** What a kind of provider needs to become a subject. */
export interface ProviderKind {
  readonly name: string;
  readonly arenaBytes?: number;
  readonly backing?: (host: Host) => ModelBacking;
  readonly make: (host: Host, backing: HugeBacking) => MemoryProviderOps;
  readonly capacity: number | null;
  readonly subject?: Pick<ProviderSubject, "params" | "refused">;
}

const orderIsRefused = { refused: [{ params: { order: 1 }, code: "ERR_NETMEM_INVALID_PARAM" }] };

export const kinds: readonly ProviderKind[] = [
  {
    name: "huge",
    make: (host, backing) => createHugeProvider(host, { backing, chunks: 2, fallback: false }),
    capacity: 1024,
    subject: orderIsRefused,
  },
  {
    name: "huge with single pages behind it",
    arenaBytes: 8 * MIB,
    make: (host, backing) => createHugeProvider(host, { backing, chunks: 1 }),
    capacity: null,
    subject: orderIsRefused,
  },
  {
    name: "huge in an arena at an odd address",
    backing: (host) => createModelBacking(host, { firstOffset: 65536 }),
    make: (host, backing) => createHugeProvider(host, { backing, chunks: 2, fallback: false }),
    capacity: 1024,
    subject: orderIsRefused,
  },
  {
    name: "huge split",
    arenaBytes: 8 * MIB,
    make: (host, backing) => createHugeSplitProvider(host, { backing }),
    capacity: null,
    subject: orderIsRefused,
  },
  {
    name: "huge split into small blocks",
    arenaBytes: 8 * MIB,
    make: (host) => createHugeSplitProvider(host, { maxOrder: 5 }),
    capacity: null,
    subject: orderIsRefused,
  },
  {
    name: "slices of gigantic pages, blocks of four pages",
    arenaBytes: 64 * MIB,
    backing: (host) => createModelBacking(host, { pageBytes: 8 * MIB }),
    make: (host, backing) => createHugeSliceProvider(host, { backing, sliceBytes: MIB, maxPages: 4 }),
    // Per pool: each has its slice.
    capacity: 64,
    subject: { params: { order: 2 }, refused: [{ params: { order: 10 }, code: "ERR_NETMEM_INVALID_PARAM" }] },
  },
  {
    name: "net_iovs of a window",
    make: (host) => new WindowProvider(host, 8),
    capacity: 256,
    subject: orderIsRefused,
  },
];

/** A subject of one kind, `wrap`ped. `capacity` is what comes out of the wrapping, absent for what goes in. */
export function makeSubject(
  kind: ProviderKind,
  wrap: (upstream: MemoryProviderOps, host: Host) => MemoryProviderOps = (upstream) => upstream,
  capacity: number | null = kind.capacity,
): ProviderSubject {
  const { host, clock, iommu } = makeStand({ arenaBytes: kind.arenaBytes ?? 16 * MIB });
  const backing = (kind.backing ?? createModelBacking)(host);
  return {
    host,
    provider: wrap(kind.make(host, backing), host),
    capacity,
    mapsBuffers: true,
    ...kind.subject,
    passTime: (ms) => clock.advance(ms),
    holdings: () => ({ mappings: iommu.stats().mapped, "huge pages": backing.backedCount, timers: clock.pendingCount }),
  };
}
