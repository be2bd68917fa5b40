import { CaptureErrorCode } from "./capture-error.ts";
import type { CaptureInterface } from "./capture-interface.ts";
import type { PacketInfo } from "./packet-info.ts";
import {
  BlockType,
  BYTE_ORDER_MAGIC,
  ENHANCED_DATA_OFF,
  MIN_BLOCK_BYTES,
  MIN_ENHANCED_BYTES,
  MIN_SECTION_BYTES,
  MIN_SIMPLE_BYTES,
  padTo4,
  PCAPNG_MAJOR,
  SIMPLE_DATA_OFF,
} from "./pcapng-format.ts";
import { readInterface } from "./pcapng-interface.ts";
import type { ReaderState } from "./reader-state.ts";
import type { RecordParser } from "./record-parser.ts";

/** Bounds what a hostile file can make us remember. */
const MAX_INTERFACES = 65_536;

/** Parses pcapng: sections of blocks. Blocks that hold no packet and no interface are skipped without being gathered. */
export class PcapngParser implements RecordParser {
  dataOff = 0;
  recordBytes = 0;
  recordOffsetBytes = 0;
  interfaces: CaptureInterface[] = [];
  readonly #state: ReaderState;
  #littleEndian = true;
  /** Bytes of the current block that are still to be skipped. */
  #skipBytes = 0;
  /** The length that must stand at the end of the block just skipped; 0: none is being skipped. */
  #expectedTrailer = 0;

  constructor(state: ReaderState) {
    this.#state = state;
  }

  get isAtBoundary(): boolean {
    return this.#expectedTrailer === 0 && this.#state.queue.availableBytes === 0;
  }

  next(info: PacketInfo): boolean {
    for (;;) {
      if (!this.#finishSkip()) return false;
      const queue = this.#state.queue;
      this.recordOffsetBytes = queue.offsetBytes;
      if (!queue.need(MIN_BLOCK_BYTES)) return false;
      // The section type reads the same in both byte orders.
      const type = queue.view.getUint32(queue.base, this.#littleEndian);
      if (type === BlockType.section) this.#setByteOrder();
      this.recordBytes = this.#blockLength();
      if (!isKept(type)) {
        this.#startSkip();
        continue;
      }
      if (!queue.need(this.recordBytes)) return false;
      this.#checkTrailer(queue.view.getUint32(queue.base + this.recordBytes - 4, this.#littleEndian));
      if (this.#readBlock(type, info)) return true;
      queue.consume(this.recordBytes);
    }
  }

  #setByteOrder(): void {
    const queue = this.#state.queue;
    if (queue.view.getUint32(queue.base + 8, true) === BYTE_ORDER_MAGIC) this.#littleEndian = true;
    else if (queue.view.getUint32(queue.base + 8, false) === BYTE_ORDER_MAGIC) this.#littleEndian = false;
    else this.#corrupt("a section header has no byte order magic");
  }

  #blockLength(): number {
    const queue = this.#state.queue;
    const blockBytes = queue.view.getUint32(queue.base + 4, this.#littleEndian);
    if (blockBytes < MIN_BLOCK_BYTES || blockBytes % 4 !== 0) this.#corrupt(`a block cannot have ${blockBytes} bytes`);
    const maxBytes = this.#state.maxBlockBytes;
    if (blockBytes > maxBytes)
      this.#corrupt(`a block of ${blockBytes} bytes is larger than maxBlockBytes (${maxBytes})`);
    return blockBytes;
  }

  #startSkip(): void {
    this.#skipBytes = this.recordBytes - 4;
    this.#expectedTrailer = this.recordBytes;
    this.#state.skippedBlockCount++;
  }

  #finishSkip(): boolean {
    if (this.#expectedTrailer === 0) return true;
    const queue = this.#state.queue;
    this.#skipBytes = queue.skip(this.#skipBytes);
    if (this.#skipBytes > 0 || !queue.need(4)) return false;
    this.#checkTrailer(queue.view.getUint32(queue.base, this.#littleEndian));
    queue.consume(4);
    this.#expectedTrailer = 0;
    return true;
  }

  #checkTrailer(trailer: number): void {
    if (trailer !== this.recordBytes) {
      this.#corrupt(`a block of ${this.recordBytes} bytes ends with the length ${trailer}`);
    }
  }

  /** True: the block is a packet and `info` is filled. */
  #readBlock(type: number, info: PacketInfo): boolean {
    if (type === BlockType.section) return this.#readSection();
    if (type === BlockType.interface) return this.#readInterface();
    info.sectionIdx = this.#state.sectionCount - 1;
    if (type === BlockType.simple) this.#readSimple(info);
    else this.#readEnhanced(type, info);
    return true;
  }

  #readSection(): false {
    const queue = this.#state.queue;
    if (this.recordBytes < MIN_SECTION_BYTES) this.#corrupt(`a section header cannot have ${this.recordBytes} bytes`);
    const major = queue.view.getUint16(queue.base + 12, this.#littleEndian);
    if (major !== PCAPNG_MAJOR) {
      const reason = `pcapng version ${major} is not read, only 1 is`;
      this.#state.fail(CaptureErrorCode.unsupported, reason, this.recordOffsetBytes);
    }
    this.interfaces = [];
    this.#state.sectionCount++;
    return false;
  }

  #readInterface(): false {
    if (this.interfaces.length >= MAX_INTERFACES) this.#corrupt(`a section has more than ${MAX_INTERFACES} interfaces`);
    this.interfaces.push(readInterface(this.#state, this.recordBytes, this.#littleEndian));
    return false;
  }

  #readSimple(info: PacketInfo): void {
    const queue = this.#state.queue;
    if (this.recordBytes < MIN_SIMPLE_BYTES)
      this.#corrupt(`a simple packet block cannot have ${this.recordBytes} bytes`);
    const first = this.#interfaceAt(0);
    const originalLenBytes = queue.view.getUint32(queue.base + 8, this.#littleEndian);
    const limitBytes = first.snapLenBytes === 0 ? originalLenBytes : first.snapLenBytes;
    this.#fill(info, 0, first, SIMPLE_DATA_OFF, Math.min(originalLenBytes, limitBytes), originalLenBytes);
    info.hasTimestamp = false;
    info.tsSec = 0;
    info.tsNs = 0;
  }

  #readEnhanced(type: number, info: PacketInfo): void {
    const { view, base } = this.#state.queue;
    const littleEndian = this.#littleEndian;
    if (this.recordBytes < MIN_ENHANCED_BYTES) this.#corrupt(`a packet block cannot have ${this.recordBytes} bytes`);
    const isOld = type === BlockType.packet;
    const interfaceIdx = isOld ? view.getUint16(base + 8, littleEndian) : view.getUint32(base + 8, littleEndian);
    const from = this.#interfaceAt(interfaceIdx);
    const capturedLenBytes = view.getUint32(base + 20, littleEndian);
    const originalLenBytes = view.getUint32(base + 24, littleEndian);
    this.#fill(info, interfaceIdx, from, ENHANCED_DATA_OFF, capturedLenBytes, originalLenBytes);
    if (!from.scale.convert(view.getUint32(base + 12, littleEndian), view.getUint32(base + 16, littleEndian))) {
      this.#corrupt("a timestamp is out of any calendar");
    }
    info.hasTimestamp = true;
    info.tsSec = from.scale.sec;
    info.tsNs = from.scale.ns;
  }

  #interfaceAt(interfaceIdx: number): CaptureInterface {
    const found = this.interfaces[interfaceIdx];
    return found ?? this.#corrupt(`interface ${interfaceIdx} is none of the section's ${this.interfaces.length}`);
  }

  #fill(
    info: PacketInfo,
    interfaceIdx: number,
    from: CaptureInterface,
    dataOff: number,
    capturedLenBytes: number,
    originalLenBytes: number,
  ): void {
    if (dataOff + padTo4(capturedLenBytes) + 4 > this.recordBytes) {
      this.#corrupt(`${capturedLenBytes} captured bytes do not fit into a block of ${this.recordBytes} bytes`);
    }
    if (capturedLenBytes > originalLenBytes) {
      this.#corrupt(`a packet of ${originalLenBytes} bytes cannot have ${capturedLenBytes} captured bytes`);
    }
    this.dataOff = dataOff;
    info.interfaceIdx = interfaceIdx;
    info.linkType = from.linkType;
    info.capturedLenBytes = capturedLenBytes;
    info.originalLenBytes = originalLenBytes;
  }

  #corrupt(reason: string): never {
    return this.#state.fail(CaptureErrorCode.corrupt, reason, this.recordOffsetBytes);
  }
}

function isKept(type: number): boolean {
  switch (type) {
    case BlockType.section:
    case BlockType.interface:
    case BlockType.packet:
    case BlockType.simple:
    case BlockType.enhanced:
      return true;
    default:
      return false;
  }
}
