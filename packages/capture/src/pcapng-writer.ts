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
import { copyBytes, LastView, viewOf } from "./copy-bytes.ts";
import {
  BlockType,
  BYTE_ORDER_MAGIC,
  DEFAULT_TS_RESOLUTION,
  ENHANCED_DATA_OFF,
  MIN_ENHANCED_BYTES,
  MIN_INTERFACE_BYTES,
  MIN_SECTION_BYTES,
  OptionCode,
  padTo4,
  PCAPNG_MAJOR,
} from "./pcapng-format.ts";
import { TickScale } from "./tick-scale.ts";
import { encodeUtf8 } from "./utf8.ts";

const UNKNOWN_SECTION_LENGTH = -1;
const MAX_NAME_BYTES = 256;
const OPTION_HEADER_BYTES = 4;

/** An interface of a pcapng file. */
export interface InterfaceParams {
  /** 0..65535. See `LinkType`. */
  readonly linkType: number;
  /** Up to 256 bytes of UTF-8; none by default. */
  readonly name?: string;
  /** Bytes kept of each packet, 0 for no limit; 262,144 by default. */
  readonly snapLenBytes?: number;
  /**
   * A tick is 10^-n seconds: n of 0..9, 6 by default, 9 for nanoseconds. Or 2^-n: 0x80 + n, n of 0..23.
   */
  readonly tsResolution?: number;
  /** Seconds that are taken off every timestamp and stored once; a safe integer, 0 by default. */
  readonly tsOffsetSec?: number;
}

/** Writes pcapng. Each interface must be added before its first packet. */
export interface PcapngWriter extends CaptureWriter {
  /** Adds an interface and returns its index: 0, 1, ... Throws `ERR_NETMEM_CAPTURE_MISUSE` for bad parameters. */
  addInterface(params: InterfaceParams): number;
}

interface WriterInterface {
  readonly snapLenBytes: number;
  readonly tsOffsetSec: number;
  readonly scale: TickScale;
}

/** Makes a writer of pcapng files with one section. Its header is written at once. */
export function createPcapngWriter(options: CaptureWriterOptions): PcapngWriter {
  return new PcapngFileWriter(options);
}

class PcapngFileWriter implements PcapngWriter {
  packetCount = 0;
  readonly #chunks: ChunkBuilder;
  readonly #littleEndian: boolean;
  readonly #interfaces: WriterInterface[] = [];
  readonly #src = new LastView();

  constructor(options: CaptureWriterOptions) {
    this.#chunks = new ChunkBuilder(chunkBytesOf(options), options.onChunk);
    this.#littleEndian = options.bigEndian !== true;
    this.#writeSection();
  }

  get totalBytes(): number {
    return this.#chunks.totalBytes;
  }

  addInterface(params: InterfaceParams): number {
    const resolution = params.tsResolution ?? DEFAULT_TS_RESOLUTION;
    const snapLenBytes = params.snapLenBytes ?? DEFAULT_SNAP_LEN_BYTES;
    const tsOffsetSec = params.tsOffsetSec ?? 0;
    const name = encodeUtf8(params.name ?? "");
    if ((params.linkType & 0xffff) !== params.linkType)
      this.#misuse(`linkType must be 0..65535, got ${params.linkType}`);
    if (!isU32(snapLenBytes)) this.#misuse(`snapLenBytes must be 0..2^32-1, got ${snapLenBytes}`);
    if (!TickScale.isWritable(resolution)) this.#misuse(`tsResolution must be 0..9 or 0x80..0x97, got ${resolution}`);
    if (!Number.isSafeInteger(tsOffsetSec)) this.#misuse(`tsOffsetSec must be an integer, got ${tsOffsetSec}`);
    if (name.length > MAX_NAME_BYTES)
      this.#misuse(`name has ${name.length} bytes, at most ${MAX_NAME_BYTES} are written`);
    this.#writeInterface(params.linkType, snapLenBytes, name, resolution, tsOffsetSec);
    this.#interfaces.push({ snapLenBytes, tsOffsetSec, scale: new TickScale(resolution) });
    return this.#interfaces.length - 1;
  }

  writePacket(bytes: Uint8Array, off: number, lenBytes: number, meta: PacketMeta): void {
    const misuse = findMisuse(bytes, off, lenBytes, meta);
    if (misuse !== "") this.#misuse(misuse);
    const to = this.#interfaces[meta.interfaceIdx];
    if (to === undefined) return this.#misuse(`interface ${meta.interfaceIdx} was not added`);
    const tsSec = meta.tsSec - to.tsOffsetSec;
    if (!isU32(tsSec)) this.#misuse(`tsSec must be 0..2^32-1 seconds from the interface's offset, got ${meta.tsSec}`);
    to.scale.convert(tsSec, meta.tsNs);
    const capturedLenBytes = to.snapLenBytes === 0 ? lenBytes : Math.min(lenBytes, to.snapLenBytes);
    const at = this.#startBlock(BlockType.enhanced, MIN_ENHANCED_BYTES + padTo4(capturedLenBytes));
    this.#put32(at + 8, meta.interfaceIdx);
    this.#put32(at + 12, to.scale.high);
    this.#put32(at + 16, to.scale.low);
    this.#put32(at + 20, capturedLenBytes);
    this.#put32(at + 24, Math.max(lenBytes, meta.originalLenBytes));
    copyBytes(this.#src.of(bytes), off, this.#chunks.view, at + ENHANCED_DATA_OFF, capturedLenBytes);
    this.packetCount++;
  }

  flush(): void {
    this.#chunks.flush();
  }

  #writeSection(): void {
    const at = this.#startBlock(BlockType.section, MIN_SECTION_BYTES);
    this.#put32(at + 8, BYTE_ORDER_MAGIC);
    this.#put16(at + 12, PCAPNG_MAJOR);
    this.#put32(at + 16, UNKNOWN_SECTION_LENGTH);
    this.#put32(at + 20, UNKNOWN_SECTION_LENGTH);
  }

  #writeInterface(
    linkType: number,
    snapLenBytes: number,
    name: Uint8Array,
    resolution: number,
    tsOffsetSec: number,
  ): void {
    const nameBytes = name.length === 0 ? 0 : OPTION_HEADER_BYTES + padTo4(name.length);
    const offsetBytes = tsOffsetSec === 0 ? 0 : OPTION_HEADER_BYTES + 8;
    const optionsBytes = nameBytes + offsetBytes + 2 * OPTION_HEADER_BYTES + 4;
    const at = this.#startBlock(BlockType.interface, MIN_INTERFACE_BYTES + optionsBytes);
    this.#put16(at + 8, linkType);
    this.#put32(at + 12, snapLenBytes);
    let option = at + 16;
    if (nameBytes > 0) {
      const value = this.#startOption(option, OptionCode.ifName, name.length);
      copyBytes(viewOf(name), 0, this.#chunks.view, value, name.length);
      option += nameBytes;
    }
    this.#chunks.view.setUint8(this.#startOption(option, OptionCode.ifTsResol, 1), resolution);
    option += OPTION_HEADER_BYTES + 4;
    if (offsetBytes === 0) return;
    const value = this.#startOption(option, OptionCode.ifTsOffset, 8);
    this.#chunks.view.setBigInt64(value, BigInt(tsOffsetSec), this.#littleEndian);
  }

  /** Writes an option's header and returns where its value goes. The end option is four zero bytes, there already. */
  #startOption(at: number, code: number, lenBytes: number): number {
    this.#put16(at, code);
    this.#put16(at + 2, lenBytes);
    return at + OPTION_HEADER_BYTES;
  }

  /** Reserves a block of zeros with its type and both its lengths. */
  #startBlock(type: number, blockBytes: number): number {
    const at = this.#chunks.reserve(blockBytes);
    this.#put32(at, type);
    this.#put32(at + 4, blockBytes);
    this.#put32(at + blockBytes - 4, blockBytes);
    return at;
  }

  #put16(at: number, value: number): void {
    this.#chunks.view.setUint16(at, value, this.#littleEndian);
  }

  #put32(at: number, value: number): void {
    this.#chunks.view.setUint32(at, value, this.#littleEndian);
  }

  #misuse(reason: string): never {
    throw writerMisuse(reason, this.totalBytes, this.packetCount);
  }
}
