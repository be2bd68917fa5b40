/** The port both servers listen on, for TCP and UDP. */
export const SERVER_PORT = 20_077;

/** A TCP request starts with two 32-bit words: how many bytes follow, and how many are wanted in return. */
export const REQUEST_HEADER_BYTES = 8;

/** Bytes that tell where they belong: the same in every recording. */
export function patternBytes(lenBytes: number, seed: number): Buffer {
  const bytes = Buffer.allocUnsafe(lenBytes);
  for (let idx = 0; idx < lenBytes; idx++) bytes[idx] = (seed * 37 + idx * 131 + (idx >>> 8) * 17) & 0xff;
  return bytes;
}
