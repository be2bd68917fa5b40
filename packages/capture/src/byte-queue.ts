import { viewOf } from "./copy-bytes.ts";

const EMPTY = new Uint8Array(0);
const FIRST_CARRY_BYTES = 4096;

/**
 * Turns chunks of any size into contiguous windows.
 *
 * A window lies in the chunk itself where it can, so that most bytes are not copied; only a record that crosses chunks
 * is gathered in a carry buffer. That buffer grows with the bytes that really came, to less than twice the largest
 * window asked for.
 */
export class ByteQueue {
  /** The window that {@link ByteQueue.need} made: its bytes start at {@link ByteQueue.base} of this view. */
  view: DataView;
  base = 0;
  /** Position in the file of the next byte. */
  offsetBytes = 0;
  #chunk: Uint8Array = EMPTY;
  #chunkView: DataView;
  #chunkPos = 0;
  #carry: Uint8Array = EMPTY;
  #carryView: DataView;
  #carryBytes = 0;

  constructor() {
    this.view = viewOf(EMPTY);
    this.#chunkView = this.view;
    this.#carryView = this.view;
  }

  /** Bytes of the chunk that are neither consumed nor carried. */
  get chunkLeftBytes(): number {
    return this.#chunk.length - this.#chunkPos;
  }

  /** All bytes that were pushed and not consumed. */
  get availableBytes(): number {
    return this.#carryBytes + this.chunkLeftBytes;
  }

  /** Takes the next chunk; the one before must be used up. It is read in place until `need` or `skip` has used it up. */
  push(chunk: Uint8Array): void {
    this.#chunk = chunk;
    this.#chunkView = viewOf(chunk);
    this.#chunkPos = 0;
  }

  /** Makes the next `count` bytes contiguous. False: not there yet; all of the chunk was taken over. */
  need(count: number): boolean {
    if (this.#carryBytes === 0 && this.chunkLeftBytes >= count) {
      this.view = this.#chunkView;
      this.base = this.#chunkPos;
      return true;
    }
    if (this.#carryBytes < count) this.#gather(Math.min(count - this.#carryBytes, this.chunkLeftBytes));
    this.view = this.#carryView;
    this.base = 0;
    return this.#carryBytes >= count;
  }

  /** Drops `count` bytes from the front of the window that the last `need` made. */
  consume(count: number): void {
    this.offsetBytes += count;
    if (this.#carryBytes === 0) {
      this.#chunkPos += count;
      return;
    }
    this.#carry.copyWithin(0, count, this.#carryBytes);
    this.#carryBytes -= count;
  }

  /** Drops up to `count` bytes without gathering them; returns how many are still to be dropped. */
  skip(count: number): number {
    const fromCarry = Math.min(count, this.#carryBytes);
    if (fromCarry > 0) this.consume(fromCarry);
    const fromChunk = Math.min(count - fromCarry, this.chunkLeftBytes);
    this.#chunkPos += fromChunk;
    this.offsetBytes += fromChunk;
    return count - fromCarry - fromChunk;
  }

  #gather(count: number): void {
    const end = this.#carryBytes + count;
    if (end > this.#carry.length) this.#grow(end);
    this.#carry.set(this.#chunk.subarray(this.#chunkPos, this.#chunkPos + count), this.#carryBytes);
    this.#chunkPos += count;
    this.#carryBytes = end;
  }

  #grow(least: number): void {
    const grown = new Uint8Array(Math.max(least, FIRST_CARRY_BYTES, this.#carry.length * 2));
    grown.set(this.#carry.subarray(0, this.#carryBytes));
    this.#carry = grown;
    this.#carryView = viewOf(grown);
  }
}
