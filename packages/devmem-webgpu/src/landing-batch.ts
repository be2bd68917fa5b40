import { alignUp, type GpuBuffer, type GpuDevice } from "./gpu-types.ts";
import type { Segment, SegmentPiece, Staging } from "./staging.ts";

interface Copy {
  readonly segment: Segment;
  readonly from: number;
  readonly to: number;
  length: number;
}

/** Counts run freely. */
export interface UploadStats {
  /** Submissions to the device, copies in them, and what they copied. */
  readonly submits: number;
  readonly copies: number;
  readonly copiedBytes: number;
  /** Submissions that failed, with all their landings. */
  readonly failed: number;
}

/**
 * Landings that were committed and not given to the device. They go together, by one submission: of neighbours, on the
 * device and in the staging, by one copy.
 */
export class LandingBatch {
  private readonly device: GpuDevice;
  private readonly target: GpuBuffer;
  private readonly staging: Staging;
  private copies: Copy[] = [];
  private landed: Promise<void> | null = null;
  private start: (() => void) | null = null;
  private readonly inFlight = new Set<Promise<void>>();
  private submits = 0;
  private copyCount = 0;
  private copiedBytes = 0;
  private failed = 0;

  constructor(device: GpuDevice, target: GpuBuffer, staging: Staging) {
    this.device = device;
    this.target = target;
    this.staging = staging;
  }

  /** Lands the first `lengthBytes` bytes of `piece` at byte `to`. Resolves when the device has them; they go with the next flush. */
  add(piece: SegmentPiece, to: number, lengthBytes: number): Promise<void> {
    const { segment, start: from } = piece;
    const length = alignUp(lengthBytes);
    // Of the packet that was here before.
    segment.bytes.fill(0, from + lengthBytes, from + length);
    this.staging.keep(piece, lengthBytes);
    const last = this.copies.at(-1);
    const follows = last?.segment === segment && last.from + last.length === from && last.to + last.length === to;
    if (last !== undefined && follows) last.length += length;
    else this.copies.push({ segment, from, to, length });
    return (this.landed ??= this.open());
  }

  /** Gives everything to the device. */
  flush(): void {
    this.start?.();
  }

  /** Everything that was given to the device has ended, well or not. */
  async settled(): Promise<void> {
    this.flush();
    await Promise.allSettled(this.inFlight);
  }

  stats(): UploadStats {
    const { submits, copyCount: copies, copiedBytes, failed } = this;
    return { submits, copies, copiedBytes, failed };
  }

  /** A batch that begins: what is committed in this turn of the event loop joins it. */
  private open(): Promise<void> {
    const landed = new Promise<void>((resolve, reject) => {
      this.start = () => {
        const { copies } = this;
        this.copies = [];
        this.landed = null;
        this.start = null;
        this.submit(copies).then(resolve, reject);
      };
    });
    const { start } = this;
    void Promise.resolve().then(() => {
      if (this.start === start) this.flush();
    });
    this.inFlight.add(landed);
    const end = (): boolean => this.inFlight.delete(landed);
    landed.then(end, end);
    return landed;
  }

  private async submit(copies: readonly Copy[]): Promise<void> {
    const { device, staging } = this;
    try {
      device.pushErrorScope("validation");
      const segments = this.encode(copies);
      const refused = device.popErrorScope();
      // A staging buffer can be mapped again when the device has read it: that is the fence.
      const reclaimed = segments.map((segment) => staging.reclaim(segment));
      const [error] = await Promise.all([refused, ...reclaimed]);
      if (error !== null) throw new Error(error.message);
    } catch (error) {
      this.failed++;
      throw error;
    }
  }

  /** Submits the copies; returns the segments that they read. */
  private encode(copies: readonly Copy[]): Segment[] {
    const { device, target, staging } = this;
    const sources = new Map<Segment, Segment>();
    const encoder = device.createCommandEncoder();
    for (const { segment, from, to, length } of copies) {
      const source = sources.get(segment) ?? staging.unmap(segment);
      sources.set(segment, source);
      if (length > 0) encoder.copyBufferToBuffer(source.buffer, from, target, to, length);
      this.copiedBytes += length;
    }
    device.queue.submit([encoder.finish()]);
    this.submits++;
    this.copyCount += copies.length;
    return [...sources.values()];
  }
}
