import {
  isNetmemError,
  type MemoryProviderOps,
  type Napi,
  NetmemError,
  type NetmemRef,
  type PoolHandle,
} from "@netmem/core";
import type { PoolState } from "./pool-state.ts";

/** Throws `ERR_NETMEM_NOT_A_PAGE`. */
export function failNotPage(pool: PoolHandle & { readonly name: string }): never {
  throw new NetmemError({
    code: "ERR_NETMEM_NOT_A_PAGE",
    reason: `${pool.name} ${pool.id} gives net_iovs, not pages`,
    remedy: "Use allocNetmem and pass the buffer on without touching its bytes.",
    param: "pool",
    value: pool.id,
  });
}

/** Throws `ERR_NETMEM_REF_UNDERFLOW`. */
export function failFragment(ref: NetmemRef, n: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_REF_UNDERFLOW",
    reason: `cannot count ${n} references on ref 0x${ref.toString(16)}: it has other holders, or not that many`,
    remedy: "Fragment buffers that you hold alone, and drop only references that you have.",
    param: "n",
    value: n,
  });
}

/** Throws `ERR_NETMEM_NAPI_SET` (EBUSY). */
export function failNapi(current: Napi, wanted: Napi): never {
  throw new NetmemError({
    code: "ERR_NETMEM_NAPI_SET",
    errno: "EBUSY",
    reason: `the pool belongs to NAPI ${current.id}, not ${wanted.id}`,
    remedy: "Call disableDirectRecycling first.",
    param: "napi",
    value: wanted.id,
  });
}

/** Throws `ERR_NETMEM_POOL_DESTROYED`. */
export function failDestroyed(pool: PoolState, what: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_POOL_DESTROYED",
    reason: `${what} on ${pool.params.name} ${pool.id} after destroy()`,
    remedy: "Stop the queue before destroying its pool, or keep a reference with get().",
    param: "pool",
    value: pool.id,
  });
}

/** Throws what a provider's hook threw: a coded error as it is, any other as `ERR_NETMEM_PROVIDER_FAILED` (EFAULT). */
export function failProviderHook(provider: MemoryProviderOps, hook: keyof MemoryProviderOps, cause: unknown): never {
  if (isNetmemError(cause)) throw cause;
  throw new NetmemError({
    code: "ERR_NETMEM_PROVIDER_FAILED",
    errno: "EFAULT",
    reason: `${hook} of provider ${provider.name} threw ${String(cause)}`,
    remedy: "Mend the provider: its hooks throw coded errors or nothing. The pool has lost nothing and may be used on.",
    param: "provider",
    value: provider.name,
    cause,
  });
}
