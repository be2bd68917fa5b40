/* The kernel's own view of devices, queues, poll instances and page pools: the generic netlink family "netdev". */
import { Errno, errnoName } from "../errno.ts";
import type { NetlinkAttr, NetlinkWriter } from "../netlink-attributes.ts";
import { isSystemCallError } from "../system-call-error.ts";
import type { Genetlink } from "./genetlink.ts";

const FAMILY = "netdev";
const Command = { DevGet: 1, PagePoolGet: 5, PagePoolStatsGet: 9, QueueGet: 10, NapiGet: 11 } as const;
const DevAttr = { Ifindex: 1, XdpFeatures: 3, ZcMaxSegs: 4, RxMetadata: 5, XskFeatures: 6 } as const;
const QueueAttr = { Id: 1, Ifindex: 2, Type: 3, NapiId: 4, Dmabuf: 5, IoUring: 6, Xsk: 7 } as const;
const NapiAttr = { Ifindex: 1, Id: 2, Irq: 3, Pid: 4 } as const;
const PoolAttr = {
  Id: 1,
  Ifindex: 2,
  NapiId: 3,
  Inflight: 4,
  InflightMem: 5,
  DetachTime: 6,
  Dmabuf: 7,
  IoUring: 8,
} as const;
const POOL_STATS_INFO = 1;
/** Attributes of the statistics, in the kernel's order from 8 on. */
const STAT_NAMES = [
  "allocFast",
  "allocSlow",
  "allocSlowHighOrder",
  "allocEmpty",
  "allocRefill",
  "allocWaive",
  "recycleCached",
  "recycleCacheFull",
  "recycleRing",
  "recycleRingFull",
  "recycleReleasedRefcnt",
] as const;
const FIRST_STAT = 8;

/** Bits of {@link KernelDevice.xdpFeatures}. */
export const XdpFeature = {
  Basic: 1,
  Redirect: 2,
  NdoXmit: 4,
  XskZeroCopy: 8,
  HwOffload: 16,
  RxSg: 32,
  NdoXmitSg: 64,
} as const;

export interface KernelDevice {
  readonly ifindex: number;
  /** {@link XdpFeature}: what the driver can do natively. */
  readonly xdpFeatures: number;
  /** Buffers of a packet in zero-copy mode, 0 without it. */
  readonly zcMaxSegs: number;
  readonly rxMetadata: number;
  readonly xskFeatures: number;
}

export interface KernelQueue {
  readonly id: number;
  readonly ifindex: number;
  readonly type: "rx" | "tx";
  /** 0 for none that the kernel knows. */
  readonly napiId: number;
  /** An AF_XDP socket is bound to it. */
  readonly xsk: boolean;
  /** Where its memory comes from, if not from ordinary pages. */
  readonly provider: "dma-buf" | "io_uring" | null;
}

export interface KernelNapi {
  readonly id: number;
  readonly ifindex: number;
  /** 0 for none. */
  readonly irq: number;
  /** Thread that polls, 0 for softirq. */
  readonly pid: number;
}

export interface KernelPagePool {
  readonly id: number;
  /** 0 for a pool of no device. */
  readonly ifindex: number;
  readonly napiId: number;
  readonly inflight: number;
  readonly inflightBytes: number;
  /** Seconds since boot when the pool was destroyed with pages outside; null while it lives. */
  readonly detachTimeS: number | null;
  readonly provider: "dma-buf" | "io_uring" | null;
}

export type KernelPagePoolStats = { readonly poolId: number } & Readonly<Record<(typeof STAT_NAMES)[number], number>>;

/** What the kernel can tell; `missing` says why it cannot. Older kernels and some configurations lack some of it. */
export interface KernelList<T> {
  readonly items: readonly T[];
  readonly missing: string | null;
}

function find(attrs: readonly NetlinkAttr[], type: number): NetlinkAttr | undefined {
  return attrs.find((attr) => attr.type === type);
}

function uint(attrs: readonly NetlinkAttr[], type: number): number {
  return find(attrs, type)?.asUint() ?? 0;
}

function providerOf(attrs: readonly NetlinkAttr[], dmabuf: number, ioUring: number): "dma-buf" | "io_uring" | null {
  if (find(attrs, dmabuf) !== undefined) return "dma-buf";
  return find(attrs, ioUring) === undefined ? null : "io_uring";
}

/** @internal For tests with messages made by hand. */
export function parseDevice(attrs: readonly NetlinkAttr[]): KernelDevice {
  return {
    ifindex: uint(attrs, DevAttr.Ifindex),
    xdpFeatures: uint(attrs, DevAttr.XdpFeatures),
    zcMaxSegs: uint(attrs, DevAttr.ZcMaxSegs),
    rxMetadata: uint(attrs, DevAttr.RxMetadata),
    xskFeatures: uint(attrs, DevAttr.XskFeatures),
  };
}

/** @internal */
export function parseQueue(attrs: readonly NetlinkAttr[]): KernelQueue {
  return {
    id: uint(attrs, QueueAttr.Id),
    ifindex: uint(attrs, QueueAttr.Ifindex),
    type: uint(attrs, QueueAttr.Type) === 0 ? "rx" : "tx",
    napiId: uint(attrs, QueueAttr.NapiId),
    xsk: find(attrs, QueueAttr.Xsk) !== undefined,
    provider: providerOf(attrs, QueueAttr.Dmabuf, QueueAttr.IoUring),
  };
}

function parseNapi(attrs: readonly NetlinkAttr[]): KernelNapi {
  return {
    id: uint(attrs, NapiAttr.Id),
    ifindex: uint(attrs, NapiAttr.Ifindex),
    irq: uint(attrs, NapiAttr.Irq),
    pid: uint(attrs, NapiAttr.Pid),
  };
}

/** @internal */
export function parsePagePool(attrs: readonly NetlinkAttr[]): KernelPagePool {
  return {
    id: uint(attrs, PoolAttr.Id),
    ifindex: uint(attrs, PoolAttr.Ifindex),
    napiId: uint(attrs, PoolAttr.NapiId),
    inflight: uint(attrs, PoolAttr.Inflight),
    inflightBytes: uint(attrs, PoolAttr.InflightMem),
    detachTimeS: find(attrs, PoolAttr.DetachTime)?.asUint() ?? null,
    provider: providerOf(attrs, PoolAttr.Dmabuf, PoolAttr.IoUring),
  };
}

/** @internal */
export function parsePagePoolStats(attrs: readonly NetlinkAttr[]): KernelPagePoolStats {
  const info = find(attrs, POOL_STATS_INFO)?.asNested() ?? [];
  const stats = STAT_NAMES.map((name, n) => [name, uint(attrs, FIRST_STAT + n)]);
  return { poolId: uint(info, PoolAttr.Id), ...Object.fromEntries(stats) } as KernelPagePoolStats;
}

/** Reads what the kernel's netdev family knows. Control path; each call is one round trip or a dump. */
export class NetdevFamily {
  private readonly genetlink: Genetlink;

  constructor(genetlink: Genetlink) {
    this.genetlink = genetlink;
  }

  /** What the driver of an interface can do. @throws {@link SystemCallError}: ENODEV, ENOENT before Linux 6.3 */
  device(ifindex: number): KernelDevice {
    const write = (writer: NetlinkWriter): void => void writer.u32(DevAttr.Ifindex, ifindex);
    const [attrs = []] = this.genetlink.request({
      family: FAMILY,
      command: Command.DevGet,
      name: "NETDEV_CMD_DEV_GET",
      write,
    });
    return parseDevice(attrs);
  }

  /** Queues of an interface, as far as it is up. */
  queues(ifindex: number): KernelList<KernelQueue> {
    const write = (writer: NetlinkWriter): void => void writer.u32(QueueAttr.Ifindex, ifindex);
    return this.list(Command.QueueGet, "NETDEV_CMD_QUEUE_GET", parseQueue, write);
  }

  napis(ifindex: number): KernelList<KernelNapi> {
    const write = (writer: NetlinkWriter): void => void writer.u32(NapiAttr.Ifindex, ifindex);
    return this.list(Command.NapiGet, "NETDEV_CMD_NAPI_GET", parseNapi, write);
  }

  /** Page pools that belong to a device of this namespace. */
  pagePools(): KernelList<KernelPagePool> {
    return this.list(Command.PagePoolGet, "NETDEV_CMD_PAGE_POOL_GET", parsePagePool);
  }

  pagePoolStats(): KernelList<KernelPagePoolStats> {
    return this.list(Command.PagePoolStatsGet, "NETDEV_CMD_PAGE_POOL_STATS_GET", parsePagePoolStats);
  }

  private list<T>(
    command: number,
    name: string,
    parse: (attrs: readonly NetlinkAttr[]) => T,
    write?: (writer: NetlinkWriter) => void,
  ): KernelList<T> {
    try {
      const request = { family: FAMILY, command, name, dump: true, ...(write && { write }) };
      return { items: this.genetlink.request(request).map(parse), missing: null };
    } catch (error) {
      const isMissing = isSystemCallError(error) && MISSING.includes(error.errno ?? "");
      if (!isMissing) throw error;
      return { items: [], missing: error.message };
    }
  }
}

/** Errors that mean "this kernel does not tell". */
const MISSING: readonly string[] = [Errno.EOPNOTSUPP, Errno.ENOENT].map(errnoName);
