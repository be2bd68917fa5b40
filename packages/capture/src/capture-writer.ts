import { CaptureError, CaptureErrorCode } from "./capture-error.ts";

/** What a writer wants to know about a packet. A `PacketInfo` fits. */
export interface PacketMeta {
  /** Bytes the packet had on the wire, 0..2^32-1; taken as the given length if smaller. */
  readonly originalLenBytes: number;
  /** Seconds since 1970-01-01 UTC. */
  readonly tsSec: number;
  /** Nanoseconds into that second, 0..999,999,999; cut to the resolution of the file. */
  readonly tsNs: number;
  /** As returned by `addInterface`; 0 in pcap files. */
  readonly interfaceIdx: number;
}

/** Options that all writers have. */
export interface CaptureWriterOptions {
  /** Gets every chunk, in order. The chunk belongs to the receiver: the writer never touches it again. */
  readonly onChunk: (chunk: Uint8Array<ArrayBuffer>) => void;
  /** Size of the chunks, 64 bytes or more, 64 KiB by default. A larger packet makes a larger chunk. */
  readonly chunkBytes?: number;
  /** Byte order of the file; false by default. */
  readonly bigEndian?: boolean;
}

/** Writes a capture as a sequence of chunks. Writing a packet allocates nothing but the chunks. */
export interface CaptureWriter {
  /** Packets written so far. */
  readonly packetCount: number;
  /** Bytes of the file so far, chunks not yet given away included. */
  readonly totalBytes: number;
  /**
   * Writes the `lenBytes` bytes at `off` as one packet; what is beyond the snap length is left out, as a recorder would.
   * Throws `ERR_NETMEM_CAPTURE_MISUSE`, having written nothing, for a range outside `bytes` or a meta out of range.
   */
  writePacket(bytes: Uint8Array, off: number, lenBytes: number, meta: PacketMeta): void;
  /** Gives away what is gathered. Call it after the last packet. */
  flush(): void;
}

/** The snap length of writers unless told otherwise, which is also libpcap's. */
export const DEFAULT_SNAP_LEN_BYTES = 262_144;

const DEFAULT_CHUNK_BYTES = 65_536;
const MIN_CHUNK_BYTES = 64;
const MAX_U32 = 2 ** 32 - 1;

/** The chunk size that the options ask for. */
export function chunkBytesOf(options: CaptureWriterOptions): number {
  const chunkBytes = options.chunkBytes ?? DEFAULT_CHUNK_BYTES;
  if (chunkBytes >= MIN_CHUNK_BYTES && Number.isSafeInteger(chunkBytes)) return chunkBytes;
  throw writerMisuse(`chunkBytes must be an integer of 64 or more, got ${chunkBytes}`, 0, 0);
}

/** Says what is wrong with the arguments of writePacket, or "" if they are fine. */
export function findMisuse(bytes: Uint8Array, off: number, lenBytes: number, meta: PacketMeta): string {
  const isRange = Number.isInteger(off) && Number.isInteger(lenBytes) && off >= 0 && lenBytes >= 0;
  if (!isRange || off + lenBytes > bytes.length) {
    return `${lenBytes} bytes at ${off} are not inside ${bytes.length} bytes`;
  }
  if (!(Number.isInteger(meta.tsNs) && meta.tsNs >= 0 && meta.tsNs < 1_000_000_000)) {
    return `tsNs must be an integer in 0..999999999, got ${meta.tsNs}`;
  }
  if (!Number.isSafeInteger(meta.tsSec)) return `tsSec must be an integer, got ${meta.tsSec}`;
  return isU32(meta.originalLenBytes) ? "" : `originalLenBytes must be 0..2^32-1, got ${meta.originalLenBytes}`;
}

/** Whether a value fits a 32-bit word of a file. */
export function isU32(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= MAX_U32;
}

/** The error of a call that a writer refuses. */
export function writerMisuse(reason: string, fileOffsetBytes: number, packetsBefore: number): CaptureError {
  return new CaptureError(CaptureErrorCode.misuse, reason, fileOffsetBytes, packetsBefore);
}
