import type { DeviceFrag } from "../device-memory.ts";
import { checkPages } from "../device-checks.ts";
import type { Answer, DevicePort, Request } from "./messages.ts";

/**
 * Work on fragments where they lie. `bytes` is the whole device; a copy of what is returned crosses to the other thread.
 */
export type DeviceKernel = (bytes: Uint8Array, frags: readonly DeviceFrag[]) => unknown;

export interface ServedMemoryParams {
  /** A multiple of 4096, up to 4 GiB. */
  readonly sizeBytes: number;
  /** By name: what the other thread may have run on the memory. */
  readonly kernels?: Readonly<Record<string, DeviceKernel>>;
}

/**
 * Makes device memory in this thread, a plain `Uint8Array` that never leaves it, and lands in it what comes through
 * `port`, whose other end went to `openIsolatedMemory`. Returns the memory: this thread is its consumer.
 *
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL)
 */
export function serveIsolatedMemory(port: DevicePort, params: ServedMemoryParams): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(checkPages("sizeBytes", params.sizeBytes));
  const kernels = new Map(Object.entries(params.kernels ?? {}));
  port.addEventListener("message", ({ data }) => {
    const request = data as Request;
    const staging = request.op === "land" ? { staging: request.staging } : {};
    try {
      const value = perform(bytes, kernels, request);
      const moved = request.op === "read" ? [(value as Uint8Array).buffer] : [];
      answer(port, { id: request.id, value, ...staging }, moved);
    } catch (error) {
      answer(port, { id: request.id, error: String(error), ...staging }, []);
    }
  });
  port.start?.();
  return bytes;
}

function answer(port: DevicePort, message: Answer, moved: readonly unknown[]): void {
  port.postMessage(message, message.staging === undefined ? moved : [message.staging]);
}

function perform(bytes: Uint8Array, kernels: ReadonlyMap<string, DeviceKernel>, request: Request): unknown {
  if (request.op === "land") {
    bytes.set(new Uint8Array(request.staging, 0, request.length), request.offset);
    return null;
  }
  if (request.op === "read") return gather(bytes, request.frags);
  const kernel = kernels.get(request.kernel);
  if (kernel === undefined) throw new Error(`no kernel named ${request.kernel}`);
  const value = kernel(bytes, request.frags);
  // Sending a view sends all that lies behind it.
  return value instanceof Uint8Array && value.buffer === bytes.buffer ? value.slice() : value;
}

function gather(bytes: Uint8Array, frags: readonly DeviceFrag[]): Uint8Array {
  const out = new Uint8Array(frags.reduce((total, { length }) => total + length, 0));
  let at = 0;
  for (const { offset, length } of frags) {
    out.set(bytes.subarray(offset, offset + length), at);
    at += length;
  }
  return out;
}
