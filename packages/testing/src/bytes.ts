/** Writes a big-endian 16-bit integer. */
export function putU16(dst: Uint8Array, off: number, value: number): void {
  dst[off] = value >>> 8;
  dst[off + 1] = value;
}

/** Writes a big-endian 32-bit integer. */
export function putU32(dst: Uint8Array, off: number, value: number): void {
  putU16(dst, off, value >>> 16);
  putU16(dst, off + 2, value & 0xffff);
}

/** Reads a big-endian 16-bit integer. */
export function getU16(src: Uint8Array, off: number): number {
  return (src[off]! << 8) | src[off + 1]!;
}
