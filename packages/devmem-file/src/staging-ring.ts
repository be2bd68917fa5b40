import { createMemory } from "@netmem/core";

const WASM_PAGE_BYTES = 65536;

/** A piece of staging that somebody has. */
export interface StagingPiece {
  readonly bytes: Uint8Array;
}

interface Piece extends StagingPiece {
  readonly start: number;
  end: number;
  isFree: boolean;
}

/**
 * Staging for landings, handed out one behind the other and around the end. A landing asks for all that it might become and
 * keeps what it became, so that small ones lie close together. Begins on a page boundary, as O_DIRECT wants it; an ordinary
 * Buffer does not.
 */
export class StagingRing {
  private readonly memory: Uint8Array;
  private readonly alignBytes: number;
  /** Oldest first. */
  private readonly pieces: Piece[] = [];

  /** @param alignBytes of each piece, in memory */
  constructor(bytes: number, alignBytes: number) {
    const { buffer } = createMemory(Math.ceil(bytes / WASM_PAGE_BYTES) * WASM_PAGE_BYTES);
    this.memory = new Uint8Array(buffer, 0, bytes);
    this.alignBytes = alignBytes;
  }

  /** Null when there is not that much in one piece. */
  take(lengthBytes: number): StagingPiece | null {
    const length = this.roundUp(lengthBytes);
    const start = this.findRoom(length);
    if (start < 0) return null;
    const piece = {
      bytes: this.memory.subarray(start, start + lengthBytes),
      start,
      end: start + length,
      isFree: false,
    };
    this.pieces.push(piece);
    return piece;
  }

  /** The piece keeps its first `lengthBytes` bytes; the rest is there again if nothing was taken behind it. */
  shrink(piece: StagingPiece, lengthBytes: number): void {
    const last = this.pieces.at(-1);
    if (last === piece) last.end = last.start + this.roundUp(lengthBytes);
  }

  /** Once for each piece. Its memory is there again when those before it are back too. */
  give(piece: StagingPiece): void {
    (piece as Piece).isFree = true;
    while (this.pieces.at(-1)?.isFree === true) this.pieces.pop();
    let freed = 0;
    while (this.pieces[freed]?.isFree === true) freed++;
    if (freed > 0) this.pieces.splice(0, freed);
  }

  private findRoom(length: number): number {
    const first = this.pieces[0];
    const last = this.pieces.at(-1);
    if (first === undefined || last === undefined) return length <= this.memory.length ? 0 : -1;
    const isWrapped = last.start < first.start;
    const limit = isWrapped ? first.start : this.memory.length;
    if (last.end + length <= limit) return last.end;
    return !isWrapped && length <= first.start ? 0 : -1;
  }

  private roundUp(bytes: number): number {
    return Math.ceil(bytes / this.alignBytes) * this.alignBytes;
  }
}
