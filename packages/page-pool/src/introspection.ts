import { failParam, type Host, NetmemError, type PagePoolRecord } from "@netmem/core";
import { inflightOf } from "./inflight.ts";
import type { PoolState } from "./pool-state.ts";
import type { PagePoolStats } from "./stats.ts";

/** One pool as introspection shows it. */
export interface PagePoolInfo extends PagePoolRecord {
  /** Buffers that the page allocator asked back and got; absent while there are none. */
  readonly reclaimed?: number;
}

/** What `page-pool-stats-get` shows of one pool. */
export interface PagePoolStatsRecord {
  readonly info: { readonly id: number; readonly ifindex?: number };
  readonly stats: PagePoolStats;
}

/** A listed pool that has counters. */
interface CountingPool {
  readonly params: { readonly ifindex: number };
  describe(): PagePoolInfo;
  getStats(): PagePoolStats;
}

function providerInfo(pool: PoolState): Record<string, number | string> | undefined {
  if (pool.provider?.fillInfo === undefined) return undefined;
  const info: Record<string, number | string> = {};
  try {
    pool.provider.fillInfo({ set: (name, value) => (info[name] = value) }, null);
  } catch (error) {
    pool.host.warn(
      "WARN_NETMEM_PROVIDER_INFO",
      `provider ${pool.provider.name}, ${pool.params.name}: ${String(error)}`,
    );
  }
  return info;
}

/** The record of one pool (`page_pool_nl_fill`). */
export function describePool(pool: PoolState): PagePoolInfo {
  const inflight = Math.max(0, inflightOf(pool));
  const info = providerInfo(pool);
  return {
    id: pool.id,
    ...(pool.params.ifindex > 0 ? { ifindex: pool.params.ifindex } : {}),
    ...(pool.napi !== null && pool.napi.id > 0 ? { napiId: pool.napi.id } : {}),
    inflight,
    inflightMem: inflight * 2 ** (pool.host.pageShift + pool.order),
    ...(pool.life.detachedAtMs >= 0 ? { detachTime: Math.floor(pool.life.detachedAtMs / 1000) } : {}),
    ...(info === undefined ? {} : { info }),
    ...(pool.life.reclaimed > 0 ? { reclaimed: pool.life.reclaimed } : {}),
  };
}

function visible(host: Host): CountingPool[] {
  return host.pools.list().filter((pool) => "getStats" in pool) as unknown as CountingPool[];
}

function failUnknown(id: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_NO_SUCH_POOL",
    errno: "ENOENT",
    reason: `no page pool has id ${id}`,
    remedy: "List the pools with pagePoolDump(host).",
    param: "id",
    value: id,
  });
}

function find(host: Host, id: number): CountingPool {
  const pool = host.pools.get(id);
  return pool !== null && "getStats" in pool ? (pool as unknown as CountingPool) : failUnknown(id);
}

/** One pool by id (`page-pool-get`). @throws `ERR_NETMEM_NO_SUCH_POOL` (ENOENT) */
export function pagePoolGet(host: Host, id: number): PagePoolInfo {
  return find(host, id).describe();
}

/** Every page pool of the host, detached ones included. */
export function pagePoolDump(host: Host): PagePoolInfo[] {
  return visible(host).map((pool) => pool.describe());
}

/** Counters of one pool (`page-pool-stats-get`). Selecting by device is for the dump, as in the kernel. */
export function pagePoolStatsGet(
  host: Host,
  select: { readonly id?: number; readonly ifindex?: number },
): PagePoolStatsRecord {
  if (select.ifindex !== undefined || select.id === undefined) {
    failParam("ifindex", select.ifindex, "an id instead", "Use pagePoolStatsDump to select by ifindex.");
  }
  return statsRecord(find(host, select.id));
}

/** Counters of every pool, or of those of one device (`ifindex` 1 to 2^31 - 1). */
export function pagePoolStatsDump(host: Host, select: { readonly ifindex?: number } = {}): PagePoolStatsRecord[] {
  const { ifindex } = select;
  if (ifindex !== undefined && !(Number.isInteger(ifindex) && ifindex >= 1 && ifindex <= 0x7fffffff)) {
    failParam("ifindex", ifindex, "an integer from 1 to 2147483647", "Leave it out to see every device.");
  }
  return visible(host)
    .filter((pool) => ifindex === undefined || pool.params.ifindex === ifindex)
    .map(statsRecord);
}

function statsRecord(pool: CountingPool): PagePoolStatsRecord {
  const { id, ifindex } = pool.describe();
  return { info: { id, ...(ifindex === undefined ? {} : { ifindex }) }, stats: pool.getStats() };
}
