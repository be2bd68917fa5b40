import { CaptureError, CaptureErrorCode } from "./capture-error.ts";
import type { CaptureInterface } from "./capture-interface.ts";
import { copyBytes, LastView } from "./copy-bytes.ts";
import { detectFormat } from "./detect-format.ts";
import type { PacketInfo } from "./packet-info.ts";
import { ReaderState } from "./reader-state.ts";
import type { RecordParser } from "./record-parser.ts";

/** What {@link CaptureReader.nextInto} answers. */
export const ReadStatus = {
  /** Everything pushed is used up: push the next chunk, or call finish after the last one. */
  needMore: 0,
  /** One packet was written. */
  packet: 1,
  /** The input ended where it may end. */
  end: 2,
} as const;

export type ReadStatus = (typeof ReadStatus)[keyof typeof ReadStatus];

/** The largest block (pcapng) or record (pcap) that a reader accepts unless told otherwise: 16 MiB. */
export const DEFAULT_MAX_BLOCK_BYTES: number = 16 * 2 ** 20;

const MIN_MAX_BLOCK_BYTES = 64;
const MAX_MAX_BLOCK_BYTES = 2 ** 30;

/** Options of a {@link CaptureReader}. */
export interface CaptureReaderOptions {
  /**
   * Refuse larger blocks and records as corrupt: 64 bytes..1 GiB, 16 MiB by default. The buffer in
   * which a reader gathers what crosses chunks stays below twice this (or 4 KiB), whatever the file says.
   */
  readonly maxBlockBytes?: number;
}

/**
 * Reads pcap and pcapng from chunks of any size, and writes each packet into memory of the caller.
 *
 * Push a chunk, call {@link CaptureReader.nextInto} until it needs more, push the next; after the last one call
 * {@link CaptureReader.finish} and read to the end. Format, byte order and timestamp resolution are recognised. Reading
 * a packet allocates nothing, except where its interface has an unusual timestamp resolution or where the packet
 * crosses two chunks.
 */
export class CaptureReader {
  readonly #state: ReaderState;
  readonly #dst = new LastView();
  #parser: RecordParser | null = null;
  #isFinished = false;

  constructor(options: CaptureReaderOptions = {}) {
    const maxBlockBytes = options.maxBlockBytes ?? DEFAULT_MAX_BLOCK_BYTES;
    if (!(maxBlockBytes >= MIN_MAX_BLOCK_BYTES && maxBlockBytes <= MAX_MAX_BLOCK_BYTES)) {
      throw new CaptureError(CaptureErrorCode.misuse, `maxBlockBytes must be 64..2^30, got ${maxBlockBytes}`, 0, 0);
    }
    this.#state = new ReaderState(maxBlockBytes);
  }

  /** Packets read so far. */
  get packetCount(): number {
    return this.#state.packetCount;
  }

  /** Packets so far that the recorder had cut: captured length below original length. */
  get snappedCount(): number {
    return this.#state.snappedCount;
  }

  /** Packets so far that were cut because the caller's memory was too small. */
  get truncatedCount(): number {
    return this.#state.truncatedCount;
  }

  /** Blocks so far that hold neither packet nor interface: statistics, name tables, anything unknown. */
  get skippedBlockCount(): number {
    return this.#state.skippedBlockCount;
  }

  /** Sections begun so far: 1 in a pcap file. */
  get sectionCount(): number {
    return this.#state.sectionCount;
  }

  /** The interfaces of the current section so far, by `interfaceIdx`. */
  get interfaces(): readonly CaptureInterface[] {
    return this.#parser?.interfaces ?? [];
  }

  /**
   * Takes the next chunk of the file. It is borrowed: leave it unchanged until `nextInto` answers other than packet.
   * Throws `ERR_NETMEM_CAPTURE_MISUSE` while the chunk before still holds unread bytes, and after `finish`.
   */
  push(chunk: Uint8Array): void {
    if (this.#isFinished) this.#misuse("push after finish");
    if (this.#state.queue.chunkLeftBytes > 0) this.#misuse("push before the chunk before was read to its end");
    this.#state.queue.push(chunk);
  }

  /** Says that no more chunks come. May be called again. */
  finish(): void {
    this.#isFinished = true;
  }

  /**
   * Writes the next packet to `dst` from `dstOff` on, at most `maxBytes` bytes of it, and fills `out`.
   *
   * A packet with more bytes than that is cut, flagged (`out.isTruncated`) and counted. `dst` is written only when
   * the answer is packet, and `out` means something only then. Throws {@link CaptureError}: one that comes from the file comes again at every later
   * call; `ERR_NETMEM_CAPTURE_MISUSE` when the range is not inside `dst`.
   */
  nextInto(dst: Uint8Array, dstOff: number, maxBytes: number, out: PacketInfo): ReadStatus {
    const state = this.#state;
    if (!(dstOff >= 0 && maxBytes >= 0 && dstOff + maxBytes <= dst.length)) {
      this.#misuse(`${maxBytes} bytes at ${dstOff} are not inside ${dst.length} bytes`);
    }
    if (state.error !== null) throw state.error;
    const parser = this.#parser ?? this.#openParser();
    if (parser === null || !parser.next(out)) return this.#isFinished ? this.#end(parser) : ReadStatus.needMore;
    const storedLenBytes = Math.min(out.capturedLenBytes, maxBytes);
    const queue = state.queue;
    copyBytes(queue.view, queue.base + parser.dataOff, this.#dst.of(dst), dstOff, storedLenBytes);
    queue.consume(parser.recordBytes);
    out.storedLenBytes = storedLenBytes;
    out.fileOffsetBytes = parser.recordOffsetBytes;
    state.packetCount++;
    if (out.isSnapped) state.snappedCount++;
    if (out.isTruncated) state.truncatedCount++;
    return ReadStatus.packet;
  }

  #openParser(): RecordParser | null {
    if (!this.#state.queue.need(4)) return null;
    this.#parser = detectFormat(this.#state);
    return this.#parser;
  }

  #end(parser: RecordParser | null): ReadStatus {
    const state = this.#state;
    if (parser?.isAtBoundary) return ReadStatus.end;
    const endBytes = state.queue.offsetBytes + state.queue.availableBytes;
    if (endBytes === 0) state.fail(CaptureErrorCode.empty, "the file is empty", 0);
    const reason = `the file ends inside what starts at byte ${parser?.recordOffsetBytes ?? 0}`;
    return state.fail(CaptureErrorCode.truncated, reason, endBytes);
  }

  #misuse(reason: string): never {
    const state = this.#state;
    throw new CaptureError(CaptureErrorCode.misuse, reason, state.queue.offsetBytes, state.packetCount);
  }
}
