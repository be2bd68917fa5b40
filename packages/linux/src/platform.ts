import { NetmemError } from "@netmem/core";

/** Processors whose system-call numbers and structures are those written in this package. */
const ARCHS: readonly string[] = ["x64", "arm64", "riscv64", "loong64"];

/** Where Linux calls cannot be made, and why. `reason` is null where they can. */
export interface PlatformReport {
  readonly platform: string;
  readonly arch: string;
  readonly runtime: string;
  readonly reason: string | null;
}

/** What is asked about the process. */
export interface ProcessLike {
  readonly platform: string;
  readonly arch: string;
  readonly pid: number;
  readonly versions: Readonly<Record<string, string | undefined>>;
  readonly getBuiltinModule?: ((id: string) => object | undefined) | undefined;
}

/** What is asked about the runtime; tests pass another one. */
export interface RuntimeLike {
  readonly process?: ProcessLike;
}

function runtimeName(versions: Readonly<Record<string, string | undefined>>): string {
  if (versions["bun"] !== undefined) return "Bun";
  if (versions["deno"] !== undefined) return "Deno";
  return "Node.js";
}

function whyNot(runtime: string, { platform, arch, getBuiltinModule }: ProcessLike): string | null {
  if (platform !== "linux") return `the platform is ${platform}, not linux`;
  if (runtime !== "Node.js") return `${runtime} reserves shared memory in a way that was never checked`;
  if (!ARCHS.includes(arch)) return `the processor is ${arch}, not one of ${ARCHS.join(", ")}`;
  return typeof getBuiltinModule === "function" ? null : "Node.js is older than 22";
}

/** Says whether this runtime can make Linux calls at all. Never throws. */
export function reportPlatform(runtime: RuntimeLike = globalThis): PlatformReport {
  const { process } = runtime;
  if (process === undefined || typeof process.platform !== "string") {
    return { platform: "browser", arch: "unknown", runtime: "browser", reason: "this is no Node.js process" };
  }
  const name = runtimeName(process.versions);
  return { platform: process.platform, arch: process.arch, runtime: name, reason: whyNot(name, process) };
}

/** Throws `ERR_NETMEM_UNSUPPORTED_PLATFORM` (ENOSYS) anywhere but on Node.js under Linux, saying what is in the way. */
export function checkPlatform(runtime: RuntimeLike = globalThis): void {
  const { reason, platform } = reportPlatform(runtime);
  if (reason === null) return;
  throw new NetmemError({
    code: "ERR_NETMEM_UNSUPPORTED_PLATFORM",
    errno: "ENOSYS",
    reason: `Linux calls are not available: ${reason}`,
    remedy: "Use the NIC model and the arena's own pages here, and @netmem/linux on Node.js 22 or newer under Linux.",
    param: "platform",
    value: platform,
  });
}
