/*
 * WebGPU, structurally, as far as it is used here: a `GPUDevice` of a browser and one of the package `webgpu` both fit. The
 * plain ES library has no types for it, and two copies of the real ones would not agree.
 */

export interface GpuError {
  readonly message: string;
}

export interface GpuBuffer {
  readonly size: number;
  mapAsync(mode: number, offset?: number, size?: number): Promise<unknown>;
  getMappedRange(offset?: number, size?: number): ArrayBuffer;
  unmap(): unknown;
  destroy(): unknown;
}

export interface GpuQueue {
  submit(commands: Iterable<object>): unknown;
  writeBuffer(buffer: object, offset: number, data: ArrayBufferLike | ArrayBufferView, ...rest: number[]): unknown;
}

export interface GpuLimits {
  readonly maxBufferSize: number;
  readonly maxStorageBufferBindingSize: number;
}

export interface GpuComputePass {
  setPipeline(pipeline: object): unknown;
  setBindGroup(index: number, group: object | null | undefined): unknown;
  dispatchWorkgroups(x: number, y?: number): unknown;
  end(): unknown;
}

export interface GpuCommandEncoder {
  copyBufferToBuffer(source: object, sourceOffset: number, target: object, targetOffset: number, size: number): unknown;
  beginComputePass(): GpuComputePass;
  finish(): object;
}

export interface GpuDevice {
  readonly queue: GpuQueue;
  readonly limits: GpuLimits;
  readonly lost: Promise<{ readonly message: string }>;
  createBuffer(descriptor: { size: number; usage: number; mappedAtCreation?: boolean }): GpuBuffer;
  createCommandEncoder(): GpuCommandEncoder;
  createShaderModule(descriptor: { code: string }): object;
  createBindGroupLayout(descriptor: object): object;
  createPipelineLayout(descriptor: object): object;
  createComputePipelineAsync(descriptor: object): Promise<object>;
  createBindGroup(descriptor: object): object;
  pushErrorScope(filter: "validation" | "out-of-memory" | "internal"): unknown;
  popErrorScope(): Promise<GpuError | null>;
  addEventListener(type: "uncapturederror", listener: (event: { readonly error: GpuError }) => void): unknown;
  destroy(): unknown;
}

/** Whose driver it is. */
export interface GpuAdapterInfo {
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
}

export interface GpuAdapter {
  readonly limits: GpuLimits;
  readonly info?: GpuAdapterInfo;
  requestDevice(descriptor?: object): Promise<GpuDevice>;
}

/** `navigator.gpu` of a browser, or what `create()` of the package `webgpu` returns. */
export interface Gpu {
  requestAdapter(options?: { powerPreference?: "low-power" | "high-performance" }): Promise<GpuAdapter | null>;
}

export const BufferUsage = {
  MapRead: 1,
  MapWrite: 2,
  CopySrc: 4,
  CopyDst: 8,
  Storage: 128,
} as const;

export const MapMode = { Read: 1, Write: 2 } as const;

/** Offsets and sizes of copies are multiples of it. */
export const COPY_ALIGN = 4;

/** Bytes of the largest buffer that a shader of the device can have. */
export function mostBytes({ maxBufferSize, maxStorageBufferBindingSize }: GpuLimits): number {
  return Math.min(maxBufferSize, maxStorageBufferBindingSize);
}

export function alignUp(bytes: number): number {
  return Math.ceil(bytes / COPY_ALIGN) * COPY_ALIGN;
}
