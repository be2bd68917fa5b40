import { sharedView } from "./gpu-errors.ts";
import type { GpuDevice } from "./gpu-types.ts";

const isShared = (data: unknown): boolean =>
  typeof SharedArrayBuffer !== "undefined" &&
  (ArrayBuffer.isView(data) ? data.buffer : data) instanceof SharedArrayBuffer;

/**
 * Makes `device.queue.writeBuffer` and `writeTexture` throw `ERR_NETMEM_SHARED_VIEW` (EFAULT) for bytes in shared memory. With the
 * package `webgpu` such a call ends the process in Node.js 20; later ones were seen to survive it. A browser takes them. Devices
 * that {@link openWebGpuMemory} makes with that package have it already.
 */
export function refuseSharedViews(device: GpuDevice): void {
  refuse(device.queue, "writeBuffer", 2);
  refuse(device.queue, "writeTexture", 1);
}

/** Puts a check of argument `at` before a method. */
function refuse(target: object, name: string, at: number): void {
  const method: unknown = Reflect.get(target, name);
  if (typeof method !== "function") return;
  const value = (...args: unknown[]): unknown => {
    if (isShared(args[at])) throw sharedView();
    return Reflect.apply(method, target, args);
  };
  // Configurable: a device may be given twice.
  Object.defineProperty(target, name, { value, configurable: true });
}
