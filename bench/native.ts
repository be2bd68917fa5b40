/** The C yardsticks: built on demand, absent with a reason where they cannot be. */

import { execFile } from "node:child_process";
import { mkdir, rename, stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const execute = promisify(execFile);
const SOURCE_DIR = new URL("native/", import.meta.url);
const BUILD_DIR = new URL("build/", SOURCE_DIR);
const SHARED_HEADER = new URL("sample.h", SOURCE_DIR);

export interface NativeProgram {
  /** The source is `native/NAME.c`. */
  readonly name: string;
  /** What pkg-config calls the library. */
  readonly library: string;
  /** Further libraries, by the same names. */
  readonly also?: readonly string[];
  /** What to install where pkg-config does not find it. */
  readonly debianPackage: string;
}

export const DPDK_MEMPOOL: NativeProgram = {
  name: "dpdk-mempool",
  library: "libdpdk",
  debianPackage: "libdpdk-dev",
};

export const KERNEL_XDP_DROP: NativeProgram = {
  name: "kernel-page-pool-xdp-drop",
  library: "libbpf",
  debianPackage: "libbpf-dev",
};

export const AF_XDP_LIBXDP: NativeProgram = {
  name: "af-xdp",
  library: "libxdp",
  also: ["libbpf"],
  debianPackage: "libxdp-dev",
};

/** The path of the built program, or why there is none. */
export type NativeBuild =
  | { readonly kind: "built"; readonly path: string }
  | { readonly kind: "absent"; readonly reason: string };

/** The environment a native program is started with: it keeps DPDK from making a directory under /var/run. */
export function nativeEnv(): NodeJS.ProcessEnv {
  return { ...process.env, RUNTIME_DIRECTORY: fileURLToPath(BUILD_DIR) };
}

export async function buildNative(program: NativeProgram): Promise<NativeBuild> {
  if (process.platform !== "linux") return absent("needs Linux");
  for (const tool of ["gcc", "pkg-config"]) {
    if (!(await runs(tool, ["--version"]))) return absent(`${tool} not installed`);
  }
  if (!(await runs("pkg-config", ["--exists", program.library, ...(program.also ?? [])]))) {
    return absent(`${program.debianPackage} not installed`);
  }
  const binary = new URL(program.name, BUILD_DIR);
  try {
    if (await isStale(program, binary)) await compile(program, binary);
  } catch (error) {
    return absent(`does not build: ${firstError(error)}`);
  }
  return { kind: "built", path: fileURLToPath(binary) };
}

function absent(reason: string): NativeBuild {
  return { kind: "absent", reason };
}

async function runs(tool: string, args: readonly string[]): Promise<boolean> {
  return await execute(tool, args).then(
    () => true,
    () => false,
  );
}

async function isStale(program: NativeProgram, binary: URL): Promise<boolean> {
  const built = await modifiedAt(binary);
  const sources = await Promise.all([sourceOf(program), SHARED_HEADER].map(modifiedAt));
  return sources.some((source) => source >= built);
}

async function modifiedAt(file: URL): Promise<number> {
  return await stat(file).then(
    (found) => found.mtimeMs,
    () => 0,
  );
}

function sourceOf(program: NativeProgram): URL {
  return new URL(`${program.name}.c`, SOURCE_DIR);
}

async function compile(program: NativeProgram, binary: URL): Promise<void> {
  await mkdir(BUILD_DIR, { recursive: true });
  const flags = await pkgConfig(program, "--cflags");
  const libraries = await pkgConfig(program, "--libs");
  const target = fileURLToPath(binary);
  const unfinished = `${target}.${process.pid}`;
  // After the library's flags: DPDK's ask for an older CPU, and the last -march wins.
  const ours = ["-O2", "-march=native", "-Wall", "-Wextra"];
  await execute("gcc", [...flags, ...ours, "-o", unfinished, fileURLToPath(sourceOf(program)), ...libraries]);
  await rename(unfinished, target);
}

async function pkgConfig(program: NativeProgram, what: "--cflags" | "--libs"): Promise<string[]> {
  const { stdout } = await execute("pkg-config", [what, program.library, ...(program.also ?? [])]);
  return stdout.split(/\s+/).filter((flag) => flag !== "");
}

function firstError(error: unknown): string {
  const text = error instanceof Error && "stderr" in error ? String(error.stderr) : String(error);
  return text.split("\n").find((line) => line.includes("error")) ?? text.split("\n")[0] ?? "";
}
