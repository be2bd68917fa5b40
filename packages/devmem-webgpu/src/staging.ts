import { alignUp, BufferUsage, type GpuBuffer, type GpuDevice, MapMode } from "./gpu-types.ts";

/** A buffer that this thread writes and the device copies from, and what of it is used. */
export interface Segment {
  readonly buffer: GpuBuffer;
  /** Its bytes, while it is mapped. */
  bytes: Uint8Array<ArrayBuffer>;
  /** Handed out. A multiple of 4. */
  used: number;
  /** Landings that have bytes of it and have not ended. */
  open: number;
  /** Landings that ended well and whose bytes the device has not been given. */
  pending: number;
}

/** Bytes handed out of a segment. */
export interface SegmentPiece {
  readonly segment: Segment;
  readonly start: number;
  readonly bytes: Uint8Array;
  /** Behind it in the segment. */
  readonly end: number;
}

const NOTHING = new Uint8Array(0);

function newSegment(device: GpuDevice, bytes: number): Segment {
  const usage = BufferUsage.MapWrite | BufferUsage.CopySrc;
  const buffer = device.createBuffer({ size: bytes, usage, mappedAtCreation: true });
  return { buffer, bytes: new Uint8Array(buffer.getMappedRange()), used: 0, open: 0, pending: 0 };
}

/** The segments of one memory. One is filled at a time; the others are with the device, or wait their turn. */
export class Staging {
  private readonly device: GpuDevice;
  private readonly segments: readonly Segment[];
  private readonly free: Segment[];
  private current: Segment | null = null;

  constructor(device: GpuDevice, count: number, segmentBytes: number) {
    this.device = device;
    this.segments = Array.from({ length: count }, () => newSegment(device, segmentBytes));
    this.free = [...this.segments];
  }

  /** Null when no segment has that much. */
  take(lengthBytes: number): SegmentPiece | null {
    const length = alignUp(lengthBytes);
    let segment = this.current;
    if (segment === null || segment.used + length > segment.bytes.length) {
      segment = this.free.pop() ?? null;
      // Without bytes: the device was destroyed in this turn.
      if (segment === null || segment.bytes.length < length) return null;
      this.current = segment;
    }
    const start = segment.used;
    segment.used += length;
    segment.open++;
    return { segment, start, bytes: segment.bytes.subarray(start, start + lengthBytes), end: start + length };
  }

  /** Nothing of the piece lands. This or {@link keep}, once for each piece. */
  drop(piece: SegmentPiece): void {
    this.end(piece, 0);
    this.recycle(piece.segment);
  }

  /** The first `lengthBytes` bytes of the piece go with the next {@link unmap} of its segment. */
  keep(piece: SegmentPiece, lengthBytes: number): void {
    this.end(piece, lengthBytes);
    piece.segment.pending++;
  }

  /** Gives the segment to the device, or a copy of it while somebody still writes to a part of it. */
  unmap(segment: Segment): Segment {
    segment.pending = 0;
    if (segment.open > 0) return this.unmapCopy(segment);
    if (this.current === segment) this.current = null;
    segment.buffer.unmap();
    segment.bytes = NOTHING;
    return segment;
  }

  /** Waits until the device has done with the segment, and has it for landings again. */
  async reclaim(segment: Segment): Promise<void> {
    await segment.buffer.mapAsync(MapMode.Write);
    if (!this.segments.includes(segment)) return void segment.buffer.destroy();
    segment.bytes = new Uint8Array(segment.buffer.getMappedRange());
    segment.used = 0;
    this.free.push(segment);
  }

  destroy(): void {
    this.current = null;
    this.free.length = 0;
    for (const { buffer } of this.segments) buffer.destroy();
  }

  private end({ segment, start, end }: SegmentPiece, lengthBytes: number): void {
    segment.open--;
    // What was not used is there again if nothing lies behind it.
    if (segment.used === end) segment.used = start + alignUp(lengthBytes);
  }

  /** The segment starts anew when nothing in it matters any more. */
  private recycle(segment: Segment): void {
    if (segment.open > 0 || segment.pending > 0) return;
    segment.used = 0;
    if (this.current !== segment) this.free.push(segment);
  }

  private unmapCopy({ bytes, used }: Segment): Segment {
    const copy = newSegment(this.device, used);
    copy.bytes.set(bytes.subarray(0, used));
    copy.buffer.unmap();
    return copy;
  }
}
