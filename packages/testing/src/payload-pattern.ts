/** Fills `lenBytes` bytes from `off` with a pattern that depends on `seed` and on the position in it. */
export function fillPattern(dst: Uint8Array, off: number, lenBytes: number, seed: number): void {
  checkRange("fillPattern", dst, off, lenBytes);
  for (let idx = 0; idx < lenBytes; idx++) dst[off + idx] = patternByte(idx, seed);
}

/** The position (from `off`) of the first byte that is not {@link fillPattern}'s, or -1 if all are. */
export function findPatternMismatch(src: Uint8Array, off: number, lenBytes: number, seed: number): number {
  checkRange("findPatternMismatch", src, off, lenBytes);
  for (let idx = 0; idx < lenBytes; idx++) {
    if (src[off + idx] !== patternByte(idx, seed)) return idx;
  }
  return -1;
}

/** A byte that changes with each position and does not repeat with a page or a cache line. */
function patternByte(idx: number, seed: number): number {
  return (Math.imul(seed, 37) + Math.imul(idx, 131) + (idx >>> 8) * 17) & 0xff;
}

function checkRange(what: string, bytes: Uint8Array, off: number, lenBytes: number): void {
  if (off < 0 || lenBytes < 0 || off + lenBytes > bytes.length) {
    throw new RangeError(`${what}: ${lenBytes} bytes at ${off} are not inside ${bytes.length} bytes`);
  }
}
