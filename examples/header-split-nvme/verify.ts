import { closeSync, openSync, readSync } from "node:fs";
import type { CapturedStream } from "./captured-stream.ts";
import type { StreamPiece } from "./token-stream.ts";

/** Reads the stream from the file, piece by piece where its tokens say, and returns how many of its bytes are not right. */
export function compareWithFile(
  path: string,
  pieces: readonly StreamPiece[],
  { bytes, firstSeq }: CapturedStream,
): number {
  const seen = new Uint8Array(bytes.length);
  const known = new Uint8Array(bytes.length);
  const fd = openSync(path, "r");
  try {
    for (const { seq, offset, length } of pieces) {
      const at = (seq - firstSeq) | 0;
      readSync(fd, seen, at, length, offset);
      known.fill(1, at, at + length);
    }
  } finally {
    closeSync(fd);
  }
  return bytes.reduce((wrong, byte, n) => wrong + (known[n] === 1 && seen[n] === byte ? 0 : 1), 0);
}
