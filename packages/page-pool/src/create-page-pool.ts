import { type Host, type MemoryProviderOps, MemType, NetmemError } from "@netmem/core";
import { adoptPagePool } from "./adopt-pool.ts";
import { abandonPool } from "./lifecycle.ts";
import { checkPageBacked, PagePoolFlag, type PagePoolParams, resolveParams, type ResolvedParams } from "./params.ts";
import { PagePool } from "./page-pool.ts";
import { PoolDma } from "./pool-dma.ts";
import { S_POOL_ID } from "./pool-home.ts";
import { tiePool } from "./pool-ties.ts";
import { failProviderHook } from "./pool-errors.ts";
import { SlowBit } from "./pool-state.ts";
import { setSlow } from "./slow-mode.ts";

/**
 * Lets this thread have page pools, and take over those of a worker that died. `createPagePool` does that by itself; a
 * thread without pools that reclaims workers calls it. Calling it again does nothing.
 */
export function installPagePools(host: Host): void {
  if (host.memTypes.isSupported(MemType.PagePool)) return;
  host.memTypes.install({
    type: MemType.PagePool,
    name: "page_pool",
    // A page pool's return stack is its alloc cache: nothing is left to do with what came home.
    drain: () => {},
    adopt: (ownerId) => adoptPagePool(host, ownerId),
  });
}

function providerOf(host: Host, params: ResolvedParams): MemoryProviderOps | null {
  if ((params.flags & PagePoolFlag.AllowUnreadableNetmem) === 0) return null;
  const provider = params.rxq?.provider ?? null;
  if (provider === null) return null;
  const wanted = PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev;
  if ((params.flags & wanted) !== wanted) {
    failProvider(
      "EOPNOTSUPP",
      "ERR_NETMEM_PROVIDER_DMA",
      "needs DmaMap and DmaSyncDev on its pools",
      "Set both flags.",
      provider,
    );
  }
  if (!host.providers.has(provider)) {
    failProvider(
      "EFAULT",
      "ERR_NETMEM_PROVIDER_UNKNOWN",
      "is not registered on this host",
      "Call host.providers.register first.",
      provider,
    );
  }
  return provider;
}

function failProvider(errno: string, code: string, what: string, remedy: string, provider: MemoryProviderOps): never {
  throw new NetmemError({
    code,
    errno,
    reason: `provider ${provider.name} ${what}`,
    remedy,
    param: "provider",
    value: provider.name,
  });
}

function initProvider(provider: MemoryProviderOps, pool: PagePool): void {
  try {
    provider.init(pool);
  } catch (cause) {
    failProviderHook(provider, "init", cause);
  }
}

/** After the provider had its say: DMA, and the modes that a pool may start in. */
function startPool(pool: PagePool): void {
  const { host, params, debug } = pool;
  if (pool.dmaMap && host.dma !== null) pool.dma = new PoolDma(pool, params, host.dma, pool.provider !== null);
  if (debug !== null) setSlow(pool, SlowBit.Debug, true);
  if (pool.dma?.syncsDevice === true) setSlow(pool, SlowBit.DmaSync, true);
}

/**
 * Makes a page pool on this thread (`page_pool_create`). No buffer is allocated yet. Destroy it when the queue stops.
 *
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) for the first wrong parameter in the kernel's order;
 * `ERR_NETMEM_PROVIDER_DMA` (EOPNOTSUPP), `ERR_NETMEM_PROVIDER_UNKNOWN` (EFAULT), what the provider's `init` throws (`ERR_NETMEM_PROVIDER_FAILED` when
 * that is no coded error);
 * `ERR_NETMEM_NO_DMA_DEVICE` (ENODEV); `ERR_NETMEM_NO_MEMORY` (ENOMEM), `ERR_NETMEM_OWNERS_EXHAUSTED` (ENOSPC).
 */
export function createPagePool(host: Host, params: PagePoolParams = {}): PagePool {
  const resolved = resolveParams(host, params);
  const provider = providerOf(host, resolved);
  if (provider === null) checkPageBacked(host, resolved);
  installPagePools(host);
  const pool = new PagePool(host, resolved, provider, null);
  let initialised = false;
  try {
    if (provider !== null) initProvider(provider, pool);
    initialised = true;
    startPool(pool);
    pool.id = host.pools.reserve(pool);
    pool.i32[pool.countersAt + S_POOL_ID] = pool.id;
    tiePool(pool);
    host.pools.publish("add", pool.id);
    return pool;
  } catch (error) {
    abandonPool(pool, initialised);
    throw error;
  }
}
