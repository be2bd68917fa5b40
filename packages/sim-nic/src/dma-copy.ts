/*
 * data path
 *
 * Copies packet bytes into the arena as the device would write them, without allocating: by 64-bit words where source
 * and destination are aligned, else by 32-bit words. Above 256 bytes the engine's block copy is faster, and works
 * without a view where the source is the arena. Optimised code copies the 64-bit words without making a bigint.
 */
import type { Host } from "@netmem/core";

/** Longer copies within the arena are block copies. */
const MAX_WORD_COPY_BYTES = 256;

export class DmaCopy {
  declare private readonly i32: Int32Array;
  declare private readonly u8: Uint8Array;
  declare private readonly i64: BigInt64Array;
  declare private source: Uint8Array;
  /** Words of the buffer that the source is a part of. */
  declare private sourceWords: Int32Array;
  declare private sourceLongs: BigInt64Array;
  /** Where the source starts in that buffer. */
  private sourceBase = 0;

  constructor(host: Host) {
    this.i32 = host.i32;
    this.u8 = host.u8;
    this.source = host.u8;
    this.sourceWords = host.i32;
    this.i64 = new BigInt64Array(host.u8.buffer);
    this.sourceLongs = this.i64;
  }

  /** What {@link copy} reads. */
  get sourceBytes(): Uint8Array {
    return this.source;
  }

  /** Makes `source` the array that {@link copy} reads. Costs nothing while it stays the same one. */
  setSource(source: Uint8Array): void {
    if (source !== this.source) this.adopt(source);
  }

  /** Copies `lenBytes` bytes from `from` in the source to arena byte offset `to`. Exactly those bytes are written. */
  copy(to: number, from: number, lenBytes: number): void {
    if (lenBytes > MAX_WORD_COPY_BYTES && this.source === this.u8) {
      this.u8.copyWithin(to, from, from + lenBytes);
      return;
    }
    if ((to & 3) !== 0) return this.copyBytes(to, from, lenBytes);
    const start = this.sourceBase + from;
    let done = 0;
    if (((start | to) & 7) === 0) {
      const { i64, sourceLongs } = this;
      const d = to >> 3;
      const w = start >> 3;
      const count = lenBytes >> 3;
      for (let n = 0; n < count; n++) i64[d + n] = sourceLongs[w + n]!;
      done = count << 3;
    }
    if (done !== lenBytes) this.copyWords(to + done, from + done, lenBytes - done);
  }

  private copyWords(to: number, from: number, lenBytes: number): void {
    const { i32, sourceWords } = this;
    const start = this.sourceBase + from;
    if ((start + lenBytes + 3) >> 2 > sourceWords.length) return this.copyBytes(to, from, lenBytes);
    const d = to >> 2;
    const w = start >> 2;
    const count = lenBytes >> 2;
    if ((start & 3) === 0) for (let n = 0; n < count; n++) i32[d + n] = sourceWords[w + n]!;
    else this.copyShifted(d, w, count, (start & 3) << 3);
    const done = count << 2;
    this.copyBytes(to + done, from + done, lenBytes - done);
  }

  private copyShifted(d: number, w: number, count: number, shift: number): void {
    const { i32, sourceWords } = this;
    let low = sourceWords[w]!;
    for (let n = 0; n < count; n++) {
      const high = sourceWords[w + n + 1]!;
      i32[d + n] = (low >>> shift) | (high << (32 - shift));
      low = high;
    }
  }

  /** For a destination that is not on a word, and for the last bytes of a source's buffer. */
  private copyBytes(to: number, from: number, lenBytes: number): void {
    for (let n = 0; n < lenBytes; n++) this.u8[to + n] = this.source[from + n]!;
  }

  /** Control path: makes views over another source. */
  private adopt(source: Uint8Array): void {
    this.source = source;
    this.sourceBase = source.byteOffset;
    const { buffer } = source;
    this.sourceWords = new Int32Array(buffer, 0, buffer.byteLength >> 2);
    this.sourceLongs = new BigInt64Array(buffer, 0, buffer.byteLength >> 3);
  }
}
