import { NetmemError } from "@netmem/core";

/** Throws what a system call on an XDP socket answers: `ERR_NETMEM_XSK_<call>` with the kernel's errno. */
export function failCall(
  call: "BIND" | "SOCKOPT",
  errno: string,
  reason: string,
  param: string,
  value: unknown,
): never {
  throw new NetmemError({
    code: `ERR_NETMEM_XSK_${call}`,
    errno,
    reason,
    remedy: REMEDIES[errno] ?? "See bind and setsockopt of AF_XDP.",
    param,
    value,
  });
}

const REMEDIES: Readonly<Record<string, string>> = {
  EINVAL: "Correct the parameter.",
  EBUSY: "Do it once, on a socket or queue that is still free.",
  ENODEV: "Add the device to the kernel first.",
  EBADF: "Bind the socket that is shared first.",
  ENOTSOCK: "Pass the descriptor of a socket.",
  ENOPROTOOPT: "Pass the descriptor of an XDP socket.",
  EOPNOTSUPP: "Bind without BindFlag.ZeroCopy to fall back to copies.",
  EACCES: "Pass 32 to the size of the TX ring.",
};

/** Throws `ERR_NETMEM_XSK_COMPLETED` for a driver that completes what it did not take. */
export function failCompleted(count: number, outstanding: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_XSK_COMPLETED",
    errno: "EINVAL",
    reason: `${count} descriptors completed, ${outstanding} are with the driver`,
    remedy: "Complete each descriptor once.",
    param: "count",
    value: count,
  });
}
