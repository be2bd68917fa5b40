/** Shorter copies go byte by byte: making a view costs as much. */
const BYTE_COPY_BYTES = 64;

/**
 * Copies between two buffers. Above 64 bytes it makes one short-lived view: JavaScript has no other block copy between
 * buffers.
 */
export function copyBytes(to: Uint8Array, at: number, from: Uint8Array, start: number, lenBytes: number): void {
  if (lenBytes > BYTE_COPY_BYTES) to.set(from.subarray(start, start + lenBytes), at);
  else for (let n = 0; n < lenBytes; n++) to[at + n] = from[start + n]!;
}
