import {
  chunkBytesOf,
  DEFAULT_SNAP_LEN_BYTES,
  findMisuse,
  isU32,
  writerMisuse,
  type CaptureWriter,
  type CaptureWriterOptions,
  type PacketMeta,
} from "./capture-writer.ts";
import { ChunkBuilder } from "./chunk-builder.ts";
import { copyBytes, LastView } from "./copy-bytes.ts";
import { LinkType } from "./link-type.ts";
import {
  PCAP_HEADER_BYTES,
  PCAP_LINK_TYPE_MASK,
  PCAP_MAGIC_NS,
  PCAP_MAGIC_US,
  PCAP_MAJOR,
  PCAP_MINOR,
  PCAP_RECORD_BYTES,
} from "./pcap-format.ts";

/** Options of {@link createPcapWriter}. */
export interface PcapWriterOptions extends CaptureWriterOptions {
  /** Of the timestamps: microseconds, which every program reads, by default. */
  readonly resolution?: "us" | "ns";
  /** 0..65535, Ethernet by default. See `LinkType`. */
  readonly linkType?: number;
  /** Bytes kept of each packet, 1..2^32-1; 262,144 by default. */
  readonly snapLenBytes?: number;
}

/** Makes a writer of pcap files. The header is written at once. Throws `ERR_NETMEM_CAPTURE_MISUSE` for bad options. */
export function createPcapWriter(options: PcapWriterOptions): CaptureWriter {
  return new PcapWriter(options);
}

class PcapWriter implements CaptureWriter {
  packetCount = 0;
  readonly #chunks: ChunkBuilder;
  readonly #littleEndian: boolean;
  readonly #nsPerTick: number;
  readonly #snapLenBytes: number;
  readonly #src = new LastView();

  constructor(options: PcapWriterOptions) {
    this.#chunks = new ChunkBuilder(chunkBytesOf(options), options.onChunk);
    this.#littleEndian = options.bigEndian !== true;
    this.#nsPerTick = options.resolution === "ns" ? 1 : 1000;
    this.#snapLenBytes = options.snapLenBytes ?? DEFAULT_SNAP_LEN_BYTES;
    const linkType = options.linkType ?? LinkType.ethernet;
    if ((linkType & PCAP_LINK_TYPE_MASK) !== linkType) this.#misuse(`linkType must be 0..65535, got ${linkType}`);
    if (!isU32(this.#snapLenBytes) || this.#snapLenBytes === 0) {
      this.#misuse(`snapLenBytes must be 1..2^32-1, got ${this.#snapLenBytes}`);
    }
    this.#writeHeader(linkType);
  }

  get totalBytes(): number {
    return this.#chunks.totalBytes;
  }

  writePacket(bytes: Uint8Array, off: number, lenBytes: number, meta: PacketMeta): void {
    const misuse = findMisuse(bytes, off, lenBytes, meta);
    if (misuse !== "") this.#misuse(misuse);
    if (meta.interfaceIdx !== 0) this.#misuse(`a pcap file has interface 0 only, got ${meta.interfaceIdx}`);
    if (!isU32(meta.tsSec)) this.#misuse(`tsSec must be 0..2^32-1 in a pcap file, got ${meta.tsSec}`);
    const capturedLenBytes = Math.min(lenBytes, this.#snapLenBytes);
    const at = this.#chunks.reserve(PCAP_RECORD_BYTES + capturedLenBytes);
    const view = this.#chunks.view;
    view.setUint32(at, meta.tsSec, this.#littleEndian);
    view.setUint32(at + 4, Math.floor(meta.tsNs / this.#nsPerTick), this.#littleEndian);
    view.setUint32(at + 8, capturedLenBytes, this.#littleEndian);
    view.setUint32(at + 12, Math.max(lenBytes, meta.originalLenBytes), this.#littleEndian);
    copyBytes(this.#src.of(bytes), off, view, at + PCAP_RECORD_BYTES, capturedLenBytes);
    this.packetCount++;
  }

  flush(): void {
    this.#chunks.flush();
  }

  #writeHeader(linkType: number): void {
    const at = this.#chunks.reserve(PCAP_HEADER_BYTES);
    const view = this.#chunks.view;
    view.setUint32(at, this.#nsPerTick === 1 ? PCAP_MAGIC_NS : PCAP_MAGIC_US, this.#littleEndian);
    view.setUint16(at + 4, PCAP_MAJOR, this.#littleEndian);
    view.setUint16(at + 6, PCAP_MINOR, this.#littleEndian);
    view.setUint32(at + 16, this.#snapLenBytes, this.#littleEndian);
    view.setUint32(at + 20, linkType, this.#littleEndian);
  }

  #misuse(reason: string): never {
    throw writerMisuse(reason, this.totalBytes, this.packetCount);
  }
}
