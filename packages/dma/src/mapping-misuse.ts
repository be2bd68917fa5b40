import { DmaDir, NetmemError } from "@netmem/core";

/** A mapping in words, for errors. */
export function describeMapping(pfn: number, order: number, dir: number): string {
  const name = Object.entries(DmaDir).find(([, value]) => value === dir)?.[0] ?? String(dir);
  return `pfn ${pfn}, order ${order}, ${name}`;
}

/** Unmap or sync of an address where no mapping starts: a second unmap, or one that never was mapped. */
export function failNotMapped(device: string, pfn: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_DMA_NOT_MAPPED",
    errno: "EINVAL",
    reason: `no mapping of ${device} starts at page frame ${pfn}`,
    remedy: "Unmap once, and sync before unmapping, with the page frame number that map returned.",
    param: "pfn",
    value: pfn,
  });
}

/** Unmap with another order or direction than the mapping has. `live` are the mappings at `pfn`, in words. */
export function failMismatch(device: string, pfn: number, order: number, dir: number, live: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_DMA_MISMATCH",
    errno: "EINVAL",
    reason: `unmap of (${describeMapping(pfn, order, dir)}) on ${device}, which maps (${live}) there`,
    remedy: "Unmap with the order and direction that were mapped.",
    param: "pfn",
    value: pfn,
  });
}

/** Sync of bytes outside the mapping. */
export function failSyncRange(device: string, offset: number, len: number, bytes: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_DMA_SYNC_RANGE",
    errno: "EINVAL",
    reason: `sync of bytes [${offset}, ${offset + len}) on ${device}, of a mapping of ${bytes} bytes`,
    remedy: "Sync inside the mapping; offsets count from its first byte.",
    param: "len",
    value: len,
  });
}

/** Sync in a direction that the mapping does not have. */
export function failSyncDir(device: string, dir: number, live: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_DMA_SYNC_DIR",
    errno: "EINVAL",
    reason: `sync with direction ${dir} on ${device} of a mapping (${live})`,
    remedy: "Sync with the direction that was mapped; a Bidirectional mapping takes any.",
    param: "dir",
    value: dir,
  });
}
