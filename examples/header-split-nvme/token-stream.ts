import {
  type DeviceFrag,
  type DevmemSocket,
  MSG_SOCK_DEVMEM,
  RECORD_KIND,
  RECORD_SIZE,
  RECORD_TOKEN,
  RECORD_WORDS,
  recordOffset,
  RecordKind,
} from "@netmem/devmem";
import { parseTcp } from "./tcp-segment.ts";

const MAX_RECORDS = 256;
/** Of one `dontNeed`, as in the kernel. */
const MAX_RANGES = 128;
const MAX_TOKENS = 1024;
const RANGE_WORDS = 2;

/** Payload of one record: where it is in the stream and on the device, and the token that holds it. */
export interface StreamPiece extends DeviceFrag {
  /** Sequence number of its first byte. */
  readonly seq: number;
  readonly token: number;
}

/**
 * The application's end of a stream: headers come as bytes, payload as tokens. It never sees a payload byte, and knows where
 * each of them is.
 */
export class TokenStream {
  readonly pieces: StreamPiece[] = [];
  private readonly socket: DevmemSocket;
  private readonly headers = new Uint8Array(2 ** 16);
  private readonly records = new Int32Array(MAX_RECORDS * RECORD_WORDS);
  /** Of the next payload byte. */
  private seq = 0;

  constructor(socket: DevmemSocket) {
    this.socket = socket;
  }

  /** Takes all that waits and has landed. */
  receive(): void {
    const { socket, headers, records } = this;
    while (socket.recv(headers, records, MSG_SOCK_DEVMEM, 2 ** 20) > 0) {
      let headersAt = 0;
      for (let n = 0; n < socket.recordCount; n++) {
        const length = records[n * RECORD_WORDS + RECORD_SIZE]!;
        if (records[n * RECORD_WORDS + RECORD_KIND] === RecordKind.Linear) {
          this.seq = parseTcp(headers.subarray(headersAt, headersAt + length))?.seq ?? 0;
          headersAt += length;
        } else this.takePayload(n, length);
      }
    }
  }

  /** Gives everything back, in ranges, of which one call takes so many. */
  returnAll(): void {
    const tokens = this.pieces.splice(0).map(({ token }) => token);
    for (let from = 0; from < tokens.length; from += MAX_TOKENS) {
      const ranges = rangesOf(tokens.slice(from, from + MAX_TOKENS));
      for (let at = 0; at < ranges.length; at += RANGE_WORDS * MAX_RANGES) {
        const words = Int32Array.from(ranges.slice(at, at + RANGE_WORDS * MAX_RANGES));
        this.socket.dontNeed(words, words.length);
      }
    }
  }

  private takePayload(n: number, length: number): void {
    const token = this.records[n * RECORD_WORDS + RECORD_TOKEN]!;
    this.pieces.push({ seq: this.seq, offset: recordOffset(this.records, n), length, token });
    this.seq = (this.seq + length) >>> 0;
  }
}

/** First token and count, again and again. */
function rangesOf(tokens: readonly number[]): number[] {
  const ranges: number[] = [];
  for (const token of tokens) {
    const last = ranges.length - RANGE_WORDS;
    if (last >= 0 && ranges[last]! + ranges[last + 1]! === token) ranges[last + 1]!++;
    else ranges.push(token, 1);
  }
  return ranges;
}

/** The pieces in the order of the stream. */
export function inOrder(pieces: readonly StreamPiece[], firstSeq: number): StreamPiece[] {
  return pieces.toSorted((a, b) => ((a.seq - firstSeq) | 0) - ((b.seq - firstSeq) | 0));
}
