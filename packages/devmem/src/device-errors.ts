import { NetmemError } from "@netmem/core";
import type { DeviceFrag, DeviceMemory } from "./device-memory.ts";

/** Throws `ERR_NETMEM_DEVICE_RANGE` (EFAULT): `param` leaves a device of `sizeBytes` bytes, or is not aligned. */
export function failDeviceRange(param: string, value: unknown, sizeBytes: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_DEVICE_RANGE",
    errno: "EFAULT",
    reason: `${param} is ${String(value)}, which is no aligned range of a device of ${sizeBytes} bytes`,
    remedy: "Stay inside the device; offsets are multiples of its alignBytes.",
    param,
    value,
  });
}

/** What a closed memory rejects with. */
export function deviceClosed(kind: string): NetmemError {
  return new NetmemError({
    code: "ERR_NETMEM_DEVICE_CLOSED",
    errno: "ENODEV",
    reason: `the ${kind} memory is closed`,
    remedy: "Close device memory after its last binding is gone.",
    param: "kind",
    value: kind,
  });
}

/** What a memory rejects with that failed under a landing or readback. */
export function deviceLost(kind: string, cause: unknown): NetmemError {
  return new NetmemError({
    code: "ERR_NETMEM_DEVICE_LOST",
    errno: "EIO",
    reason: `the ${kind} memory failed`,
    remedy: "See the cause; unbind and make new device memory.",
    param: "kind",
    value: kind,
    cause,
  });
}

/** Throws `ERR_NETMEM_LANDING_USED` (EINVAL). */
export function failLandingUsed(): never {
  throw new NetmemError({
    code: "ERR_NETMEM_LANDING_USED",
    errno: "EINVAL",
    reason: "the landing was committed or aborted already",
    remedy: "Begin a new landing for more bytes.",
  });
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
