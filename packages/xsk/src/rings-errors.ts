import { type Host, idxOf, metaStateName, NetmemError, type NetmemRef } from "@netmem/core";
import type { Umem } from "./umem.ts";

function describe(host: Host, umem: Umem, ref: NetmemRef): string {
  const idx = idxOf(ref);
  const chunk = idx - umem.firstIdx;
  if ((ref & 1) !== umem.tag || chunk < 0 || chunk >= umem.chunkCount) return "no chunk of this UMEM";
  if (host.i32[umem.statesAt + chunk] !== 0) return "with the kernel already";
  return `${metaStateName(host.i32[idx]!)}, or held more than once`;
}

/** Throws `ERR_NETMEM_XSK_NOT_POSTABLE`. */
export function failPost(umem: Umem, value: number, entryIdx: number): never {
  const ref = value as NetmemRef;
  throw new NetmemError({
    code: "ERR_NETMEM_XSK_NOT_POSTABLE",
    reason: `entry ${entryIdx}, ref 0x${(value >>> 0).toString(16)}, is ${describe(umem.host, umem, ref)}`,
    remedy: `Post live buffers of the UMEM that nobody else holds; entry ${entryIdx} and the rest are still yours.`,
    param: `refs[${entryIdx}]`,
    value,
  });
}

/** Throws `ERR_NETMEM_XSK_STILL_OPEN`. */
export function failStillOpen(users: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_XSK_STILL_OPEN",
    errno: "EBUSY",
    reason: `${users} sockets of the queue are open`,
    remedy: "Call close() on each, and released() once the kernel has let go of the queue.",
    param: "users",
    value: users,
  });
}
