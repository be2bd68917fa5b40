import { deviceLost } from "@netmem/devmem";
import { fileFull, isPassing } from "./file-errors.ts";
import type { FileOps } from "./file-ops.ts";

/** One committed landing. */
export interface QueuedWrite {
  readonly offset: number;
  /** What is written: the landing's bytes, rounded up to the alignment. */
  readonly bytes: Uint8Array;
  /** Called once, in the order of the queue; null when the bytes are in the file. */
  readonly done: (error: Error | null) => void;
  /** Called before, when `bytes` is no longer read. */
  readonly written: () => void;
}

/** Counts run freely. */
export interface WriteStats {
  /** System calls, and what they wrote. */
  readonly writes: number;
  readonly writtenBytes: number;
  /** Those that wrote less than they were given. */
  readonly shortWrites: number;
  readonly syncs: number;
  /** Landings that failed. */
  readonly failed: number;
}

const KIND = "file";

/**
 * Writes landings in the order of their commits. What queues up behind a write goes with the next one: neighbours in the
 * file by one system call, and one sync for all of them.
 */
export class WriteQueue {
  private readonly ops: FileOps;
  private readonly syncsAll: boolean;
  private queued: QueuedWrite[] = [];
  private running: Promise<void> | null = null;
  private loss: Error | null = null;
  private writes = 0;
  private writtenBytes = 0;
  private shortWrites = 0;
  private syncs = 0;
  private failed = 0;

  /** @param syncsAll a landing is done when it survives a power failure, not when it is written */
  constructor(ops: FileOps, syncsAll: boolean) {
    this.ops = ops;
    this.syncsAll = syncsAll;
  }

  /** Why nothing can be written any more; null while it can. */
  get lost(): Error | null {
    return this.loss;
  }

  push(write: QueuedWrite): void {
    this.queued.push(write);
    this.running ??= this.run();
  }

  /** Resolves when everything pushed so far is done. Never rejects. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      if (this.running === null) resolve();
      else this.push({ offset: -1, bytes: new Uint8Array(0), written: () => undefined, done: () => resolve() });
    });
  }

  /** Makes what was written survive a power failure. A failure is final: the kernel may have dropped what it could not write. */
  async sync(): Promise<void> {
    if (this.loss !== null) throw this.loss;
    this.syncs++;
    try {
      await this.ops.sync();
    } catch (cause) {
      this.loss = deviceLost(KIND, cause);
      throw this.loss;
    }
  }

  stats(): WriteStats {
    const { writes, writtenBytes, shortWrites, syncs, failed } = this;
    return { writes, writtenBytes, shortWrites, syncs, failed };
  }

  private async run(): Promise<void> {
    // What is committed in this turn of the event loop goes together.
    await Promise.resolve();
    while (this.queued.length > 0) {
      const batch = this.queued;
      this.queued = [];
      await this.writeBatch(batch);
    }
    this.running = null;
  }

  private async writeBatch(batch: readonly QueuedWrite[]): Promise<void> {
    const errors: (Error | null)[] = [];
    for (let from = 0; from < batch.length;) {
      const run = batch.slice(from, runEnd(batch, from));
      const outcome = await this.writeRun(run);
      for (const { written } of run) written();
      if (!this.syncsAll) this.finish(run, outcome);
      errors.push(...outcome);
      from += run.length;
    }
    if (!this.syncsAll) return;
    const hasWritten = batch.some(({ bytes }, n) => bytes.length > 0 && errors[n] === null);
    const failure = hasWritten
      ? await this.sync().then(
          () => null,
          (error: Error) => error,
        )
      : null;
    this.finish(batch, failure === null ? errors : errors.map((error) => error ?? failure));
  }

  private finish(batch: readonly QueuedWrite[], errors: readonly (Error | null)[]): void {
    for (const [n, { bytes, done }] of batch.entries()) {
      const error = errors[n] ?? null;
      if (error !== null && bytes.length > 0) this.failed++;
      done(error);
    }
  }

  /** Writes neighbours; says for each what became of it. */
  private async writeRun(run: readonly QueuedWrite[]): Promise<(Error | null)[]> {
    if (this.loss !== null) return run.map(() => this.loss);
    const start = run[0]!.offset;
    const total = run.reduce((sum, { bytes }) => sum + bytes.length, 0);
    let done = 0;
    try {
      while (done < total) done += await this.writeSome(run, start, done, total);
    } catch (cause) {
      if (!isPassing(cause)) this.loss = deviceLost(KIND, cause);
      return run.map(({ offset, bytes }) =>
        offset + bytes.length <= start + done ? null : (this.loss ?? fileFull(offset, bytes.length, cause)),
      );
    }
    return run.map(() => null);
  }

  private async writeSome(run: readonly QueuedWrite[], start: number, done: number, total: number): Promise<number> {
    const buffers = run.map((one) => restOf(one, start + done)).filter(({ length }) => length > 0);
    this.writes++;
    const count = await this.ops.write(buffers, start + done);
    if (count <= 0) throw new Error("the file took no bytes, and gave no reason");
    this.writtenBytes += count;
    if (done + count < total) this.shortWrites++;
    return count;
  }
}

/** What of a landing lies at or behind byte `position` of the file. */
function restOf({ offset, bytes }: QueuedWrite, position: number): Uint8Array {
  return bytes.subarray(Math.min(bytes.length, Math.max(0, position - offset)));
}

/** Index behind the landings that continue the one at `from`, in the file and in the order of commits. */
function runEnd(batch: readonly QueuedWrite[], from: number): number {
  let end = from + 1;
  for (; end < batch.length; end++) {
    const { offset, bytes } = batch[end - 1]!;
    if (batch[end]!.offset !== offset + bytes.length) break;
  }
  return end;
}
