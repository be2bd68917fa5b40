import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import {
  createFileMemory,
  type FileMemory,
  type FileMemoryParams,
  type FileOps,
  type FileOpsParams,
  openFileMemory,
} from "../src/index.ts";

/** Path of a file that is not there yet, in a folder that goes with the test. */
export function newPath(): string {
  const dir = mkdtempSync(join(tmpdir(), "netmem-devmem-file-"));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  return join(dir, "payload");
}

export function openNew(params: Partial<FileMemoryParams> = {}): Promise<FileMemory> {
  return openFileMemory({ path: newPath(), sizeBytes: 2 ** 20, ...params });
}

/** A file in memory that does what it is told: short writes, errors, delays. */
export class FaultyFile implements FileOps {
  readonly bytes: Uint8Array;
  /** What was synced. */
  durable: Uint8Array;
  /** Positions and numbers of buffers of all writes. */
  readonly log: [position: number, buffers: number][] = [];
  /** Most bytes that the next write takes, or why it fails. */
  nextWrite: () => number | Error = () => Infinity;
  syncError: Error | null = null;
  isClosed = false;

  constructor(sizeBytes: number) {
    this.bytes = new Uint8Array(sizeBytes);
    this.durable = this.bytes.slice();
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<number> {
    await new Promise((resolve) => setImmediate(resolve));
    const outcome = this.nextWrite();
    if (outcome instanceof Error) throw outcome;
    this.log.push([position, buffers.length]);
    const all = Buffer.concat(buffers).subarray(0, outcome);
    this.bytes.set(all, position);
    return all.length;
  }

  async read(bytes: Uint8Array, position: number): Promise<number> {
    bytes.set(this.bytes.subarray(position, position + bytes.length));
    return bytes.length;
  }

  async sync(): Promise<void> {
    if (this.syncError !== null) throw this.syncError;
    this.durable = this.bytes.slice();
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

export function errnoError(code: string): Error {
  return Object.assign(new Error(`${code}: made up`), { code });
}

export function openFaulty(params: Partial<FileOpsParams> = {}): { file: FaultyFile; memory: FileMemory } {
  const sizeBytes = params.sizeBytes ?? 2 ** 20;
  const file = new FaultyFile(sizeBytes);
  return { file, memory: createFileMemory({ sizeBytes, ops: file, ...params }) };
}
