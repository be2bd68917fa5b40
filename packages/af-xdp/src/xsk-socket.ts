/*
 * One AF_XDP socket, from its making to its end. The four rings are mapped into the arena, so that the ring code and
 * every thread that has the arena see them.
 *
 *   sockaddr_xdp   0 family u16, 2 flags u16, 4 ifindex u32, 8 queue u32, 12 descriptor of the socket to share with u32
 */
import { NetmemError } from "@netmem/core";
import {
  AF_XDP,
  type ArenaMap,
  type ArenaWindow,
  Errno,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SOL_XDP,
  type System,
  SystemCallError,
} from "@netmem/linux";
import {
  ADDR_BYTES,
  BindFlag,
  DESC_BYTES,
  type Umem,
  type XskRingLayout,
  xskRingBytes,
  xskRingLayout,
  type XskRingOffsets,
  XskRings,
} from "@netmem/xsk";
import { failNoZeroCopy, failPermission, failQueueBusy } from "./errors.ts";
import { sleepMs } from "./sleep.ts";
import {
  MMAP_OFFSETS_BYTES,
  OPTIONS_ZEROCOPY,
  RING_FILE_OFFSET,
  SOCKADDR_XDP_BYTES,
  XdpOption,
} from "./socket-options.ts";
import { readXdpStatistics, type XdpStatistics } from "./statistics.ts";
import type { UmemRegistration } from "./umem-registration.ts";

/** How long a queue may take to let go of its last socket. Measured: 0.2 to 20 ms. */
const BUSY_RETRY_MS = 300;

/**
 * How packets get between the NIC and the arena. `copy`: the kernel copies, on any interface. `zerocopy`: the NIC writes
 * into the arena where the driver can, else copy. `require-zerocopy`: that or an error. `auto`: as the kernel decides.
 */
export type CopyMode = "auto" | "copy" | "zerocopy" | "require-zerocopy";

/** Entries of the four rings, powers of two. */
export interface RingSizes {
  readonly rx: number;
  readonly tx: number;
  readonly fill: number;
  readonly completion: number;
}

export interface XskSocketParams {
  readonly ifname: string;
  readonly ifindex: number;
  readonly queueIdx: number;
  readonly mode: CopyMode;
  /** Packets may take several buffers. */
  readonly frags: boolean;
  readonly sizes: RingSizes;
  /** A socket that somebody else made; a new one otherwise. */
  readonly fd?: number;
}

/** What a socket stands on; the port's. */
export interface XskSocketContext {
  readonly system: System;
  readonly map: ArenaMap;
  readonly umem: Umem;
  readonly registration: UmemRegistration;
}

type RingName = keyof RingSizes;
const RING_NAMES: readonly RingName[] = ["rx", "tx", "fill", "completion"];
const RING_OPTION = {
  rx: XdpOption.RxRing,
  tx: XdpOption.TxRing,
  fill: XdpOption.FillRing,
  completion: XdpOption.CompletionRing,
} as const;
const ENTRY_BYTES = { rx: DESC_BYTES, tx: DESC_BYTES, fill: ADDR_BYTES, completion: ADDR_BYTES } as const;

interface MappedRings {
  readonly windows: readonly ArenaWindow[];
  readonly layouts: Readonly<Record<RingName, XskRingLayout>>;
}

/** A bound socket with its rings. Made by {@link openXskSocket}. */
export class XskSocket {
  readonly fd: number;
  readonly rings: XskRings;
  /** Where the rings lie, for a user end of your own (`DescConsumer` and its kin): then leave {@link rings} alone. */
  readonly layouts: Readonly<Record<RingName, XskRingLayout>>;
  /** What was obtained. */
  readonly mode: "copy" | "zerocopy";
  /** Why the mode is not zero-copy; empty when it is, or when nobody asked. */
  readonly whyNotZeroCopy: string;
  private readonly context: XskSocketContext;
  private readonly windows: readonly ArenaWindow[];

  /** @internal */
  constructor(context: XskSocketContext, fd: number, mapped: MappedRings, bound: Bound) {
    this.context = context;
    this.fd = fd;
    this.windows = mapped.windows;
    this.rings = new XskRings(context.umem, mapped.layouts);
    this.layouts = mapped.layouts;
    this.mode = bound.mode;
    this.whyNotZeroCopy = bound.why;
  }

  /** The kernel's counters. */
  statistics(): XdpStatistics {
    return readXdpStatistics(this.context.system, this.fd);
  }

  /**
   * @internal Its queue closes it, and watches when the kernel lets go. What the kernel still has is quarantined; returns
   * how many buffers that are.
   */
  close(): number {
    const count = this.rings.close();
    closeAll(this.context, this.fd, this.windows);
    return count;
  }
}

/** The rings first: a ring that is mapped keeps the socket alive. */
function closeAll({ map, system, registration }: XskSocketContext, fd: number, windows: readonly ArenaWindow[]): void {
  for (const window of windows) map.unmap(window);
  system.close(fd);
  registration.remove(fd);
}

/**
 * Makes a socket, maps its rings and binds it. A queue that is still letting go of its last socket is waited for, up to
 * 300 ms, which blocks the thread.
 *
 * @throws `ERR_NETMEM_XDP_PERMISSION` (EPERM), `ERR_NETMEM_XDP_MEMLOCK` (ENOBUFS), `ERR_NETMEM_XDP_QUEUE_BUSY` (EBUSY),
 * `ERR_NETMEM_XDP_NO_ZEROCOPY` (EOPNOTSUPP), `SystemCallError`, `ERR_NETMEM_NO_MEMORY`. Nothing is left then.
 */
export function openXskSocket(context: XskSocketContext, params: XskSocketParams): XskSocket {
  const { system, registration } = context;
  const fd = params.fd ?? createSocket(system);
  const windows: ArenaWindow[] = [];
  try {
    const sharedFd = registration.join(fd);
    const layouts = mapRings(context, fd, params, windows);
    const bound = bindSocket(system, fd, sharedFd, params);
    const socket = new XskSocket(context, fd, { windows, layouts }, bound);
    registration.addBound(fd);
    return socket;
  } catch (error) {
    closeAll(context, fd, windows);
    throw error;
  }
}

function createSocket(system: System): number {
  const fd = system.socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd >= 0) return fd;
  const error = new SystemCallError("socket", -fd, { action: "make an AF_XDP socket" });
  if (fd === -Errno.EPERM) failPermission("make an AF_XDP socket", "CAP_NET_RAW", error);
  throw error;
}

function readOffsets(system: System, fd: number): Record<RingName, XskRingOffsets> {
  const bytes = new Uint8Array(MMAP_OFFSETS_BYTES);
  system.check("getsockopt XDP_MMAP_OFFSETS", system.getsockopt(fd, SOL_XDP, XdpOption.MmapOffsets, bytes));
  const view = new DataView(bytes.buffer);
  const number = (at: number): number => Number(view.getBigUint64(at, true));
  const ring = (n: number): XskRingOffsets => {
    const at = n * 32;
    return { producer: number(at), consumer: number(at + 8), desc: number(at + 16), flags: number(at + 24) };
  };
  return { rx: ring(0), tx: ring(1), fill: ring(2), completion: ring(3) };
}

function mapRings(
  { system, map }: XskSocketContext,
  fd: number,
  params: XskSocketParams,
  windows: ArenaWindow[],
): Record<RingName, XskRingLayout> {
  const { sizes, ifname, queueIdx } = params;
  for (const name of RING_NAMES) {
    const action = `make the ${name} ring of ${sizes[name]} entries`;
    system.check("setsockopt", system.setsockoptInt(fd, SOL_XDP, RING_OPTION[name], sizes[name]), { action });
  }
  const offsets = readOffsets(system, fd);
  const mapOne = (name: RingName): XskRingLayout => {
    const bytes = xskRingBytes(sizes[name], ENTRY_BYTES[name], offsets[name]);
    const what = `${name} ring of queue ${queueIdx} of ${ifname}`;
    const window = map.mapFile({ fd, fileOffset: RING_FILE_OFFSET[name], bytes, name: what });
    windows.push(window);
    return xskRingLayout(window.offset / 4, sizes[name], offsets[name]);
  };
  return { fill: mapOne("fill"), completion: mapOne("completion"), rx: mapOne("rx"), tx: mapOne("tx") };
}

interface Bound {
  readonly mode: "copy" | "zerocopy";
  readonly why: string;
}

function bindSocket(system: System, fd: number, sharedFd: number, params: XskSocketParams): Bound {
  raiseTxBudget(system, fd, params.sizes.tx);
  // A socket that shares a UMEM takes over the modes of the socket that it shares with, and may not name any.
  if (sharedFd >= 0) {
    bindOrFail(system, fd, params, BindFlag.SharedUmem, sharedFd);
    return readMode(system, fd, "the port's first queue is not in that mode");
  }
  const flags = BindFlag.UseNeedWakeup | (params.frags ? BindFlag.UseSg : 0);
  if (params.mode === "copy") {
    bindOrFail(system, fd, params, flags | BindFlag.Copy);
    return { mode: "copy", why: "" };
  }
  if (params.mode === "auto") {
    bindOrFail(system, fd, params, flags);
    return readMode(system, fd, "the driver has no such mode, or not as the queue is set up");
  }
  const refused = bindOrFail(system, fd, params, flags | BindFlag.ZeroCopy, 0, [Errno.EOPNOTSUPP, Errno.EINVAL]);
  if (refused === 0) return { mode: "zerocopy", why: "" };
  const why = refused === Errno.EOPNOTSUPP ? "its driver has no such mode" : "the queue is not set up for it";
  if (params.mode === "require-zerocopy") failNoZeroCopy(params.ifname, params.queueIdx, why);
  bindOrFail(system, fd, params, flags | BindFlag.Copy);
  return { mode: "copy", why };
}

/** One `sendto` then sends what is in the ring, not 32 packets. Kernels that do not know it keep 32. */
function raiseTxBudget(system: System, fd: number, entries: number): void {
  system.setsockoptInt(fd, SOL_XDP, XdpOption.MaxTxSkbBudget, entries);
}

function readMode(system: System, fd: number, whyNot: string): Bound {
  const options = new Uint8Array(4);
  system.check("getsockopt XDP_OPTIONS", system.getsockopt(fd, SOL_XDP, XdpOption.Options, options));
  const isZeroCopy = (options[0]! & OPTIONS_ZEROCOPY) !== 0;
  return isZeroCopy ? { mode: "zerocopy", why: "" } : { mode: "copy", why: whyNot };
}

/** Binds, waiting for a queue that is busy. Returns 0, or one of the `allowed` errors; all others are thrown. */
function bindOrFail(
  system: System,
  fd: number,
  { ifname, ifindex, queueIdx }: XskSocketParams,
  flags: number,
  sharedFd = 0,
  allowed: readonly number[] = [],
): number {
  const address = new Uint8Array(SOCKADDR_XDP_BYTES);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_XDP, true);
  view.setUint16(2, flags, true);
  view.setUint32(4, ifindex, true);
  view.setUint32(8, queueIdx, true);
  view.setUint32(12, sharedFd, true);
  let result = system.bind(fd, address);
  let waitedMs = 0;
  for (let pauseMs = 1; result === -Errno.EBUSY && waitedMs < BUSY_RETRY_MS; pauseMs = Math.min(2 * pauseMs, 20)) {
    sleepMs(pauseMs);
    waitedMs += pauseMs;
    result = system.bind(fd, address);
  }
  if (result >= 0) return 0;
  if (allowed.includes(-result)) return -result;
  const error = new SystemCallError("bind", -result, { action: `bind to queue ${queueIdx} of ${ifname}` });
  if (result === -Errno.EBUSY) failQueueBusy(ifname, queueIdx, waitedMs, error);
  if (result === -Errno.ENOBUFS) failRingMemory(ifname, error);
  throw error;
}

function failRingMemory(ifname: string, cause: unknown): never {
  throw new NetmemError({
    code: "ERR_NETMEM_XDP_NO_BUFFERS",
    errno: "ENOBUFS",
    reason: `the kernel has no memory for the queue of ${ifname}`,
    remedy: "Free memory, or take smaller rings.",
    param: "ifname",
    value: ifname,
    cause,
  });
}
