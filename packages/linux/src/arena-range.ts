import {
  type Host,
  failParam,
  META_STATE_MASK,
  metaOwner,
  metaStateName,
  META_FREE,
  META_OUT,
  NetmemError,
} from "@netmem/core";

/**
 * The one check that stands before every mapping into the arena: whole units of `unitBytes`, whose address is a multiple
 * of it, inside the arena's pages.
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL).
 */
export function checkRange(host: Host, baseAddress: number, offset: number, bytes: number, unitBytes: number): void {
  const { firstPageIdx, arenaBytes, pageShift } = host.layout;
  const first = firstPageIdx << pageShift;
  if (!Number.isInteger(bytes) || bytes <= 0 || bytes % unitBytes !== 0) {
    failParam("bytes", bytes, `a multiple of ${unitBytes} above 0`, "Pass whole pages.");
  }
  if (!Number.isInteger(offset) || offset < first || offset > arenaBytes - bytes) {
    failParam("offset", offset, `from ${first} to ${arenaBytes - bytes}`, "Pass a range inside the arena's pages.");
  }
  if ((baseAddress + offset) % unitBytes !== 0) {
    const shift = (unitBytes - (baseAddress % unitBytes)) % unitBytes;
    failParam(
      "offset",
      offset,
      `${shift} + n * ${unitBytes}`,
      "Pages need an address that is a multiple of their size.",
    );
  }
}

/**
 * Throws unless the range can be remapped without taking bytes from anybody: none of its pages belongs to a pool, is
 * posted to a kernel ring or on its way home, or has a second holder. That the caller holds it is the caller's word.
 * @throws `ERR_NETMEM_RANGE_IN_USE` (EBUSY) naming the page.
 */
export function checkUnused(host: Host, offset: number, bytes: number): void {
  const first = offset >>> host.pageShift;
  const end = (offset + bytes) / host.pageSizeBytes;
  for (let idx = first; idx < end; idx++) {
    if (!isUnused(host, idx)) failInUse(host, idx);
  }
}

function isUnused(host: Host, idx: number): boolean {
  const meta = host.i32[idx]!;
  const state = meta & META_STATE_MASK;
  if (state === META_FREE) return true;
  return state === META_OUT && host.isPlainOwner(metaOwner(meta)) && host.i32[host.pageRefAt + idx] === 0;
}

function failInUse(host: Host, idx: number): never {
  const meta = host.i32[idx]!;
  throw new NetmemError({
    code: "ERR_NETMEM_RANGE_IN_USE",
    errno: "EBUSY",
    reason: `page ${idx} is ${metaStateName(meta)}, held by owner ${metaOwner(meta)}: its bytes would be lost`,
    remedy: "Remap only blocks that were taken from the page allocator and not handed on.",
    param: "offset",
    value: idx * host.pageSizeBytes,
  });
}
