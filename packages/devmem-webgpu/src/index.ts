export { adler32, adler32Kernel, FRAG_KERNEL_PRELUDE } from "./frag-kernel.ts";
export type { FragKernel } from "./frag-kernel.ts";
export type {
  Gpu,
  GpuAdapter,
  GpuAdapterInfo,
  GpuBuffer,
  GpuCommandEncoder,
  GpuComputePass,
  GpuDevice,
  GpuError,
  GpuLimits,
  GpuQueue,
} from "./gpu-types.ts";
export type { UploadStats } from "./landing-batch.ts";
export { refuseSharedViews } from "./shared-views.ts";
export { openWebGpuMemory, WebGpuMemory } from "./webgpu-memory.ts";
export type { GatheredBytes, WebGpuMemoryParams } from "./webgpu-memory.ts";
