import { type Host, MemType } from "@netmem/core";
import { XskBuffPool, type XskBuffPoolParams } from "./xsk-buff-pool.ts";

/** Lets buffers of the type be registered and returned on this host; a second time does nothing. */
function installModel(host: Host): void {
  if (host.memTypes.modelOf(MemType.XskBuffPool) !== null) return;
  host.memTypes.install({
    type: MemType.XskBuffPool,
    name: "xsk_buff_pool",
    drain: (ownerId, refs, count) => {
      const owner = host.owners.get(ownerId);
      if (owner instanceof XskBuffPool) owner.takeHome(refs, count);
    },
  });
}

/**
 * A pool of net_iovs over the chunks of a UMEM; it belongs to the calling thread. Takes one descriptor of the netmem table
 * and 24 bytes of the arena per chunk.
 *
 * @throws `ERR_NETMEM_TABLE_FULL` (ENOSPC), `ERR_NETMEM_OWNERS_EXHAUSTED` (ENOSPC), `ERR_NETMEM_NO_MEMORY` (ENOMEM)
 */
export function createXskBuffPool(host: Host, params: XskBuffPoolParams): XskBuffPool {
  installModel(host);
  return new XskBuffPool(host, params);
}
