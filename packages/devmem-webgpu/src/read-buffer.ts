import type { DeviceFrag } from "@netmem/devmem";
import { alignUp, BufferUsage, COPY_ALIGN, type GpuBuffer, type GpuDevice, MapMode } from "./gpu-types.ts";

/** Most bytes of one staging buffer on the way back. */
const PART_BYTES = 2 ** 22;

interface Piece {
  readonly offset: number;
  readonly length: number;
  /** In the result. */
  readonly at: number;
}

/** Fragments in pieces of at most `PART_BYTES`, in parts that fit one staging buffer each. */
function partsOf(frags: readonly DeviceFrag[]): Piece[][] {
  const parts: Piece[][] = [];
  let room = 0;
  let at = 0;
  for (const { offset, length } of frags) {
    for (let done = 0; done < length;) {
      const piece = { offset: offset + done, length: Math.min(length - done, PART_BYTES), at: at + done };
      const need = spanOf(piece).size;
      if (need > room) {
        parts.push([]);
        room = PART_BYTES + 2 * COPY_ALIGN;
      }
      parts.at(-1)?.push(piece);
      room -= need;
      done += piece.length;
    }
    at += length;
  }
  return parts;
}

/** The aligned bytes around a piece. */
function spanOf({ offset, length }: Piece): { start: number; size: number } {
  const start = offset - (offset % COPY_ALIGN);
  return { start, size: alignUp(offset + length) - start };
}

async function readPart(device: GpuDevice, source: GpuBuffer, part: readonly Piece[], out: Uint8Array): Promise<void> {
  const size = part.reduce((sum, piece) => sum + spanOf(piece).size, 0);
  const target = device.createBuffer({ size, usage: BufferUsage.MapRead | BufferUsage.CopyDst });
  try {
    const encoder = device.createCommandEncoder();
    let at = 0;
    for (const piece of part) {
      const span = spanOf(piece);
      encoder.copyBufferToBuffer(source, span.start, target, at, span.size);
      at += span.size;
    }
    device.queue.submit([encoder.finish()]);
    await target.mapAsync(MapMode.Read);
    const bytes = new Uint8Array(target.getMappedRange());
    at = 0;
    for (const piece of part) {
      const span = spanOf(piece);
      const from = at + piece.offset - span.start;
      out.set(bytes.subarray(from, from + piece.length), piece.at);
      at += span.size;
    }
  } finally {
    target.destroy();
  }
}

/** A copy of fragments of a buffer that the CPU cannot map, one behind the other. */
export async function readBuffer(
  device: GpuDevice,
  source: GpuBuffer,
  frags: readonly DeviceFrag[],
): Promise<Uint8Array<ArrayBuffer>> {
  const total = frags.reduce((sum, { length }) => sum + length, 0);
  const out = new Uint8Array(total);
  // All parts are submitted before anything that comes later.
  await Promise.all(partsOf(frags).map((part) => readPart(device, source, part, out)));
  return out;
}
