import {
  attachXdp,
  type BpfMap,
  BpfMapType,
  compileXdpFilter,
  createBpfMap,
  type FilterRule,
  isSystemCallError,
  loadXdpProgram,
  openPinnedMap,
  type System,
  type XdpLink,
  type XdpMode,
} from "@netmem/linux";
import { isNetmemError } from "@netmem/core";
import { failAttached, failPermission } from "./errors.ts";

/**
 * Who brings packets to a port's sockets.
 *
 * * `{ rules }`: a program of ours, which takes what any of the rules matches (no rules: everything) and leaves the rest
 *   to the kernel.
 * * `{ map }`: somebody else's program, by its XSKMAP or the path where that is pinned; sockets are put into it by queue.
 * * `"none"`: nobody, or somebody who was given the sockets: for sending only, and for sockets from a parent process.
 */
export type PortProgram = { readonly rules: readonly FilterRule[] } | { readonly map: BpfMap | string } | "none";

/** A port's program, in force. */
export interface AttachedProgram {
  /** Null for `"none"`. */
  readonly xskMap: BpfMap | null;
  /** Ours; null when somebody else's is used. */
  readonly link: XdpLink | null;
  close(): void;
}

export interface AttachParams {
  readonly ifname: string;
  readonly ifindex: number;
  readonly queueCount: number;
  readonly program: PortProgram;
  readonly mode: XdpMode | "auto";
  readonly frags: boolean;
  /** Says what program the interface has, for errors. */
  readonly describeAttached: () => string;
}

/**
 * Puts a port's program in force.
 * @throws `ERR_NETMEM_XDP_ATTACHED` (EBUSY), `ERR_NETMEM_XDP_PERMISSION` (EPERM), `SystemCallError`
 */
export function attachProgram(system: System, params: AttachParams): AttachedProgram {
  const { program } = params;
  if (program === "none") return { xskMap: null, link: null, close: () => {} };
  if ("map" in program) return join(system, program.map);
  try {
    return attachOwn(system, params, program.rules);
  } catch (error) {
    if (isNetmemError(error) && error.code === "ERR_NETMEM_XDP_ATTACHED") {
      failAttached(params.ifname, params.describeAttached(), error);
    }
    if (isSystemCallError(error) && error.errno === "EPERM") {
      failPermission("load and attach an XDP program", "CAP_BPF and CAP_NET_ADMIN", error);
    }
    throw error;
  }
}

function join(system: System, map: BpfMap | string): AttachedProgram {
  if (typeof map !== "string") return { xskMap: map, link: null, close: () => {} };
  const opened = openPinnedMap(system, map);
  return { xskMap: opened, link: null, close: () => opened.close() };
}

function attachOwn(system: System, params: AttachParams, rules: readonly FilterRule[]): AttachedProgram {
  const { ifindex, queueCount, mode, frags } = params;
  const xskMap = createBpfMap(system, { type: BpfMapType.XskMap, maxEntries: queueCount, name: "netmem_xsks" });
  try {
    const insns = compileXdpFilter(xskMap.fd, rules);
    const program = loadXdpProgram(system, { insns, frags, name: "netmem_filter" });
    try {
      const link = attachXdp(system, { program, ifindex, mode });
      return { xskMap, link, close: () => (link.detach(), xskMap.close()) };
    } finally {
      program.close();
    }
  } catch (error) {
    xskMap.close();
    throw error;
  }
}
