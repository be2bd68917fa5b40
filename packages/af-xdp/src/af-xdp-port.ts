import { checkInt, type NetmemError } from "@netmem/core";
import {
  type BpfMap,
  defaultRouteInterfaces,
  Genetlink,
  isSystemCallError,
  NETLINK_ROUTE,
  NetdevFamily,
  NetlinkSocket,
  type NetNamespace,
  readChannels,
  readInterface,
  type System,
  type XdpMode,
  xdpProgramName,
} from "@netmem/linux";
import { checkRingEntries } from "@netmem/xsk";
import type { AfXdp } from "./af-xdp.ts";
import { AfXdpQueue } from "./af-xdp-queue.ts";
import { failDefaultRoute, failNoInterface, failQueueRange } from "./errors.ts";
import { type AttachedProgram, attachProgram, type PortProgram } from "./port-program.ts";
import { type PortReport, reportPort } from "./port-report.ts";
import { UmemRegistration } from "./umem-registration.ts";
import { type CopyMode, openXskSocket, type RingSizes, type XskSocket } from "./xsk-socket.ts";

const DEFAULT_RING_ENTRIES = 2048;
/** What the kernel takes off a page in front of a received packet. */
const HEADROOM_BYTES = 256;
/** Ethernet header and a VLAN tag. */
const LINK_BYTES = 18;
const SETTLE_RETRY_MS = 5;

export interface AfXdpPortParams {
  /** Name of the interface in the network namespace. */
  readonly ifname: string;
  /** Namespace that the interface is in. Default: the thread's. */
  readonly namespace?: NetNamespace;
  /** Default `auto`. */
  readonly mode?: CopyMode;
  /** Where the program runs. Default `auto`: in the driver where it can, else behind it. */
  readonly attach?: XdpMode | "auto";
  /** Default `{ rules: [] }`: everything comes here. */
  readonly program?: PortProgram;
  /** Packets may take several buffers. Default: when the MTU does not fit one. */
  readonly frags?: boolean;
  /** Entries of the rings, powers of two. Default 2048 each; each entry of the fill ring holds a page. */
  readonly rings?: Partial<RingSizes>;
  /** AF_XDP sockets made by somebody else, by queue; they are closed with their queues. */
  readonly sockets?: readonly number[];
  /** Take an interface that the machine is reached by. Default false. */
  readonly allowDefaultRoute?: boolean;
  /** Told once per queue when the interface goes away under traffic. */
  readonly onFault?: (error: NetmemError, queueIdx: number) => void;
}

/** An interface, opened for AF_XDP. Made by {@link AfXdp.openPort}. Control path. */
export class AfXdpPort {
  readonly ifname: string;
  readonly ifindex: number;
  readonly mtu: number;
  readonly macAddress: Uint8Array;
  /** RX queues of the interface. */
  readonly queueCount: number;
  /** Packets may take several buffers. */
  readonly frags: boolean;
  readonly afXdp: AfXdp;
  /** @internal */
  readonly netdev: NetdevFamily;
  /** @internal */
  readonly registration: UmemRegistration;
  /** @internal */
  readonly onFault: ((error: NetmemError, queueIdx: number) => void) | null;
  private readonly params: AfXdpPortParams;
  private readonly sizes: RingSizes;
  private readonly route: NetlinkSocket;
  private readonly genetlink: Genetlink;
  private readonly attached: AttachedProgram;
  private readonly queues = new Map<number, AfXdpQueue>();
  private readonly gaveSocket = new Set<number>();
  private hasClosed = false;

  /** @internal Use {@link AfXdp.openPort}, which makes it in the right namespace. */
  constructor(afXdp: AfXdp, params: AfXdpPortParams) {
    const { system, map, umem } = afXdp;
    this.afXdp = afXdp;
    this.params = params;
    this.sizes = ringSizes(params.rings ?? {});
    this.onFault = params.onFault ?? null;
    this.ifname = params.ifname;
    this.ifindex = findInterface(system, params.ifname);
    this.registration = new UmemRegistration(system, map, umem);
    this.route = new NetlinkSocket(system, NETLINK_ROUTE);
    this.genetlink = openGenetlink(system, this.route);
    this.netdev = new NetdevFamily(this.genetlink);
    try {
      this.checkDefaultRoute();
      const info = readInterface(this.route, this.ifindex);
      this.mtu = info.mtu;
      this.macAddress = info.macAddress;
      this.queueCount = countQueues(this.genetlink, this.netdev, this.ifindex);
      this.frags = params.frags ?? info.mtu + LINK_BYTES > afXdp.host.pageSizeBytes - HEADROOM_BYTES;
      this.attached = this.attach();
    } catch (error) {
      this.closeSockets();
      throw error;
    }
  }

  get isClosed(): boolean {
    return this.hasClosed;
  }

  /** @internal Where sockets are put, null without a program. */
  get xskMap(): BpfMap | null {
    return this.attached.xskMap;
  }

  /** Queue `queueIdx`, the same object each time. @throws `ERR_NETMEM_XDP_QUEUE_RANGE` (EINVAL) */
  queue(queueIdx: number): AfXdpQueue {
    if (!Number.isInteger(queueIdx) || queueIdx < 0 || queueIdx >= this.queueCount) {
      failQueueRange(this.ifname, queueIdx, this.queueCount);
    }
    const known = this.queues.get(queueIdx);
    if (known !== undefined) return known;
    const queue = new AfXdpQueue(this, queueIdx);
    this.queues.set(queueIdx, queue);
    return queue;
  }

  /** What was obtained, and why it is not more. */
  report(): PortReport {
    const link = this.attached.link;
    const { program = { rules: [] } } = this.params;
    return reportPort(this, {
      mode: link?.mode ?? (program === "none" ? "none" : "joined"),
      whyNotNative: link?.whyNotNative ?? "",
      queues: [...this.queues.values()],
    });
  }

  /**
   * Closes every queue that is open, takes the program off and closes the port. What the kernel still has comes home
   * when its queue is seen released. More calls do nothing.
   * @throws what {@link AfXdpQueue.settle} throws; call it again then
   */
  close(): void {
    if (this.hasClosed) return;
    for (const queue of this.queues.values()) queue.close();
    this.attached.close();
    this.hasClosed = true;
    this.settle();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Looks once whether closed queues are free. True when nothing of the port is with the kernel any more. */
  settle(): boolean {
    let isSettled = true;
    for (const queue of this.queues.values()) isSettled = queue.settle() && isSettled;
    if (isSettled && this.hasClosed) this.closeSockets();
    return isSettled;
  }

  /** @internal The socket of a queue, bound. */
  openSocket(queueIdx: number): XskSocket {
    const { afXdp, params, ifname, ifindex, frags, sizes, registration } = this;
    const { system, map, umem } = afXdp;
    const given = this.gaveSocket.has(queueIdx) ? undefined : params.sockets?.[queueIdx];
    this.gaveSocket.add(queueIdx);
    const mode = params.mode ?? "auto";
    const socketParams = { ifname, ifindex, queueIdx, mode, frags, sizes, ...(given !== undefined && { fd: given }) };
    return this.inside(() => openXskSocket({ system, map, umem, registration }, socketParams));
  }

  /** @internal Looks from time to time until the queue is settled. */
  settleLater(queue: AfXdpQueue): void {
    const retry = (): void => {
      if (!queue.settle()) this.settleLater(queue);
      else this.settle();
    };
    this.afXdp.host.clock.setTimer(retry, SETTLE_RETRY_MS);
  }

  private inside<T>(work: () => T): T {
    const { namespace } = this.params;
    return namespace === undefined ? work() : namespace.run(work);
  }

  private checkDefaultRoute(): void {
    if (this.params.allowDefaultRoute === true) return;
    if (defaultRouteInterfaces(this.route).includes(this.ifindex)) failDefaultRoute(this.ifname);
  }

  private attach(): AttachedProgram {
    const { ifname, ifindex, queueCount, frags, params } = this;
    const { program = { rules: [] }, attach: mode = "auto" } = params;
    const describeAttached = (): string => this.describeAttached();
    const attachParams = { ifname, ifindex, queueCount, program, mode, frags, describeAttached };
    return attachProgram(this.afXdp.system, attachParams);
  }

  private describeAttached(): string {
    const { xdp } = readInterface(this.route, this.ifindex);
    if (xdp === null) return "it went away meanwhile";
    const name = xdpProgramName(this.afXdp.system, xdp.programId);
    return `program ${xdp.programId}${name === "" ? "" : ` "${name}"`}, ${xdp.mode} mode`;
  }

  private closeSockets(): void {
    this.route.close();
    this.genetlink.close();
  }
}

/** The second socket of a port; the first is closed when it cannot be had. */
function openGenetlink(system: System, first: NetlinkSocket): Genetlink {
  try {
    return new Genetlink(system);
  } catch (error) {
    first.close();
    throw error;
  }
}

function findInterface(system: System, ifname: string): number {
  const ifindex = system.ifNameToIndex(ifname);
  return ifindex > 0 ? ifindex : failNoInterface(ifname);
}

function ringSizes(given: Partial<RingSizes>): RingSizes {
  const size = (name: keyof RingSizes): number => checkRingEntries(name, given[name] ?? DEFAULT_RING_ENTRIES);
  checkInt("fill", given.fill ?? DEFAULT_RING_ENTRIES, 2, 32768);
  return { rx: size("rx"), tx: size("tx"), fill: size("fill"), completion: size("completion") };
}

/** RX queues: as ethtool counts them; an interface without channels has those that the kernel lists, or one. */
function countQueues(genetlink: Genetlink, netdev: NetdevFamily, ifindex: number): number {
  try {
    const { rx, combined } = readChannels(genetlink, ifindex);
    return Math.max(rx + combined, 1);
  } catch (error) {
    if (!isSystemCallError(error) || error.errno !== "EOPNOTSUPP") throw error;
    return Math.max(netdev.queues(ifindex).items.filter(({ type }) => type === "rx").length, 1);
  }
}
