import { failNoGpu } from "./gpu-errors.ts";
import {
  type Gpu,
  type GpuAdapter,
  type GpuAdapterInfo,
  type GpuDevice,
  type GpuError,
  mostBytes,
} from "./gpu-types.ts";
import { refuseSharedViews } from "./shared-views.ts";

export interface OpenDeviceParams {
  /** Default: `navigator.gpu`, and without it the package `webgpu`. */
  readonly gpu?: Gpu;
  /** Bytes of the largest buffer that a shader will see. */
  readonly bufferBytes: number;
  /** Errors that no call got: of commands that were refused later. */
  readonly onError: (error: GpuError) => void;
}

export interface OpenedDevice {
  readonly device: GpuDevice;
  /** Whose driver it is, for reports. */
  readonly info: GpuAdapterInfo;
}

/** A module that need not be there; the name is no literal, so that bundlers leave it alone. */
const PACKAGE: string = "webgpu";

interface Source {
  readonly gpu: Gpu;
  readonly isPackage: boolean;
}

async function findGpu(): Promise<Source> {
  const { navigator } = globalThis as { navigator?: { gpu?: Gpu } };
  if (navigator?.gpu !== undefined) return { gpu: navigator.gpu, isPackage: false };
  try {
    const { create } = (await import(PACKAGE)) as { create: (flags: string[]) => Gpu };
    return { gpu: create([]), isPackage: true };
  } catch (cause) {
    return failNoGpu("this runtime has no WebGPU, and the package webgpu cannot be loaded", cause);
  }
}

/**
 * Opens a device of the default adapter.
 * @throws `ERR_NETMEM_NO_GPU` (ENODEV) with the reason.
 */
export async function openDevice({ gpu, bufferBytes, onError }: OpenDeviceParams): Promise<OpenedDevice> {
  const source = gpu === undefined ? await findGpu() : { gpu, isPackage: false };
  const adapter = await source.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (adapter === null) failNoGpu("WebGPU has no adapter: there is no driver that it takes");
  const device = await openWith(adapter, bufferBytes);
  if (source.isPackage) refuseSharedViews(device);
  device.addEventListener("uncapturederror", ({ error }) => onError(error));
  // What create() returned must not be collected before its devices are gone, or the process crashes.
  void device.lost.then(() => source);
  return { device, info: infoOf(adapter) };
}

async function openWith(adapter: GpuAdapter, bufferBytes: number): Promise<GpuDevice> {
  const most = mostBytes(adapter.limits);
  if (bufferBytes > most) failNoGpu(`the adapter's buffers have at most ${most} bytes, not ${bufferBytes}`);
  const requiredLimits = { maxBufferSize: bufferBytes, maxStorageBufferBindingSize: bufferBytes };
  try {
    return await adapter.requestDevice({ requiredLimits });
  } catch (cause) {
    return failNoGpu(`the adapter gives no device of ${bufferBytes} bytes`, cause);
  }
}

function infoOf({ info }: GpuAdapter): GpuAdapterInfo {
  return { vendor: info?.vendor ?? "", architecture: info?.architecture ?? "", description: info?.description ?? "" };
}
