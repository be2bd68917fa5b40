import { CaptureErrorCode } from "./capture-error.ts";
import { CaptureInterface } from "./capture-interface.ts";
import type { PacketInfo } from "./packet-info.ts";
import { PCAP_HEADER_BYTES, PCAP_LINK_TYPE_MASK, PCAP_MAJOR, PCAP_RECORD_BYTES } from "./pcap-format.ts";
import type { ReaderState } from "./reader-state.ts";
import type { RecordParser } from "./record-parser.ts";

const NS_PER_SEC = 1_000_000_000;

/** Parses pcap: one header, then records. */
export class PcapParser implements RecordParser {
  readonly dataOff: number = PCAP_RECORD_BYTES;
  recordBytes = 0;
  recordOffsetBytes = 0;
  readonly interfaces: CaptureInterface[] = [];
  readonly #state: ReaderState;
  readonly #littleEndian: boolean;
  readonly #nsPerTick: number;
  #linkType = -1;

  constructor(state: ReaderState, littleEndian: boolean, isNanosecond: boolean) {
    this.#state = state;
    this.#littleEndian = littleEndian;
    this.#nsPerTick = isNanosecond ? 1 : 1000;
  }

  get isAtBoundary(): boolean {
    return this.#linkType >= 0 && this.#state.queue.availableBytes === 0;
  }

  next(info: PacketInfo): boolean {
    if (this.#linkType < 0 && !this.#readHeader()) return false;
    const queue = this.#state.queue;
    this.recordOffsetBytes = queue.offsetBytes;
    if (!queue.need(PCAP_RECORD_BYTES)) return false;
    const capturedLenBytes = queue.view.getUint32(queue.base + 8, this.#littleEndian);
    this.recordBytes = PCAP_RECORD_BYTES + capturedLenBytes;
    this.#checkLengths(capturedLenBytes, queue.view.getUint32(queue.base + 12, this.#littleEndian));
    if (!queue.need(this.recordBytes)) return false;
    this.#fill(info, queue.view, queue.base);
    return true;
  }

  #readHeader(): boolean {
    const queue = this.#state.queue;
    if (!queue.need(PCAP_HEADER_BYTES)) return false;
    const view = queue.view;
    const major = view.getUint16(queue.base + 4, this.#littleEndian);
    if (major !== PCAP_MAJOR) {
      this.#state.fail(CaptureErrorCode.unsupported, `pcap version ${major} is not read, only 2 is`, 4);
    }
    const snapLenBytes = view.getUint32(queue.base + 16, this.#littleEndian);
    this.#linkType = view.getUint32(queue.base + 20, this.#littleEndian) & PCAP_LINK_TYPE_MASK;
    this.interfaces.push(new CaptureInterface(this.#linkType, snapLenBytes, "", this.#nsPerTick === 1 ? 9 : 6, 0));
    this.#state.sectionCount = 1;
    queue.consume(PCAP_HEADER_BYTES);
    return true;
  }

  #checkLengths(capturedLenBytes: number, originalLenBytes: number): void {
    const state = this.#state;
    if (this.recordBytes > state.maxBlockBytes) {
      const reason = `a record of ${this.recordBytes} bytes is larger than maxBlockBytes (${state.maxBlockBytes})`;
      state.fail(CaptureErrorCode.corrupt, reason, this.recordOffsetBytes);
    }
    if (capturedLenBytes > originalLenBytes) {
      const reason = `a packet of ${originalLenBytes} bytes cannot have ${capturedLenBytes} captured bytes`;
      state.fail(CaptureErrorCode.corrupt, reason, this.recordOffsetBytes);
    }
  }

  #fill(info: PacketInfo, view: DataView, base: number): void {
    info.capturedLenBytes = view.getUint32(base + 8, this.#littleEndian);
    info.originalLenBytes = view.getUint32(base + 12, this.#littleEndian);
    info.interfaceIdx = 0;
    info.sectionIdx = 0;
    info.linkType = this.#linkType;
    info.hasTimestamp = true;
    const ns = view.getUint32(base + 4, this.#littleEndian) * this.#nsPerTick;
    // Some recorders write fractions of a second and more; libpcap reads them, and so do we.
    const carrySec = Math.floor(ns / NS_PER_SEC);
    info.tsSec = view.getUint32(base, this.#littleEndian) + carrySec;
    info.tsNs = ns - carrySec * NS_PER_SEC;
  }
}
