import { deflateSync } from "node:zlib";
import { expect, test } from "vitest";
import { adler32 } from "../src/index.ts";

test("Adler-32 as others compute it", () => {
  expect(adler32(new Uint8Array(0))).toBe(1);
  expect(adler32(new TextEncoder().encode("Wikipedia"))).toBe(0x11e60398);
  const long = new Uint8Array(100_000).fill(255);
  expect(adler32(long)).toBe(adlerByZlib(long));
});

/** The last four bytes of a zlib stream are its checksum. */
function adlerByZlib(bytes: Uint8Array): number {
  const stream = deflateSync(bytes);
  return stream.readUInt32BE(stream.length - 4);
}
