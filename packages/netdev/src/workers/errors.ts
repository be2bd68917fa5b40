import { NetmemError } from "@netmem/core";

/** The worker's thread ended before it ran, or while it was asked to stop. */
export function workerFailed(name: string, what: string, code: string): NetmemError {
  return new NetmemError({
    code: "ERR_NETMEM_WORKER_FAILED",
    reason: `worker ${name} ${what}`,
    remedy: "Look at what its module does; its error is in the message.",
    param: "name",
    value: code === "" ? name : code,
  });
}

export function failUnknownWorker(name: string, known: readonly string[]): never {
  throw new NetmemError({
    code: "ERR_NETMEM_WORKER_UNKNOWN",
    errno: "ESRCH",
    reason: `the group has no worker ${name}; it has: ${known.join(", ") || "none"}`,
    remedy: "Name the worker as in the group's parameters.",
    param: "name",
    value: name,
  });
}

export function failWorkerState(name: string, is: string, wanted: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_WORKER_STATE",
    errno: "EBUSY",
    reason: `worker ${name} is ${is}`,
    remedy: wanted,
    param: "name",
    value: is,
  });
}
