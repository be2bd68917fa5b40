import { CaptureReader, PacketInfo, ReadStatus, type CaptureReaderOptions } from "../src/index.ts";
import type { WholePacket } from "./whole-file-reader.ts";

/** Builds pcapng blocks by hand, for what the writer does not write. */
export class BlockBytes {
  readonly little: boolean;
  readonly parts: Uint8Array[] = [];

  constructor(little = true) {
    this.little = little;
  }

  get bytes(): Uint8Array {
    return concat(this.parts);
  }

  block(type: number, body: Uint8Array, lengths: { first?: number; last?: number } = {}): this {
    const padded = Math.ceil(body.length / 4) * 4;
    const block = new Uint8Array(12 + padded);
    const view = new DataView(block.buffer);
    view.setUint32(0, type, this.little);
    view.setUint32(4, lengths.first ?? block.length, this.little);
    block.set(body, 8);
    view.setUint32(8 + padded, lengths.last ?? lengths.first ?? block.length, this.little);
    this.parts.push(block);
    return this;
  }

  section(major = 1): this {
    return this.block(0x0a0d0d0a, this.words(0x1a2b3c4d, this.halves(major, 0), -1, -1));
  }

  iface(linkType: number, snapLenBytes: number, options: Uint8Array = new Uint8Array(0)): this {
    return this.block(1, concat([this.words(this.halves(linkType, 0), snapLenBytes), options]));
  }

  /** An enhanced packet block, or with type 2 the obsolete packet block. */
  packet(
    interfaceWord: number,
    high: number,
    low: number,
    captured: number,
    original: number,
    data: Uint8Array,
    type = 6,
  ) {
    return this.block(type, concat([this.words(interfaceWord, high, low, captured, original), data]));
  }

  simple(original: number, data: Uint8Array): this {
    return this.block(3, concat([this.words(original), data]));
  }

  option(code: number, value: Uint8Array): Uint8Array {
    const bytes = new Uint8Array(4 + Math.ceil(value.length / 4) * 4);
    new DataView(bytes.buffer).setUint16(0, code, this.little);
    new DataView(bytes.buffer).setUint16(2, value.length, this.little);
    bytes.set(value, 4);
    return bytes;
  }

  words(...values: number[]): Uint8Array {
    const bytes = new Uint8Array(values.length * 4);
    const view = new DataView(bytes.buffer);
    for (const [idx, value] of values.entries()) view.setUint32(idx * 4, value, this.little);
    return bytes;
  }

  /** Two 16-bit halves as the word that has them in file order. */
  halves(first: number, second: number): number {
    return this.little ? first + second * 65_536 : first * 65_536 + second;
  }
}

/** A pcap file by hand. */
export function pcapBytes(records: Uint8Array[], little = true, magic = 0xa1b2c3d4, major = 2): Uint8Array {
  const header = new Uint8Array(24);
  const view = new DataView(header.buffer);
  view.setUint32(0, magic, little);
  view.setUint16(4, major, little);
  view.setUint16(6, 4, little);
  view.setUint32(16, 65_535, little);
  view.setUint32(20, 1, little);
  return concat([header, ...records]);
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Reads everything through the streaming reader, in chunks whose sizes repeat, into guarded memory. */
export function readStreamed(
  file: Uint8Array,
  chunkSizes: readonly number[] = [file.length],
  options: CaptureReaderOptions & { maxBytes?: number } = {},
): { packets: WholePacket[]; reader: CaptureReader } {
  const reader = new CaptureReader(options);
  const packets: WholePacket[] = [];
  const onPacket = (packet: WholePacket): void => void packets.push(packet);
  pump(reader, file, chunkSizes, options.maxBytes ?? 70_000, onPacket);
  return { packets, reader };
}

const GUARD_BYTES = 16;

/** Drives a reader to its end and checks that it never writes outside the range it was given. */
export function pump(
  reader: CaptureReader,
  file: Uint8Array,
  chunkSizes: readonly number[],
  maxBytes: number,
  onPacket: (packet: WholePacket) => void,
): void {
  const memory = new Uint8Array(maxBytes + 2 * GUARD_BYTES).fill(0xa5);
  const info = new PacketInfo();
  let at = 0;
  for (let turn = 0; ; turn++) {
    const status = reader.nextInto(memory, GUARD_BYTES, maxBytes, info);
    checkGuards(memory);
    if (status === ReadStatus.end) return;
    if (status === ReadStatus.packet) onPacket(toWhole(info, memory));
    else if (at === file.length) reader.finish();
    else {
      const chunkBytes = chunkSizes[turn % chunkSizes.length] ?? file.length;
      const chunk = file.slice(at, at + chunkBytes);
      reader.push(chunk);
      at += chunk.length;
    }
  }
}

function checkGuards(memory: Uint8Array): void {
  for (let idx = 0; idx < GUARD_BYTES; idx++) {
    if (memory[idx] !== 0xa5 || memory[memory.length - 1 - idx] !== 0xa5) throw new Error("written out of bounds");
  }
}

function toWhole(info: PacketInfo, memory: Uint8Array): WholePacket {
  const timeNs = BigInt(info.tsSec) * 1_000_000_000n + BigInt(info.tsNs);
  if (info.tsNs < 0 || info.tsNs > 999_999_999) throw new Error(`tsNs ${info.tsNs}`);
  return {
    data: [...memory.subarray(GUARD_BYTES, GUARD_BYTES + info.storedLenBytes)],
    originalLenBytes: info.originalLenBytes,
    linkType: info.linkType,
    interfaceIdx: info.interfaceIdx,
    timeNs: info.hasTimestamp ? timeNs : null,
    fileOffsetBytes: info.fileOffsetBytes,
  };
}
