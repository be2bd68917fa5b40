import { type DmaDir, failParam, type Host, NetmemError, type PoolHandle } from "@netmem/core";

/** Throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) unless the pool is of the host, has buffers of one page and maps them. */
export function checkPool(host: Host, pool: PoolHandle, maxOrder: number): void {
  if (pool.host !== host) failParam("pool", pool.id, "a pool of the provider's host", "Make a provider per host.");
  if (pool.order > maxOrder) failParam("order", pool.order, `at most ${maxOrder}`, "Ask for smaller buffers.");
  if (!pool.dmaMap) failParam("flags", 0, "DmaMap", "Set PagePoolFlag.DmaMap.");
}

/** Throws `ERR_NETMEM_HUGE_DMA_DIR` (EINVAL): the chunks are mapped once, for all pools. */
export function checkDir(mapped: DmaDir, wanted: DmaDir): void {
  if (mapped === wanted) return;
  throw new NetmemError({
    code: "ERR_NETMEM_HUGE_DMA_DIR",
    errno: "EINVAL",
    reason: `the provider's memory is mapped in direction ${mapped}, the pool wants ${wanted}`,
    remedy: "Give all pools of a provider one dmaDir, or make another provider.",
    param: "dmaDir",
    value: wanted,
  });
}
