/** Pools on the page allocator and on providers, made alike. */

import { withLimit, withLog, withStats } from "@netmem/adaptors";
import { AllocationLog } from "@netmem/adaptors";
import type { DmaDevice, Host, MemoryProviderOps } from "@netmem/core";
import { createHugeProvider, createHugeSplitProvider, createModelBacking } from "@netmem/hugepage";
import { createHost, createPagePool, PagePoolFlag, type PagePool, type PagePoolParams } from "netmem";

const ARENA_BYTES = 64 * 2 ** 20;
const CHUNKS = 16;

export type Kind = "pages" | "huge" | "split" | "adaptors3";

function makeProvider(kind: Kind, host: Host): MemoryProviderOps {
  const backing = createModelBacking(host);
  if (kind === "split") return createHugeSplitProvider(host, { backing });
  const huge = createHugeProvider(host, { backing, chunks: CHUNKS });
  if (kind === "huge") return huge;
  return withStats(withLimit(withLog(huge, new AllocationLog({ maxWords: 16 })), 2 ** 14));
}

/** A pool of each kind on a host of its own. `dma`: for the page allocator's pool as well. */
export function makePool(kind: Kind, params: PagePoolParams = {}, dma?: (host: Host) => DmaDevice): PagePool {
  const host = createHost({ arenaBytes: ARENA_BYTES, ...(dma === undefined ? {} : { dma }) });
  const flags = PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev;
  if (kind === "pages") {
    return createPagePool(host, dma === undefined ? params : { flags, maxLenBytes: 4096, ...params });
  }
  const provider = makeProvider(kind, host);
  host.providers.register(provider);
  return createPagePool(host, {
    flags: flags | PagePoolFlag.AllowUnreadableNetmem,
    maxLenBytes: 4096,
    rxq: { ifindex: 1, queueIdx: 0, provider },
    ...params,
  });
}
