import { type Host, NetmemError } from "@netmem/core";
import { type ArenaMap, openArenaMap, openSystem, type System, Wakeup } from "@netmem/linux";
import { createUmem, type Umem } from "@netmem/xsk";
import { AfXdpPort, type AfXdpPortParams } from "./af-xdp-port.ts";
import { failClosed } from "./errors.ts";
import { BLIND_WAIT_MS } from "./release-watch.ts";
import { sleepMs } from "./sleep.ts";

/** Longer than what a kernel that does not tell is given: 1.3 seconds. */
const SETTLE_MS = BLIND_WAIT_MS + 300;

export interface AfXdpParams {
  /** The calls to use. Default: opened here. */
  readonly system?: System;
}

/**
 * AF_XDP for one host: the arena's packet pages are the UMEM of every socket, so that a page goes from any pool to any
 * ring, and from one interface to another, without a copy. One per host, on the thread that owns its page allocator.
 */
export class AfXdp {
  readonly host: Host;
  readonly system: System;
  /** The calls per burst. */
  readonly wakeup: Wakeup;
  readonly umem: Umem;
  /** @internal */
  readonly map: ArenaMap;
  private readonly ports = new Set<AfXdpPort>();
  private isClosed = false;

  /** @internal Use {@link openAfXdp}. */
  constructor(host: Host, system: System) {
    this.host = host;
    this.system = system;
    this.wakeup = new Wakeup(system);
    this.map = openArenaMap(system, host);
    this.umem = createUmem(host);
  }

  /**
   * Opens an interface: reads what it is, puts the program in force. Queues are bound when their drivers start.
   *
   * @throws `ERR_NETMEM_XDP_NO_INTERFACE` (ENODEV), `ERR_NETMEM_XDP_DEFAULT_ROUTE` (EPERM), `ERR_NETMEM_XDP_ATTACHED`
   * (EBUSY), `ERR_NETMEM_XDP_PERMISSION` (EPERM), `ERR_NETMEM_INVALID_PARAM` (EINVAL), `ERR_NETMEM_XDP_CLOSED` (EBADF),
   * `SystemCallError`. Nothing is left then.
   */
  openPort(params: AfXdpPortParams): AfXdpPort {
    if (this.isClosed) failClosed("afXdp", "AF_XDP of this host");
    const make = (): AfXdpPort => new AfXdpPort(this, params);
    const port = params.namespace === undefined ? make() : params.namespace.run(make);
    this.ports.add(port);
    return port;
  }

  /**
   * Waits, blocking the thread, until the kernel has let go of every queue that was closed: some 20 ms, or a second where
   * it does not tell. False after `timeoutMs`, default 1300: the buffers that it may still have stay quarantined.
   */
  settle(timeoutMs: number = SETTLE_MS): boolean {
    const endMs = performance.now() + timeoutMs;
    for (;;) {
      let isSettled = true;
      for (const port of this.ports) {
        if (!port.settle()) isSettled = false;
        else if (port.isClosed) this.ports.delete(port);
      }
      if (isSettled) return true;
      if (performance.now() >= endMs) return false;
      sleepMs(1);
    }
  }

  /**
   * Closes every port, waits up to 1.3 seconds for the kernel to let go, and gives up the UMEM. More calls do nothing.
   * @throws `ERR_NETMEM_XDP_NOT_SETTLED` (EBUSY) when the kernel still has buffers; call it again later.
   */
  close(): void {
    for (const port of this.ports) port.close();
    if (!this.settle()) failNotSettled();
    if (this.isClosed) return;
    this.isClosed = true;
    this.umem.dispose();
    this.map.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function failNotSettled(): never {
  throw new NetmemError({
    code: "ERR_NETMEM_XDP_NOT_SETTLED",
    errno: "EBUSY",
    reason: "the kernel still has buffers of queues that were closed",
    remedy: "Call close() again later; until then those buffers are out of use, and nothing else is.",
    param: "umem",
  });
}

/**
 * AF_XDP for a host.
 * @throws `ERR_NETMEM_UNSUPPORTED_PLATFORM` (ENOSYS), `ERR_NETMEM_KOFFI_MISSING` (ENOSYS),
 * `ERR_NETMEM_ARENA_NOT_MAPPABLE` (ENOTSUP), `ERR_NETMEM_NO_MEMORY` (ENOMEM)
 */
export function openAfXdp(host: Host, { system = openSystem() }: AfXdpParams = {}): AfXdp {
  return new AfXdp(host, system);
}
