import { constants } from "node:fs";
import { type FileHandle, open, unlink } from "node:fs/promises";
import { failParam, isNetmemError } from "@netmem/core";
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
import { failOpen } from "./file-errors.ts";
import { type FileOps, handleOps } from "./file-ops.ts";
import { type StagingPiece, StagingRing } from "./staging-ring.ts";
import { WriteQueue, type WriteStats } from "./write-queue.ts";

const PAGE_BYTES = 4096;
const DEFAULT_LANDING_BYTES = 2 ** 18;
const DEFAULT_STAGING_BYTES = 2 ** 22;
const MAX_STAGING_BYTES = 2 ** 30;

/**
 * When the bytes of a landing survive a power failure.
 *
 * * `none`: when the operating system finds time. A landing is visible to readers of the file all the same.
 * * `landing`: when its commit resolves. One fdatasync for all landings that wait at a time.
 * * `close`: when `close()` resolves.
 */
export type FileDurability = "none" | "landing" | "close";

interface FileShape {
  /** A multiple of 4096. */
  readonly sizeBytes: number;
  /** Most bytes of one landing: a multiple of 4096. Default 256 KiB, or the size if that is less. */
  readonly landingBytes?: number;
  /** For landings on their way: a multiple of 4096 from `landingBytes` to 1 GiB. Default 4 MiB, or `landingBytes` if that is more. */
  readonly stagingBytes?: number;
  /** Default "none". */
  readonly durability?: FileDurability;
  /** Past the page cache (O_DIRECT): offsets become multiples of 4096, and lengths are rounded up. Default false. */
  readonly direct?: boolean;
}

export interface FileMemoryParams extends FileShape {
  /** A file, or a block device. */
  readonly path: string;
  /** What to do with a file that is there already; a device always is. Default "refuse". */
  readonly existing?: "refuse" | "reuse";
}

export interface FileOpsParams extends FileShape {
  readonly ops: FileOps;
}

/** Made by {@link openFileMemory}. */
export class FileMemory implements DeviceMemory {
  readonly kind = "file";
  readonly isolation: DeviceIsolation = "descriptor";
  readonly alignBytes: number;
  readonly sizeBytes: number;
  readonly landingBytes: number;
  readonly durability: FileDurability;
  private readonly ops: FileOps;
  private readonly staging: StagingRing;
  private readonly queue: WriteQueue;
  private readonly readings = new Set<Promise<unknown>>();
  private readTotal = 0;
  private closing: Promise<void> | null = null;

  /** @internal Use {@link openFileMemory} or {@link createFileMemory}. */
  constructor(params: FileOpsParams) {
    const { sizeBytes, landingBytes, stagingBytes } = checkShape(params);
    this.sizeBytes = sizeBytes;
    this.landingBytes = landingBytes;
    this.durability = params.durability ?? "none";
    this.alignBytes = params.direct === true ? PAGE_BYTES : 1;
    this.ops = params.ops;
    this.staging = new StagingRing(stagingBytes, this.alignBytes);
    this.queue = new WriteQueue(params.ops, this.durability === "landing");
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
      drop: () => this.staging.give(piece),
    });
  }

  /**
   * A copy of `frags`, read through a descriptor of its own, that is opened for the first of them: with the same rights
   * that anybody has who may read the file.
   *
   * @throws `ERR_NETMEM_FILE_OPEN` with the errno of the system call, when the file cannot be opened for reading.
   */
  readback(frags: readonly DeviceFrag[]): Promise<Uint8Array<ArrayBuffer>> {
    const reading = this.read(frags);
    this.readings.add(reading);
    const end = (): boolean => this.readings.delete(reading);
    reading.then(end, end);
    return reading;
  }

  /** What was written; see `durability` for what survives. */
  stats(): WriteStats {
    return this.queue.stats();
  }

  /** Rejects with `ERR_NETMEM_DEVICE_LOST` (EIO) when the durability that was asked for was not reached. */
  close(): Promise<void> {
    this.closing ??= this.finish();
    return this.closing;
  }

  private land(piece: StagingPiece, offset: number, lengthBytes: number): Promise<void> {
    if (this.failure !== null) return Promise.reject(this.failure);
    this.staging.shrink(piece, lengthBytes);
    return new Promise((resolve, reject) => {
      this.queue.push({
        offset,
        bytes: this.toWrite(piece, lengthBytes),
        written: () => this.staging.give(piece),
        done: (error) => (error === null ? resolve() : reject(error)),
      });
    });
  }

  /** The landing's bytes and, up to the alignment, zeros instead of what an earlier packet left. */
  private toWrite({ bytes }: StagingPiece, lengthBytes: number): Uint8Array {
    const rounded = Math.ceil(lengthBytes / this.alignBytes) * this.alignBytes;
    const all = new Uint8Array(bytes.buffer, bytes.byteOffset, rounded);
    return all.fill(0, lengthBytes);
  }

  private get failure(): Error | null {
    return this.closing === null ? this.queue.lost : deviceClosed(this.kind);
  }

  private async read(frags: readonly DeviceFrag[]): Promise<Uint8Array<ArrayBuffer>> {
    const out = new Uint8Array(checkFrags(this, frags));
    if (this.failure !== null) throw this.failure;
    await this.queue.settled();
    if (this.queue.lost !== null) throw this.queue.lost;
    let at = 0;
    for (const { offset, length } of frags) {
      await this.readAll(out.subarray(at, at + length), offset);
      at += length;
    }
    this.readTotal += at;
    return out;
  }

  private async readAll(bytes: Uint8Array, offset: number): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const count = await this.readSome(bytes.subarray(done), offset + done);
      if (count <= 0) throw deviceLost(this.kind, new Error(`the file ends before byte ${offset + bytes.length}`));
      done += count;
    }
  }

  private async readSome(bytes: Uint8Array, offset: number): Promise<number> {
    try {
      return await this.ops.read(bytes, offset);
    } catch (error) {
      throw isNetmemError(error) ? error : deviceLost(this.kind, error);
    }
  }

  private async finish(): Promise<void> {
    const { queue, kind } = this;
    await queue.settled();
    await Promise.allSettled(this.readings);
    try {
      if (this.durability === "close") await queue.sync();
    } finally {
      await this.ops.close().catch((cause) => Promise.reject(deviceLost(kind, cause)));
    }
  }
}

interface Shape {
  readonly sizeBytes: number;
  readonly landingBytes: number;
  readonly stagingBytes: number;
}

function checkShape(params: FileShape): Shape {
  const sizeBytes = checkPages("sizeBytes", params.sizeBytes, Number.MAX_SAFE_INTEGER);
  const landing = params.landingBytes ?? Math.min(DEFAULT_LANDING_BYTES, sizeBytes);
  const landingBytes = checkPages("landingBytes", landing, MAX_STAGING_BYTES);
  const staging = params.stagingBytes ?? Math.max(DEFAULT_STAGING_BYTES, landingBytes);
  return {
    sizeBytes,
    landingBytes,
    stagingBytes: checkPages("stagingBytes", staging, MAX_STAGING_BYTES, landingBytes),
  };
}

async function openToRead(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY);
  } catch (cause) {
    return failOpen(path, cause);
  }
}

/** Opens for writing alone; a file gets its size, of holes. One that was made for it is gone again when that fails. */
async function openToWrite({ path, sizeBytes, direct, existing }: FileMemoryParams): Promise<FileHandle> {
  const { O_WRONLY, O_CREAT, O_EXCL } = constants;
  const flags = O_WRONLY | O_CREAT | (direct === true ? directFlag() : 0) | (existing === "reuse" ? 0 : O_EXCL);
  let handle: FileHandle | null = null;
  try {
    handle = await open(path, flags, 0o600);
    const stats = await handle.stat();
    if (stats.isFile() && stats.size < sizeBytes) await handle.truncate(sizeBytes);
    return handle;
  } catch (cause) {
    await handle?.close();
    // With O_EXCL what was opened is what was made here.
    if (handle !== null && existing !== "reuse") await unlink(path);
    return failOpen(path, cause);
  }
}

function directFlag(): number {
  const { O_DIRECT } = constants as { O_DIRECT?: number };
  return O_DIRECT ?? failParam("direct", true, "false on this operating system", "It has no O_DIRECT.");
}

/**
 * Device memory in a file: for payload that goes to a disk and that this process does not look at. The descriptor is for
 * writing only. That catches accidents and is no security boundary: whoever runs as the same user can open the file again.
 *
 * A landing is visible to readers of the file when its commit resolves. Commits reject with `ERR_NETMEM_FILE_FULL` (ENOSPC,
 * EDQUOT, EFBIG, or ENOMEM of the kernel) when there was no room, and the memory goes on; with `ERR_NETMEM_DEVICE_LOST` (EIO)
 * for anything else, and then it does not.
 *
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL), `ERR_NETMEM_FILE_OPEN` with the errno of the system call.
 */
export async function openFileMemory(params: FileMemoryParams): Promise<FileMemory> {
  const { path } = params;
  checkShape(params);
  const handle = await openToWrite(params);
  try {
    return new FileMemory({ ...params, ops: handleOps(handle, () => openToRead(path)) });
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** As {@link openFileMemory} with a file of the caller's own, however it is written. @throws `ERR_NETMEM_INVALID_PARAM` */
export function createFileMemory(params: FileOpsParams): FileMemory {
  return new FileMemory(params);
}
