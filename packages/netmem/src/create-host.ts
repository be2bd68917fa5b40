import {
  attachHost as attachCoreHost,
  type AttachParams,
  createHost as createCoreHost,
  type Host,
  type HostParams,
  type NetmemWarning,
  type SharedHost,
} from "@netmem/core";
import { createPageAllocator } from "@netmem/mm";
import { runtime } from "./runtime.ts";
import { SystemClock } from "./system-clock.ts";

/** Core's host parameters, with clock, page allocator and warnings filled in. */
export type DefaultHostParams = Omit<HostParams, "clock" | "pageAllocator"> &
  Partial<Pick<HostParams, "clock" | "pageAllocator">>;

function emitWarning(warning: NetmemWarning): void {
  const { process, console } = runtime();
  if (process?.emitWarning === undefined) console.warn(`${warning.code}: ${warning.message}`);
  else process.emitWarning(warning.message, { type: "NetmemWarning", code: warning.code });
}

/**
 * A host over a new arena: buddy page allocator, the runtime's clock, warnings through the runtime.
 *
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL), `ERR_NETMEM_NO_MEMORY` (ENOMEM), `ERR_NETMEM_DUPLICATE_CORE`.
 */
export function createHost(params: DefaultHostParams): Host {
  return createCoreHost({
    clock: new SystemClock(),
    pageAllocator: createPageAllocator,
    onWarning: emitWarning,
    ...params,
  });
}

/** The host of another thread, from what its `share()` returned. @throws `ERR_NETMEM_LAYOUT_MISMATCH` */
export function attachHost(shared: SharedHost, params: Partial<AttachParams> = {}): Host {
  return attachCoreHost(shared, { clock: new SystemClock(), onWarning: emitWarning, ...params });
}
