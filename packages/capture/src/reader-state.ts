import { ByteQueue } from "./byte-queue.ts";
import { CaptureError, type CaptureErrorCode } from "./capture-error.ts";

/** What the parsers of one reader share: the input, the counters, and the error that ended it. */
export class ReaderState {
  readonly queue: ByteQueue = new ByteQueue();
  /** No block or record may be larger. */
  readonly maxBlockBytes: number;
  /** The first error: a reader that failed stays failed. */
  error: CaptureError | null = null;
  packetCount = 0;
  snappedCount = 0;
  truncatedCount = 0;
  skippedBlockCount = 0;
  sectionCount = 0;

  constructor(maxBlockBytes: number) {
    this.maxBlockBytes = maxBlockBytes;
  }

  /** Ends the reader: throws, now and at every later read. */
  fail(code: CaptureErrorCode, reason: string, fileOffsetBytes: number): never {
    this.error = new CaptureError(code, reason, fileOffsetBytes, this.packetCount);
    throw this.error;
  }
}
