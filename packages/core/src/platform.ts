/*
 * The only place that touches the runtime. WebAssembly has no types in the plain ES library, so its shape is spelled out.
 */
import { NetmemError } from "./errors.ts";

/** A WebAssembly.Memory, structurally: what `postMessage` carries to a worker. */
export interface ArenaMemory {
  readonly buffer: ArrayBufferLike;
}

interface WebAssemblyLike {
  readonly Memory: new (descriptor: { initial: number; maximum: number; shared: boolean }) => ArenaMemory;
}

const WASM_PAGE_BYTES = 65536;

/**
 * One fixed-size memory of `bytes` (a multiple of 65536). Shared where the runtime allows it; a browser page without
 * cross-origin isolation gets an unshared one, which the same code runs on, single-threaded.
 *
 * @throws `ERR_NETMEM_NO_MEMORY` (ENOMEM) when the runtime refuses the size.
 */
export function createMemory(bytes: number): ArenaMemory {
  const wasm = (globalThis as { WebAssembly?: WebAssemblyLike }).WebAssembly;
  const pages = bytes / WASM_PAGE_BYTES;
  try {
    if (wasm === undefined) throw new Error("this runtime has no WebAssembly");
    const shared = typeof SharedArrayBuffer !== "undefined";
    return new wasm.Memory({ initial: pages, maximum: pages, shared });
  } catch (cause) {
    throw new NetmemError({
      code: "ERR_NETMEM_NO_MEMORY",
      errno: "ENOMEM",
      reason: `cannot reserve an arena of ${bytes} bytes`,
      remedy: "Lower arenaBytes, or raise the process's address-space limit (ulimit -v).",
      param: "arenaBytes",
      value: bytes,
      cause,
    });
  }
}
