import {
  attachHost as attachCoreHost,
  type AttachParams,
  createHost as createCoreHost,
  type Host,
  type HostParams,
  type NetmemWarning,
  type SharedHost,
} from "@netmem/core";
import { attachPageAllocator, createPageAllocator } from "@netmem/mm";
import { installPagePools } from "@netmem/page-pool";
import { createReturns } from "@netmem/ring";
import { runtime } from "./runtime.ts";
import { SystemClock } from "./system-clock.ts";

/** Core's host parameters, with clock, page allocator, returns between threads and warnings filled in. */
export type DefaultHostParams = Omit<HostParams, "clock" | "pageAllocator"> &
  Partial<Pick<HostParams, "clock" | "pageAllocator">>;

function emitWarning(warning: NetmemWarning): void {
  const { process, console } = runtime();
  if (process?.emitWarning === undefined) console.warn(`${warning.code}: ${warning.message}`);
  else process.emitWarning(warning.message, { type: "NetmemWarning", code: warning.code });
}

/** So that a thread can take over what a worker left: see `Host.reclaim`. */
function withPools(host: Host): Host {
  installPagePools(host);
  return host;
}

/**
 * A host over a new arena: buddy page allocator, the runtime's clock, returns from worker threads, warnings through the
 * runtime.
 *
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL), `ERR_NETMEM_NO_MEMORY` (ENOMEM), `ERR_NETMEM_DUPLICATE_CORE`.
 */
export function createHost(params: DefaultHostParams): Host {
  const host = createCoreHost({
    clock: new SystemClock(),
    pageAllocator: createPageAllocator,
    returns: createReturns,
    onWarning: emitWarning,
    ...params,
  });
  return withPools(host);
}

/**
 * The host of another thread, from what its `share()` returned: this thread may allocate, make pools of its own and return
 * any buffer. Call `host.detach()` when done; if the thread dies instead, another calls `host.reclaim(workerId)`.
 *
 * @throws `ERR_NETMEM_LAYOUT_MISMATCH`, `ERR_NETMEM_WORKERS_EXHAUSTED` (ENOSPC).
 */
export function attachHost(shared: SharedHost, params: Partial<AttachParams> = {}): Host {
  const host = attachCoreHost(shared, {
    clock: new SystemClock(),
    pageAllocator: attachPageAllocator,
    returns: createReturns,
    onWarning: emitWarning,
    ...params,
  });
  return withPools(host);
}
