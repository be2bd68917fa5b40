import { checkInt, failParam, isNetmemError } from "@netmem/core";
import {
  checkFrags,
  checkLandingRange,
  checkPages,
  deviceClosed,
  type DeviceFrag,
  type DeviceIsolation,
  type DeviceLanding,
  deviceLost,
  type DeviceMemory,
  StagedLanding,
} from "@netmem/devmem";
import { type FragKernel, gatherKernel } from "./frag-kernel.ts";
import { FragRunner } from "./frag-runner.ts";
import { failNoGpu } from "./gpu-errors.ts";
import {
  BufferUsage,
  COPY_ALIGN,
  type Gpu,
  type GpuAdapterInfo,
  type GpuBuffer,
  type GpuDevice,
  mostBytes,
} from "./gpu-types.ts";
import { LandingBatch, type UploadStats } from "./landing-batch.ts";
import { openDevice } from "./open-device.ts";
import { readBuffer } from "./read-buffer.ts";
import { type SegmentPiece, Staging } from "./staging.ts";

/** Offsets are 32 bits in shaders. */
const MAX_BYTES = 2 ** 32;
const MAX_SEGMENT_BYTES = 2 ** 22;
const DEFAULT_LANDING_BYTES = 2 ** 18;
const DEFAULT_SEGMENTS = 3;

export interface WebGpuMemoryParams {
  /** A multiple of 4096, up to 4 GiB and to what the adapter's storage buffers have. */
  readonly sizeBytes: number;
  /** Most bytes of one landing: a multiple of 4096. Default 256 KiB, or the size if that is less. */
  readonly landingBytes?: number;
  /** Most bytes that go to the device together: a multiple of 4096 from `landingBytes` to 4 MiB. Default 4 MiB. */
  readonly batchBytes?: number;
  /** Batches on their way at a time, 2 to 16. Each has a staging buffer of `batchBytes`. Default 3. */
  readonly batches?: number;
  /** `navigator.gpu`, or what `create()` of the package `webgpu` returned. Default: the first of them that is there. */
  readonly gpu?: Gpu;
  /** A device to share, in place of one of its own. It is not destroyed. */
  readonly device?: GpuDevice;
  /**
   * Called with errors of the device that no call got; the runtime prints them in any case. Those of a device that was given
   * are its owner's to hear.
   */
  readonly onError?: (error: { readonly message: string }) => void;
}

/** Fragments one behind the other, in a buffer of the device. */
export interface GatheredBytes {
  readonly buffer: GpuBuffer;
  readonly lengthBytes: number;
}

interface Parts {
  readonly device: GpuDevice;
  readonly info: GpuAdapterInfo | null;
  readonly isOwn: boolean;
}

/** Made by {@link openWebGpuMemory}. */
export class WebGpuMemory implements DeviceMemory {
  readonly kind = "webgpu";
  readonly isolation: DeviceIsolation = "api";
  readonly alignBytes: number = COPY_ALIGN;
  readonly sizeBytes: number;
  readonly landingBytes: number;
  /** For pipelines of the caller's own. */
  readonly device: GpuDevice;
  /** The memory: a storage buffer, and a source and target of copies. */
  readonly buffer: GpuBuffer;
  /** Whose driver it is; null for a device that was given. */
  readonly info: GpuAdapterInfo | null;
  private readonly isOwn: boolean;
  private readonly staging: Staging;
  private readonly batch: LandingBatch;
  private readonly runner: FragRunner;
  private readonly works = new Set<Promise<unknown>>();
  private readTotal = 0;
  private loss: Error | null = null;
  private closing: Promise<void> | null = null;

  /** @internal Use {@link openWebGpuMemory}. */
  constructor(shape: Shape, { device, info, isOwn }: Parts) {
    const { sizeBytes, landingBytes, batchBytes, batches } = shape;
    const usage = BufferUsage.Storage | BufferUsage.CopySrc | BufferUsage.CopyDst;
    this.sizeBytes = sizeBytes;
    this.landingBytes = landingBytes;
    this.device = device;
    this.info = info;
    this.isOwn = isOwn;
    this.buffer = device.createBuffer({ size: sizeBytes, usage });
    this.staging = new Staging(device, batches, batchBytes);
    this.batch = new LandingBatch(device, this.buffer, this.staging);
    this.runner = new FragRunner(device, this.buffer);
    void device.lost.then(({ message }) => this.lose(new Error(message)));
  }

  get readbackBytes(): number {
    return this.readTotal;
  }

  beginLanding(offset: number, lengthBytes: number): DeviceLanding | null {
    checkLandingRange(this, offset, lengthBytes);
    if (this.failure !== null) return null;
    const piece = this.staging.take(lengthBytes);
    if (piece === null) return null;
    return new StagedLanding(piece.bytes, lengthBytes, {
      land: (length) => this.land(piece, offset, length),
      drop: () => this.drop(piece),
    });
  }

  readback(frags: readonly DeviceFrag[]): Promise<Uint8Array<ArrayBuffer>> {
    return this.work(frags, async () => {
      const bytes = await readBuffer(this.device, this.buffer, frags);
      this.readTotal += bytes.length;
      return bytes;
    });
  }

  /**
   * Has a shader run over `frags`, after everything committed so far; resolves with the words it wrote, which are all that
   * comes back. Call it in `socket.use`, which holds the pages until then.
   *
   * @throws `ERR_NETMEM_GPU_KERNEL` (EINVAL), `ERR_NETMEM_DEVICE_RANGE` (EFAULT), `ERR_NETMEM_INVALID_PARAM` (EINVAL) for more
   * output than a buffer of the device holds, `ERR_NETMEM_DEVICE_CLOSED` (ENODEV), `ERR_NETMEM_DEVICE_LOST` (EIO)
   */
  run(kernel: FragKernel, frags: readonly DeviceFrag[]): Promise<Uint32Array<ArrayBuffer>> {
    return this.work(frags, () => this.runner.run(kernel, frags));
  }

  /**
   * Copies `frags` into a buffer of the device, one behind the other: a stream, without a byte of it leaving the device. The
   * buffer is the caller's to destroy.
   *
   * @throws as {@link run}
   */
  gather(frags: readonly DeviceFrag[]): Promise<GatheredBytes> {
    return this.work(frags, async (lengthBytes) => {
      const buffer = await this.runner.fill(gatherKernel, frags, lengthBytes);
      return { buffer, lengthBytes };
    });
  }

  /** How landings went to the device. */
  stats(): UploadStats {
    return this.batch.stats();
  }

  close(): Promise<void> {
    this.closing ??= this.finish();
    return this.closing;
  }

  private land(piece: SegmentPiece, offset: number, lengthBytes: number): Promise<void> {
    if (this.failure !== null) return Promise.reject(this.failure);
    return this.guard(async () => this.batch.add(piece, offset, lengthBytes));
  }

  private drop(piece: SegmentPiece): void {
    if (this.failure === null) this.staging.drop(piece);
  }

  private get failure(): Error | null {
    return this.closing === null ? this.loss : deviceClosed(this.kind);
  }

  /** Runs `job` behind everything committed so far; `close` waits for it. */
  private work<Result>(frags: readonly DeviceFrag[], job: (totalBytes: number) => Promise<Result>): Promise<Result> {
    const started = async (): Promise<Result> => {
      const totalBytes = checkFrags(this, frags);
      if (this.failure !== null) throw this.failure;
      this.batch.flush();
      return await this.guard(() => job(totalBytes));
    };
    const working = started();
    this.works.add(working);
    const end = (): boolean => this.works.delete(working);
    working.then(end, end);
    return working;
  }

  /** What fails on the device is its loss; a kernel that does not compile, or asks for too much, is not. */
  private async guard<Result>(job: () => Promise<Result>): Promise<Result> {
    try {
      return await job();
    } catch (cause) {
      if (isNetmemError(cause)) throw cause;
      this.lose(cause);
      throw this.loss ?? cause;
    }
  }

  private lose(cause: unknown): void {
    this.loss ??= deviceLost(this.kind, cause);
  }

  private async finish(): Promise<void> {
    await this.batch.settled();
    await Promise.allSettled(this.works);
    this.staging.destroy();
    this.buffer.destroy();
    if (this.isOwn) this.device.destroy();
  }
}

interface Shape {
  readonly sizeBytes: number;
  readonly landingBytes: number;
  readonly batchBytes: number;
  readonly batches: number;
}

function checkShape(params: WebGpuMemoryParams): Shape {
  const sizeBytes = checkPages("sizeBytes", params.sizeBytes, MAX_BYTES);
  const landing = params.landingBytes ?? Math.min(DEFAULT_LANDING_BYTES, sizeBytes);
  const landingBytes = checkPages("landingBytes", landing, MAX_SEGMENT_BYTES);
  const batchBytes = checkPages("batchBytes", params.batchBytes ?? MAX_SEGMENT_BYTES, MAX_SEGMENT_BYTES, landingBytes);
  return {
    sizeBytes,
    landingBytes,
    batchBytes,
    batches: checkInt("batches", params.batches ?? DEFAULT_SEGMENTS, 2, 16),
  };
}

function checkLimits({ limits }: GpuDevice, sizeBytes: number): void {
  const most = mostBytes(limits);
  if (sizeBytes > most)
    failParam("sizeBytes", sizeBytes, `at most ${most} on this device`, "Ask for more in requiredLimits.");
}

/**
 * Device memory in a buffer of a GPU, in Node.js with the package `webgpu` and in browsers. Landings of one turn of the event
 * loop go to the device together, neighbours by one copy.
 *
 * The CPU cannot map the buffer (`isolation` "api"); whoever has the device can copy it out. The device is held, and lives,
 * until `close`.
 *
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL), `ERR_NETMEM_NO_GPU` (ENODEV) with the reason.
 */
export async function openWebGpuMemory(params: WebGpuMemoryParams): Promise<WebGpuMemory> {
  const shape = checkShape(params);
  const { device, gpu, onError = () => undefined } = params;
  if (device !== undefined) {
    checkLimits(device, shape.sizeBytes);
    return new WebGpuMemory(shape, { device, info: null, isOwn: false });
  }
  const bufferBytes = Math.max(shape.sizeBytes, MAX_SEGMENT_BYTES);
  const opened = await openDevice({ bufferBytes, onError, ...(gpu && { gpu }) });
  try {
    return new WebGpuMemory(shape, { ...opened, isOwn: true });
  } catch (cause) {
    opened.device.destroy();
    return failNoGpu(`the device has no room for ${shape.sizeBytes} bytes and their staging`, cause);
  }
}
