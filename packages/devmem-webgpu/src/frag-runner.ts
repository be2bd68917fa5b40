import { failParam } from "@netmem/core";
import type { DeviceFrag } from "@netmem/devmem";
import { badKernel } from "./gpu-errors.ts";
import { FRAG_KERNEL_PRELUDE, type FragKernel } from "./frag-kernel.ts";
import { alignUp, BufferUsage, type GpuBuffer, type GpuDevice, MapMode, mostBytes } from "./gpu-types.ts";

const WORD_BYTES = 4;
const FRAG_WORDS = 3;
const MAX_GROUPS = 65535;
const COMPUTE_STAGE = 4;

interface Pipeline {
  readonly pipeline: object;
  readonly layout: object;
}

/** Runs kernels over fragments of one buffer. */
export class FragRunner {
  private readonly device: GpuDevice;
  private readonly memory: GpuBuffer;
  private readonly layout: object;
  private readonly pipelines = new Map<string, Promise<Pipeline>>();

  constructor(device: GpuDevice, memory: GpuBuffer) {
    this.device = device;
    this.memory = memory;
    const entries = ["read-only-storage", "read-only-storage", "storage"].map((type, binding) => ({
      binding,
      visibility: COMPUTE_STAGE,
      buffer: { type },
    }));
    this.layout = device.createBindGroupLayout({ entries });
  }

  /** The words that the kernel wrote. */
  async run(kernel: FragKernel, frags: readonly DeviceFrag[]): Promise<Uint32Array<ArrayBuffer>> {
    const bytes = frags.length * kernel.wordsPerFrag * WORD_BYTES;
    if (bytes === 0) return new Uint32Array(0);
    const out = this.newOut(bytes);
    try {
      return new Uint32Array(await this.dispatch(kernel, frags, out, bytes));
    } finally {
      out.destroy();
    }
  }

  /** Has the kernel fill a buffer that stays with the device; resolves when it has. */
  async fill(kernel: FragKernel, frags: readonly DeviceFrag[], bytes: number): Promise<GpuBuffer> {
    const out = this.newOut(Math.max(WORD_BYTES, alignUp(bytes)));
    if (bytes === 0) return out;
    try {
      // A word that was read back says that all of it is done, which `onSubmittedWorkDone` does not.
      await this.dispatch(kernel, frags, out, WORD_BYTES);
      return out;
    } catch (error) {
      out.destroy();
      throw error;
    }
  }

  private newOut(bytes: number): GpuBuffer {
    const most = mostBytes(this.device.limits);
    if (bytes > most)
      failParam("frags", bytes, `${most} bytes of output at most`, "Ask for fewer fragments at a time.");
    return this.device.createBuffer({ size: bytes, usage: BufferUsage.Storage | BufferUsage.CopySrc });
  }

  /** Runs the kernel and reads the first `bytes` bytes of `out`. */
  private async dispatch(
    kernel: FragKernel,
    frags: readonly DeviceFrag[],
    out: GpuBuffer,
    bytes: number,
  ): Promise<ArrayBuffer> {
    const { pipeline, layout } = await this.pipelineOf(kernel);
    const { device } = this;
    const table = this.tableOf(frags);
    const read = device.createBuffer({ size: bytes, usage: BufferUsage.MapRead | BufferUsage.CopyDst });
    try {
      device.pushErrorScope("validation");
      const buffers = [this.memory, table, out].map((buffer, binding) => ({ binding, resource: { buffer } }));
      const group = device.createBindGroup({ layout, entries: buffers });
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(Math.min(frags.length, MAX_GROUPS), Math.ceil(frags.length / MAX_GROUPS));
      pass.end();
      encoder.copyBufferToBuffer(out, 0, read, 0, bytes);
      device.queue.submit([encoder.finish()]);
      const [refused] = await Promise.all([device.popErrorScope(), read.mapAsync(MapMode.Read)]);
      if (refused !== null) throw new Error(refused.message);
      return read.getMappedRange().slice(0);
    } finally {
      table.destroy();
      read.destroy();
    }
  }

  /** Where each fragment is, and where it would be one behind the other. Written through a mapping: no upload of a view. */
  private tableOf(frags: readonly DeviceFrag[]): GpuBuffer {
    const size = frags.length * FRAG_WORDS * WORD_BYTES;
    const table = this.device.createBuffer({ size, usage: BufferUsage.Storage, mappedAtCreation: true });
    const words = new Uint32Array(table.getMappedRange());
    let at = 0;
    for (const [n, { offset, length }] of frags.entries()) {
      words.set([offset, length, at], n * FRAG_WORDS);
      at += length;
    }
    table.unmap();
    return table;
  }

  private pipelineOf({ code }: FragKernel): Promise<Pipeline> {
    const known = this.pipelines.get(code);
    if (known !== undefined) return known;
    const made = this.compile(code);
    this.pipelines.set(code, made);
    return made;
  }

  private async compile(code: string): Promise<Pipeline> {
    const { device, layout } = this;
    try {
      device.pushErrorScope("validation");
      const module = device.createShaderModule({ code: FRAG_KERNEL_PRELUDE + code });
      const refused = await device.popErrorScope();
      if (refused !== null) throw new Error(refused.message);
      const pipeline = await device.createComputePipelineAsync({
        layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: "main" },
      });
      return { pipeline, layout };
    } catch (cause) {
      throw badKernel(cause);
    }
  }
}
