import { builtin } from "./node-builtins.ts";

/** The capabilities that netmem's Linux parts ask for, by their number. */
const CAPABILITIES = {
  CAP_NET_ADMIN: 12,
  CAP_NET_RAW: 13,
  CAP_IPC_LOCK: 14,
  CAP_SYS_ADMIN: 21,
  CAP_SYS_RESOURCE: 24,
  CAP_PERFMON: 38,
  CAP_BPF: 39,
} as const;
export type Capability = keyof typeof CAPABILITIES;

/** The capabilities of ours that are in a CapEff mask, as hexadecimal. CAP_SYS_ADMIN stands for the newer two as well. */
export function capabilitiesIn(mask: string): Set<Capability> {
  const bits = BigInt(`0x${mask}`);
  const names = Object.keys(CAPABILITIES) as Capability[];
  const found = new Set(names.filter((name) => ((bits >> BigInt(CAPABILITIES[name])) & 1n) === 1n));
  if (found.has("CAP_SYS_ADMIN")) found.add("CAP_BPF").add("CAP_PERFMON");
  return found;
}

/** What this thread may do now (CapEff). */
export function readCapabilities(): Set<Capability> {
  const status = builtin("node:fs").readFileSync("/proc/thread-self/status", "utf8");
  return capabilitiesIn(/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0");
}
