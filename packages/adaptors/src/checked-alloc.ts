import { type MemoryProviderOps, NetmemError, type PoolHandle } from "@netmem/core";

/**
 * Asks `upstream` and checks the count: an adaptor that keeps books must not add up nonsense.
 * @throws `ERR_NETMEM_PROVIDER_GARBAGE` (EFAULT), as the pool itself would; what upstream throws.
 */
export function checkedAlloc(upstream: MemoryProviderOps, pool: PoolHandle, out: Int32Array, max: number): number {
  const count = upstream.allocNetmems(pool, out, max);
  if (Number.isInteger(count) && count >= 0 && count <= max) return count;
  throw new NetmemError({
    code: "ERR_NETMEM_PROVIDER_GARBAGE",
    errno: "EFAULT",
    reason: `provider ${upstream.name} returned ${String(count)} buffers of at most ${max}`,
    remedy: "Mend the provider: allocNetmems returns how many references it wrote, 0 to max.",
    param: "provider",
    value: count,
  });
}
