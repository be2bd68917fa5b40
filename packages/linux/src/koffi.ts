/*
 * The only file that knows koffi, the foreign-function interface. It is loaded when the first Linux thing is used and
 * stays optional: without it the rest of netmem works, and this package says what is missing.
 */
import { NetmemError } from "@netmem/core";
import { builtin } from "./node-builtins.ts";
import { checkPlatform } from "./platform.ts";

/** A function of the C library. Addresses and sizes go in as Numbers: the fastest form, and below 2^53 always. */
export type NativeFunction = (...args: (number | string | ArrayBufferView | null)[]) => number;

/** Waits for a file descriptor on the event loop. */
export interface NativePoll {
  start(options: { readable?: boolean; writable?: boolean }, ready: () => void): void;
  stop(): void;
  close(): void;
  ref(): void;
  unref(): void;
}

/** What we use of koffi, structurally: its types are not needed to compile against this package. */
export interface Koffi {
  readonly version: string;
  load(path: string | null): { func(name: string, result: string, args: readonly string[]): NativeFunction };
  address(memory: ArrayBufferView): bigint;
  /** Must be the very next call after the one that failed. */
  readonly errno: () => number;
  readonly node: {
    poll(fd: number, options: { readable?: boolean; writable?: boolean }, ready: () => void): NativePoll;
  };
}

function failMissing(cause: unknown): never {
  throw new NetmemError({
    code: "ERR_NETMEM_KOFFI_MISSING",
    errno: "ENOSYS",
    reason: "koffi, which makes the system calls, cannot be loaded",
    remedy: "Install it beside @netmem/linux: npm install koffi. It is prebuilt; no install script needs to run.",
    param: "koffi",
    cause,
  });
}

/**
 * Loads koffi. `load` is how; tests pass another way.
 * @throws `ERR_NETMEM_UNSUPPORTED_PLATFORM` (ENOSYS), `ERR_NETMEM_KOFFI_MISSING` (ENOSYS).
 */
export function loadKoffi(load?: (name: string) => unknown): Koffi {
  checkPlatform();
  try {
    return (load ?? builtin("node:module").createRequire(import.meta.url))("koffi") as Koffi;
  } catch (cause) {
    return failMissing(cause);
  }
}
