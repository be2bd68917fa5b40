/** The stable codes of {@link CaptureError}. */
export const CaptureErrorCode = {
  /** The input has no bytes at all. */
  empty: "ERR_NETMEM_CAPTURE_EMPTY",
  /** The first bytes are those of no capture format. */
  notACapture: "ERR_NETMEM_CAPTURE_NOT_A_CAPTURE",
  /** The input ends inside a header or a block. Packets before it were read. */
  truncated: "ERR_NETMEM_CAPTURE_TRUNCATED",
  /** A length, an id or a timestamp contradicts the format. Packets before it were read. */
  corrupt: "ERR_NETMEM_CAPTURE_CORRUPT",
  /** A capture format, or a version of one, that this package does not read. */
  unsupported: "ERR_NETMEM_CAPTURE_UNSUPPORTED",
  /** A mistake in the calling code, not in the file. Nothing was read or written by the call. */
  misuse: "ERR_NETMEM_CAPTURE_MISUSE",
} as const;

export type CaptureErrorCode = (typeof CaptureErrorCode)[keyof typeof CaptureErrorCode];

/** What readers and writers throw. The message is one line: reason, byte offset, packets before it, code. */
export class CaptureError extends Error {
  override readonly name: string = "CaptureError";
  readonly code: CaptureErrorCode;
  /** What is wrong, as a sentence without the position. */
  readonly reason: string;
  /** Where in the file: the start of what is wrong, or the length of the file where it ended too early. */
  readonly fileOffsetBytes: number;
  /** Packets read (or written) before. */
  readonly packetsBefore: number;

  constructor(code: CaptureErrorCode, reason: string, fileOffsetBytes: number, packetsBefore: number) {
    super(`${reason} (byte ${fileOffsetBytes}, after ${packetsBefore} packets; ${code})`);
    this.code = code;
    this.reason = reason;
    this.fileOffsetBytes = fileOffsetBytes;
    this.packetsBefore = packetsBefore;
  }
}
