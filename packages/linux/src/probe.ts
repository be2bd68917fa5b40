import { isNetmemError } from "@netmem/core";
import { type Capability, readCapabilities } from "./capabilities.ts";
import { Errno } from "./errno.ts";
import {
  type HugePageReserve,
  readHugePageReserves,
  readThpBytes,
  readThpSetting,
  type ThpSetting,
} from "./huge-pages.ts";
import { createNetNamespace } from "./net-namespace.ts";
import { builtin } from "./node-builtins.ts";
import { reportPlatform } from "./platform.ts";
import { AF_XDP, SOCK_CLOEXEC, SOCK_RAW } from "./socket-abi.ts";
import { openSystem, type System } from "./system.ts";

/** Oldest kernel that we build for; older ones lack calls that we make without asking. */
export const KERNEL_FLOOR = "5.15";

/** One thing that can be had or not; the reason names what is missing. */
export interface Availability {
  readonly available: boolean;
  /** "" when it is available. */
  readonly reason: string;
}

/** What Linux lets this process do. Everything was tried, not guessed, except where its comment says so. */
export interface LinuxReport {
  /** Linux calls can be made at all. What follows is empty where not. */
  readonly systemCalls: Availability;
  readonly kernelRelease: string;
  readonly kernelFloor: Availability;
  readonly capabilities: readonly Capability[];
  /** RLIMIT_MEMLOCK in bytes, Infinity where there is no limit; it does not bind a process with CAP_IPC_LOCK. */
  readonly memlockBytes: number;
  /** An AF_XDP socket opens. */
  readonly afXdp: Availability;
  /** A BPF map can be made. */
  readonly bpf: Availability;
  /** By capability: sockets, BPF and the right to change interfaces are all there. */
  readonly xdpAttach: Availability;
  /** A network namespace can be made, and left again. */
  readonly netNamespaces: Availability;
  readonly hugePages: readonly HugePageReserve[];
  readonly thp: ThpSetting;
  /** Bytes of a transparent huge page; 0 where there are none. */
  readonly thpBytes: number;
}

const yes: Availability = { available: true, reason: "" };
const no = (reason: string): Availability => ({ available: false, reason });

function attempt(what: () => Availability): Availability {
  try {
    return what();
  } catch (error) {
    return no(isNetmemError(error) ? error.message : String(error));
  }
}

/** Whether a release like "6.18.44-custom" is at least the floor. */
export function isKernelAtLeast(release: string, floor: string): boolean {
  const [major = 0, minor = 0] = release.split(/[.-]/).map(Number);
  const [floorMajor = 0, floorMinor = 0] = floor.split(".").map(Number);
  return major > floorMajor || (major === floorMajor && minor >= floorMinor);
}

function probeSocket(system: System): Availability {
  const fd = system.socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd === -Errno.EPERM) return no("needs CAP_NET_RAW");
  if (fd === -Errno.EAFNOSUPPORT) return no("the kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS)");
  system.check("socket", fd);
  system.close(fd);
  return yes;
}

/** BPF_MAP_CREATE of an array of one u32: needs what every program and map of ours needs. */
function probeBpf(system: System): Availability {
  const BPF_MAP_CREATE = 0;
  const BPF_MAP_TYPE_ARRAY = 2;
  const attr = new Uint8Array(Uint32Array.of(BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0).buffer);
  const fd = system.bpf(BPF_MAP_CREATE, attr);
  if (fd === -Errno.EPERM) return no("needs CAP_BPF");
  if (fd === -Errno.ENOSYS) return no("the kernel has no bpf system call (CONFIG_BPF_SYSCALL)");
  system.check("bpf", fd);
  system.close(fd);
  return yes;
}

function probeNamespace(system: System, capabilities: ReadonlySet<Capability>): Availability {
  if (!capabilities.has("CAP_SYS_ADMIN")) return no("needs CAP_SYS_ADMIN");
  createNetNamespace(system).close();
  return yes;
}

function needCapabilities(have: ReadonlySet<Capability>, needed: readonly Capability[]): Availability {
  const missing = needed.filter((one) => !have.has(one));
  return missing.length === 0 ? yes : no(`needs ${missing.join(" and ")}`);
}

function unavailable(reason: string): LinuxReport {
  const none = no(reason);
  return {
    systemCalls: none,
    kernelRelease: "",
    kernelFloor: none,
    capabilities: [],
    memlockBytes: 0,
    afXdp: none,
    bpf: none,
    xdpAttach: none,
    netNamespaces: none,
    hugePages: [],
    thp: "absent",
    thpBytes: 0,
  };
}

function probe(system: System): LinuxReport {
  const kernelRelease = builtin("node:os").release();
  const capabilities = readCapabilities();
  return {
    systemCalls: yes,
    kernelRelease,
    kernelFloor: isKernelAtLeast(kernelRelease, KERNEL_FLOOR) ? yes : no(`needs Linux ${KERNEL_FLOOR} or newer`),
    capabilities: [...capabilities],
    memlockBytes: system.getLimit("memlockBytes").soft,
    afXdp: attempt(() => probeSocket(system)),
    bpf: attempt(() => probeBpf(system)),
    xdpAttach: needCapabilities(capabilities, ["CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_BPF"]),
    netNamespaces: attempt(() => probeNamespace(system, capabilities)),
    hugePages: readHugePageReserves(),
    thp: readThpSetting(),
    thpBytes: readThpBytes(),
  };
}

/**
 * Says what Linux lets this process do, and what is missing for the rest. Never throws, on any platform, and leaves
 * nothing behind. Some 10 ms.
 */
export function probeLinux(): LinuxReport {
  const { reason } = reportPlatform();
  if (reason !== null) return unavailable(reason);
  try {
    return probe(openSystem());
  } catch (error) {
    return unavailable(error instanceof Error ? error.message : String(error));
  }
}
