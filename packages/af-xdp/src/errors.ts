import { NetmemError } from "@netmem/core";

/** @internal */
export function failNoInterface(ifname: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_XDP_NO_INTERFACE",
    errno: "ENODEV",
    reason: `there is no interface ${ifname} in this network namespace`,
    remedy: "Name one that `ip link` shows, or pass the namespace that it is in.",
    param: "ifname",
    value: ifname,
  });
}

/** @internal */
export function failDefaultRoute(ifname: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_XDP_DEFAULT_ROUTE",
    errno: "EPERM",
    reason: `the machine is reached through ${ifname}: a default route leaves by it`,
    remedy: "Take another interface, or pass allowDefaultRoute: true if you know what the program takes away.",
    param: "ifname",
    value: ifname,
  });
}

/** @internal */
export function failQueueRange(ifname: string, queueIdx: number, count: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_XDP_QUEUE_RANGE",
    errno: "EINVAL",
    reason: `${ifname} has ${count} RX queues, so there is no queue ${queueIdx}`,
    remedy: "Take a queue below that, or raise the number of channels (ethtool -L).",
    param: "queueIdx",
    value: queueIdx,
  });
}

/** @internal */
export function failQueueBusy(ifname: string, queueIdx: number, waitedMs: number, cause: unknown): never {
  throw new NetmemError({
    code: "ERR_NETMEM_XDP_QUEUE_BUSY",
    errno: "EBUSY",
    reason: `queue ${queueIdx} of ${ifname} has an AF_XDP socket, and still had after ${waitedMs} ms`,
    remedy: "Close the other socket, or take another queue.",
    param: "queueIdx",
    value: queueIdx,
    cause,
  });
}

/** @internal */
export function failMemlock(umemBytes: number, limitBytes: number, cause: unknown): never {
  throw new NetmemError({
    code: "ERR_NETMEM_XDP_MEMLOCK",
    errno: "ENOBUFS",
    reason: `the kernel may not lock the ${umemBytes} bytes of the arena's pages: RLIMIT_MEMLOCK is ${limitBytes}`,
    remedy: `Raise it (ulimit -l ${Math.ceil(umemBytes / 1024)}), give the process CAP_IPC_LOCK, or make the arena smaller.`,
    param: "arenaBytes",
    value: umemBytes,
    cause,
  });
}

/** @internal */
export function failNoZeroCopy(ifname: string, queueIdx: number, why: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_XDP_NO_ZEROCOPY",
    errno: "EOPNOTSUPP",
    reason: `queue ${queueIdx} of ${ifname} cannot be bound in zero-copy mode: ${why}`,
    remedy: 'Ask for mode "zerocopy", which falls back to copying and says so, or take another interface.',
    param: "mode",
    value: "require-zerocopy",
  });
}

/** @internal */
export function failAttached(ifname: string, what: string, cause: unknown): never {
  throw new NetmemError({
    code: "ERR_NETMEM_XDP_ATTACHED",
    errno: "EBUSY",
    reason: `${ifname} has an XDP program already: ${what}`,
    remedy: "Detach it (ip link set dev NAME xdp off), or join it: pass its XSKMAP as `program`.",
    param: "ifname",
    value: ifname,
    cause,
  });
}

/** @internal */
export function failPermission(what: string, capabilities: string, cause: unknown): never {
  throw new NetmemError({
    code: "ERR_NETMEM_XDP_PERMISSION",
    errno: "EPERM",
    reason: `this process may not ${what}: it lacks ${capabilities}`,
    remedy: `Run it as root or with ${capabilities}, or receive open sockets from a process that has them.`,
    param: "capability",
    value: capabilities,
    cause,
  });
}

/** @internal */
export function failClosed(param: "afXdp" | "port", what: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_XDP_CLOSED",
    errno: "EBADF",
    reason: `${what} is closed`,
    remedy: "Open it anew.",
    param,
  });
}

/** What became of an interface under traffic. Not thrown: given to `onFault`. */
export function interfaceGone(ifname: string, queueIdx: number): NetmemError {
  return new NetmemError({
    code: "ERR_NETMEM_XDP_INTERFACE_GONE",
    errno: "ENXIO",
    reason: `${ifname} was removed, and its queue ${queueIdx} with it`,
    remedy: "Close the port; open one on another interface.",
    param: "ifname",
    value: ifname,
  });
}
