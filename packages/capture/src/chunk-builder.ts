import { viewOf } from "./copy-bytes.ts";

/** Gathers what a writer writes into chunks and gives each full one away. */
export class ChunkBuilder {
  /** The chunk being filled. Read it again after every {@link ChunkBuilder.reserve}. */
  view: DataView;
  /** Bytes given away and gathered so far. */
  totalBytes = 0;
  #bytes: Uint8Array<ArrayBuffer>;
  #usedBytes = 0;
  readonly #chunkBytes: number;
  readonly #onChunk: (chunk: Uint8Array<ArrayBuffer>) => void;

  constructor(chunkBytes: number, onChunk: (chunk: Uint8Array<ArrayBuffer>) => void) {
    this.#chunkBytes = chunkBytes;
    this.#onChunk = onChunk;
    this.#bytes = new Uint8Array(chunkBytes);
    this.view = viewOf(this.#bytes);
  }

  /** Makes room for `count` contiguous zero bytes and returns where in the view they start. */
  reserve(count: number): number {
    if (this.#usedBytes + count > this.#bytes.length) {
      this.flush();
      this.#start(Math.max(count, this.#chunkBytes));
    }
    const off = this.#usedBytes;
    this.#usedBytes += count;
    this.totalBytes += count;
    return off;
  }

  /** Gives away what was gathered, if anything. */
  flush(): void {
    if (this.#usedBytes === 0) return;
    const chunk = this.#bytes.subarray(0, this.#usedBytes);
    this.#start(this.#chunkBytes);
    this.#onChunk(chunk);
  }

  #start(chunkBytes: number): void {
    if (this.#usedBytes === 0 && this.#bytes.length >= chunkBytes) return;
    this.#bytes = new Uint8Array(chunkBytes);
    this.view = viewOf(this.#bytes);
    this.#usedBytes = 0;
  }
}
