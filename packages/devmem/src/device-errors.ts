import { NetmemError } from "@netmem/core";

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
