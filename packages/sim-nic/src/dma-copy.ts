/*
 * data path
 *
 * Copies packet bytes into the arena as the device would write them. Up to 256 bytes by words, whatever the alignment of
 * the source; above that the engine's block copies are faster.
 */
import type { Host } from "@netmem/core";

const MAX_WORD_COPY_BYTES = 256;

export class DmaCopy {
  private readonly i32: Int32Array;
  private readonly u8: Uint8Array;
  private source: Uint8Array;
  /** Words of the buffer that the source is a part of. */
  private sourceWords: Int32Array;
  /** Where the source starts in that buffer. */
  private sourceBase = 0;

  constructor(host: Host) {
    this.i32 = host.i32;
    this.u8 = host.u8;
    this.source = host.u8;
    this.sourceWords = host.i32;
  }

  /** Makes `source` the array that {@link copy} reads. Costs nothing while it stays the same one. */
  setSource(source: Uint8Array): void {
    if (source !== this.source) this.adopt(source);
  }

  /** Copies `lenBytes` bytes from `from` in the source to arena byte offset `to`. Exactly those bytes are written. */
  copy(to: number, from: number, lenBytes: number): void {
    const start = this.sourceBase + from;
    const words = this.sourceWords;
    if (lenBytes > MAX_WORD_COPY_BYTES || (to & 3) !== 0 || (start + lenBytes + 3) >> 2 > words.length) {
      this.copyBlock(to, from, lenBytes);
      return;
    }
    const i32 = this.i32;
    const count = lenBytes >> 2;
    const w = start >> 2;
    const d = to >> 2;
    if ((start & 3) === 0) for (let n = 0; n < count; n++) i32[d + n] = words[w + n]!;
    else this.copyShifted(d, w, count, (start & 3) << 3);
    for (let n = count << 2; n < lenBytes; n++) this.u8[to + n] = this.source[from + n]!;
  }

  private copyShifted(d: number, w: number, count: number, shift: number): void {
    const i32 = this.i32;
    const words = this.sourceWords;
    let low = words[w]!;
    for (let n = 0; n < count; n++) {
      const high = words[w + n + 1]!;
      i32[d + n] = (low >>> shift) | (high << (32 - shift));
      low = high;
    }
  }

  private copyBlock(to: number, from: number, lenBytes: number): void {
    if (this.source === this.u8) this.u8.copyWithin(to, from, from + lenBytes);
    else this.u8.set(this.source.subarray(from, from + lenBytes), to);
  }

  private adopt(source: Uint8Array): void {
    this.source = source;
    this.sourceBase = source.byteOffset;
    const { buffer } = source;
    this.sourceWords = buffer === this.i32.buffer ? this.i32 : new Int32Array(buffer, 0, buffer.byteLength >> 2);
  }
}
