import { NetmemError } from "@netmem/core";
import { Errno } from "../errno.ts";
import { createNetNamespace, type NetNamespace } from "../net-namespace.ts";
import { builtin } from "../node-builtins.ts";
import { type LinkInfo, RouteSocket, type VethEnd } from "../rtnetlink.ts";
import { SystemCallError } from "../system-call-error.ts";
import type { System } from "../system.ts";

const RUNNING_TIMEOUT_MS = 3000;

/** One end of the cable. */
export interface TestnetEndParams {
  /** Name of the interface. Default "near" / "far". */
  readonly name?: string;
  /** MAC address. Default `02:00:00:00:00:01` / `:02`. */
  readonly address?: string;
  /** IP addresses with prefix. Default none. */
  readonly ips?: readonly string[];
}

export interface TestnetParams {
  readonly near?: TestnetEndParams;
  readonly far?: TestnetEndParams;
  /** RX and TX queues of each end. Default 1. */
  readonly queues?: number;
  /** Default 1500. */
  readonly mtuBytes?: number;
  /** Leave IPv6 on. Default false: the kernel then sends nothing by itself, and packet counts are exact. */
  readonly ipv6?: boolean;
}

/** An interface in a namespace of its own. */
export interface TestnetEnd {
  readonly namespace: NetNamespace;
  readonly link: LinkInfo;
}

/**
 * Two network namespaces of our own with a veth cable between them: `near` for the program, `far` for whom it talks to.
 * Nothing of the machine is touched or reachable, and nothing needs to be installed. Both vanish with {@link close} or
 * with the process, also after `kill -9`: no name, no file and no process holds them.
 */
export class Testnet {
  readonly near: TestnetEnd;
  readonly far: TestnetEnd;

  /** @internal Use {@link createTestnet}. */
  constructor(near: TestnetEnd, far: TestnetEnd) {
    this.near = near;
    this.far = far;
  }

  /** Takes everything down. Sockets and processes that are still inside keep their namespace until they end. */
  close(): void {
    this.near.namespace.close();
    this.far.namespace.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function named(params: TestnetEndParams | undefined, name: string, address: string): Required<TestnetEndParams> {
  return { name: params?.name ?? name, address: params?.address ?? address, ips: params?.ips ?? [] };
}

function disableIpv6(): void {
  builtin("node:fs").writeFileSync("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
  builtin("node:fs").writeFileSync("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
}

function prepare(namespace: NetNamespace, hasIpv6: boolean): void {
  namespace.run(() => {
    // Where the kernel has no IPv6 there is no file, and nothing to turn off.
    if (!hasIpv6 && builtin("node:fs").existsSync("/proc/sys/net/ipv6/conf")) disableIpv6();
  });
}

/** One end on its way up, and the socket that does it. */
interface RisingEnd {
  readonly namespace: NetNamespace;
  readonly name: string;
  readonly route: RouteSocket;
}

function bringUp({ route, name }: RisingEnd, ips: readonly string[]): void {
  for (const { ifindex, name: other } of route.links()) {
    if (other === "lo" || other === name) route.setUp(ifindex);
  }
  const { ifindex } = linkOf(route, name);
  for (const ip of ips) route.addAddress(ifindex, ip);
}

/**
 * The end that came up first drops what it is given until the kernel's link watcher has seen that the other is up too; the
 * second one passes packets at once.
 */
function waitUntilRunning({ route, name }: RisingEnd): void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let waitedMs = 0; waitedMs < RUNNING_TIMEOUT_MS; waitedMs++) {
    const { isRunning, ifindex } = linkOf(route, name);
    // Takes the lock that the watcher works under: what it began it has finished when this returns.
    route.setUp(ifindex);
    if (isRunning) return;
    Atomics.wait(pause, 0, 0, 1);
  }
  throw new NetmemError({
    code: "ERR_NETMEM_LINK_DOWN",
    errno: "ENETDOWN",
    reason: `the cable to ${name} passes nothing after ${RUNNING_TIMEOUT_MS} ms`,
    remedy: "Try again; the kernel's link watcher did not run.",
    param: "name",
    value: name,
  });
}

const settled = ({ namespace, route, name }: RisingEnd): TestnetEnd => ({ namespace, link: linkOf(route, name) });

function linkOf(route: RouteSocket, name: string): LinkInfo {
  const link = route.link(name);
  if (link === null) throw new SystemCallError("netlink RTM_GETLINK", Errno.ENODEV, { action: `find ${name}` });
  return link;
}

function connect(system: System, near: NetNamespace, far: NetNamespace, params: TestnetParams): Testnet {
  const nearEnd = named(params.near, "near", "02:00:00:00:00:01");
  const farEnd = named(params.far, "far", "02:00:00:00:00:02");
  const { queues = 1, mtuBytes: mtu = 1500, ipv6 = false } = params;
  const routes: RouteSocket[] = [];
  const rising = (namespace: NetNamespace, name: string): RisingEnd => {
    prepare(namespace, ipv6);
    const route = namespace.run(() => new RouteSocket(system));
    routes.push(route);
    return { namespace, name, route };
  };
  try {
    const ends = [rising(near, nearEnd.name), rising(far, farEnd.name)] as const;
    const veth = ({ name, address }: Required<TestnetEndParams>): VethEnd => ({ name, address, queues, mtu });
    ends[0].route.addVeth(veth(nearEnd), { ...veth(farEnd), netNsFd: far.fd });
    bringUp(ends[0], nearEnd.ips);
    bringUp(ends[1], farEnd.ips);
    waitUntilRunning(ends[0]);
    return new Testnet(settled(ends[0]), settled(ends[1]));
  } finally {
    for (const route of routes) route.close();
  }
}

/**
 * Makes two namespaces and a cable between them that passes packets when this returns. Some 2 ms.
 * @throws `SystemCallError`: EPERM without CAP_SYS_ADMIN and CAP_NET_ADMIN; `ERR_NETMEM_LINK_DOWN` (ENETDOWN); nothing is left then.
 */
export function createTestnet(system: System, params: TestnetParams = {}): Testnet {
  const near = createNetNamespace(system);
  let far: NetNamespace | null = null;
  try {
    far = createNetNamespace(system);
    return connect(system, near, far, params);
  } catch (error) {
    near.close();
    far?.close();
    throw error;
  }
}
