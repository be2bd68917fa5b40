import { NetmemError } from "@netmem/core";

/** Throws `ERR_NETMEM_NO_HUGE_PAGES` (ENOMEM). */
export function failNoHugePages(wanted: number, found: number, why: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_NO_HUGE_PAGES",
    errno: "ENOMEM",
    reason: `${wanted} huge pages wanted, ${found} to be had: ${why}`,
    remedy: "Ask for fewer, reserve more, or create the provider before other memory is taken.",
    param: "pages",
    value: wanted,
  });
}

/** Throws `ERR_NETMEM_HUGE_RANGE`: something has huge pages already (EBUSY), or has none (EINVAL). */
export function failHugeRange(errno: "EBUSY" | "EINVAL", offsetBytes: number, what: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_HUGE_RANGE",
    errno,
    reason: `the arena at byte ${offsetBytes} ${what}`,
    remedy: "Back a range once, and release what is backed.",
    param: "offsetBytes",
    value: offsetBytes,
  });
}

export const MAP_REFUSED = "ERR_NETMEM_DMA_MAP";

/** Throws {@link MAP_REFUSED} (ENOMEM): the host's device refused a mapping. */
export function failMap(order: number): never {
  throw new NetmemError({
    code: MAP_REFUSED,
    errno: "ENOMEM",
    reason: `the DMA device refused a mapping of ${2 ** order} pages`,
    remedy: "Enlarge the device's address space, or map less.",
    param: "order",
    value: order,
  });
}
