import { checkInt, failParam } from "@netmem/core";
import { failDeviceRange } from "./device-errors.ts";
import type { DeviceFrag, DeviceMemory } from "./device-memory.ts";

const PAGE_BYTES = 4096;
const MAX_BYTES = 2 ** 32;

/**
 * `bytes`, when they can be the size of a memory, a landing or its staging: whole pages.
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL)
 */
export function checkPages(param: string, bytes: number, max: number = MAX_BYTES, min: number = PAGE_BYTES): number {
  checkInt(param, bytes, min, max);
  if (bytes % PAGE_BYTES !== 0) failParam(param, bytes, "a multiple of 4096", "Round it up to whole pages.");
  return bytes;
}

/** Throws `ERR_NETMEM_DEVICE_RANGE` unless a landing of that range can be asked for. */
export function checkLandingRange(memory: DeviceMemory, offset: number, lengthBytes: number): void {
  checkRange(memory, "offset", { offset, length: lengthBytes });
  if (offset % memory.alignBytes !== 0) failDeviceRange("offset", offset, memory.sizeBytes);
  if (lengthBytes < 1 || lengthBytes > memory.landingBytes)
    failDeviceRange("lengthBytes", lengthBytes, memory.sizeBytes);
}

/** Bytes of all `frags`; throws `ERR_NETMEM_DEVICE_RANGE` when one of them cannot be read. */
export function checkFrags(memory: DeviceMemory, frags: readonly DeviceFrag[]): number {
  let total = 0;
  for (const frag of frags) {
    checkRange(memory, "frags", frag);
    total += frag.length;
  }
  return total;
}

function checkRange(memory: DeviceMemory, param: string, { offset, length }: DeviceFrag): void {
  const isInside = Number.isInteger(offset) && Number.isInteger(length) && offset >= 0 && length >= 0;
  if (!isInside || offset + length > memory.sizeBytes) failDeviceRange(param, `${offset}+${length}`, memory.sizeBytes);
}
