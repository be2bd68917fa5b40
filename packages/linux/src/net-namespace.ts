import { NetmemError } from "@netmem/core";
import { Errno } from "./errno.ts";
import { builtin, ownPid } from "./node-builtins.ts";
import { CLONE_NEWNET } from "./socket-abi.ts";
import { SystemCallError } from "./system-call-error.ts";
import type { System } from "./system.ts";

const OWN_NAMESPACE = "/proc/thread-self/ns/net";

/**
 * A network namespace that this process alone holds, by a file descriptor: it has no name, and is gone with all that is
 * in it when the descriptor is closed, by {@link close} or by the end of the process, however it ends.
 */
export class NetNamespace {
  /** Descriptor that names it, for `setns` and rtnetlink. */
  readonly fd: number;
  private readonly system: System;
  private open = true;

  /** @internal Use {@link createNetNamespace}. */
  constructor(system: System, fd: number) {
    this.system = system;
    this.fd = fd;
  }

  /** A path that other processes can use while it is open: `nsenter --net=PATH tcpdump -i veth0`. */
  get path(): string {
    return `/proc/${ownPid()}/fd/${this.fd}`;
  }

  /**
   * Runs `work` with this thread in the namespace. What is made there stays there: sockets, child processes, workers. It
   * must be synchronous: what follows an `await` would run in the namespace that the thread came from.
   * @throws `SystemCallError`, EBADF when it is closed; what `work` throws; `ERR_NETMEM_ASYNC_IN_NAMESPACE` when it
   * returned a promise.
   */
  run<Result>(work: () => Result): Result {
    // The number of a closed descriptor may be another namespace's by now.
    if (!this.open) throw new SystemCallError("setns", Errno.EBADF, { action: "enter a closed network namespace" });
    const fs = builtin("node:fs");
    const back = fs.openSync(OWN_NAMESPACE, "r");
    try {
      this.system.check("setns", this.system.setns(this.fd, CLONE_NEWNET), { action: "enter a network namespace" });
      return refusePromise(work());
    } finally {
      returnTo(this.system, back);
      fs.closeSync(back);
    }
  }

  /** Lets it go. Sockets, processes and workers that are in it keep it until they end. More calls do nothing. */
  close(): void {
    if (this.open) builtin("node:fs").closeSync(this.fd);
    this.open = false;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function refusePromise<Result>(result: Result): Result {
  if (typeof (result as { then?: unknown } | null | undefined)?.then !== "function") return result;
  throw new NetmemError({
    code: "ERR_NETMEM_ASYNC_IN_NAMESPACE",
    errno: "EINVAL",
    reason: "the work of NetNamespace.run returned a promise, and its rest would run in another namespace",
    remedy: "Make sockets, processes and workers synchronously inside run, and wait for them outside.",
    param: "work",
  });
}

/**
 * Makes an empty network namespace: a loopback interface, which is down, and nothing else. This thread stays where it
 * was.
 * @throws `SystemCallError`: EPERM without CAP_SYS_ADMIN.
 */
export function createNetNamespace(system: System): NetNamespace {
  const fs = builtin("node:fs");
  const back = fs.openSync(OWN_NAMESPACE, "r");
  try {
    system.check("unshare", system.unshare(CLONE_NEWNET), { action: "make a network namespace" });
    try {
      return new NetNamespace(system, fs.openSync(OWN_NAMESPACE, "r"));
    } finally {
      returnTo(system, back);
    }
  } finally {
    fs.closeSync(back);
  }
}

function returnTo(system: System, fd: number): void {
  system.check("setns", system.setns(fd, CLONE_NEWNET), {
    action: "return to the thread's own network namespace",
    remedy: "End the process: this thread is in the wrong namespace.",
  });
}
