import { type Host, type MemModel, type MemoryProviderOps, MemType, NetmemError } from "@netmem/core";
import { abandonPool } from "./lifecycle.ts";
import { checkPageBacked, PagePoolFlag, type PagePoolParams, resolveParams, type ResolvedParams } from "./params.ts";
import { PagePool } from "./page-pool.ts";
import { PoolDma } from "./pool-dma.ts";
import { SlowBit } from "./pool-state.ts";
import { registerShrinker } from "./reclaim.ts";
import { setSlow } from "./slow-mode.ts";

/** A page pool's return stack is its alloc cache: nothing is left to do with what came home. */
const pagePoolModel: MemModel = { type: MemType.PagePool, name: "page_pool", drain: () => {} };

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

/** After the provider had its say: DMA, the modes that a pool may start in, what it listens to. */
function startPool(pool: PagePool): void {
  const { host, params, debug } = pool;
  if (pool.dmaMap && host.dma !== null) pool.dma = new PoolDma(pool, params, host.dma, pool.provider !== null);
  if (debug !== null) setSlow(pool, SlowBit.Debug, true);
  if (pool.dma?.syncsDevice === true) setSlow(pool, SlowBit.DmaSync, true);
  const followHardirq = (): void => setSlow(pool, SlowBit.Hardirq, host.context.hardirq);
  followHardirq();
  pool.life.undo.push(host.context.onHardirq(followHardirq));
}

/**
 * Makes a page pool on this thread (`page_pool_create`). No buffer is allocated yet. Destroy it when the queue stops.
 *
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) for the first wrong parameter in the kernel's order;
 * `ERR_NETMEM_PROVIDER_DMA` (EOPNOTSUPP), `ERR_NETMEM_PROVIDER_UNKNOWN` (EFAULT), what the provider's `init` throws;
 * `ERR_NETMEM_NO_DMA_DEVICE` (ENODEV); `ERR_NETMEM_NO_MEMORY` (ENOMEM), `ERR_NETMEM_OWNERS_EXHAUSTED` (ENOSPC).
 */
export function createPagePool(host: Host, params: PagePoolParams = {}): PagePool {
  const resolved = resolveParams(host, params);
  const provider = providerOf(host, resolved);
  if (provider === null) checkPageBacked(host, resolved);
  if (!host.memTypes.isSupported(MemType.PagePool)) host.memTypes.install(pagePoolModel);
  const pool = new PagePool(host, resolved, provider);
  let initialised = false;
  try {
    provider?.init(pool);
    initialised = true;
    startPool(pool);
    pool.id = host.pools.reserve(pool);
    registerShrinker(pool);
    host.pools.publish("add", pool.id);
    return pool;
  } catch (error) {
    abandonPool(pool, initialised);
    throw error;
  }
}
