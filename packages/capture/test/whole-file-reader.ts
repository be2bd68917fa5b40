/**
 * A second reader, written apart from the first to check it: the whole file in memory, one DataView, BigInt times, no
 * bounds of its own (a DataView throws). It trusts its input and must only get valid files.
 */
export interface WholePacket {
  data: number[];
  originalLenBytes: number;
  linkType: number;
  interfaceIdx: number;
  /** Nanoseconds since 1970, rounded down; null without a timestamp. */
  timeNs: bigint | null;
  fileOffsetBytes: number;
}

export function readWholeFile(file: Uint8Array): WholePacket[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  return view.getUint32(0) === 0x0a0d0d0a ? readPcapng(view) : readPcap(view);
}

const bytesAt = (view: DataView, off: number, count: number): number[] =>
  Array.from({ length: count }, (_, idx) => view.getUint8(off + idx));

function readPcap(view: DataView): WholePacket[] {
  const little = (view.getUint8(0) & 0xf0) !== 0xa0;
  const isNano = view.getUint32(0, little) === 0xa1b23c4d;
  const packets: WholePacket[] = [];
  let at = 24;
  while (at < view.byteLength) {
    const captured = view.getUint32(at + 8, little);
    const fraction = BigInt(view.getUint32(at + 4, little)) * (isNano ? 1n : 1000n);
    packets.push({
      data: bytesAt(view, at + 16, captured),
      originalLenBytes: view.getUint32(at + 12, little),
      linkType: view.getUint32(20, little),
      interfaceIdx: 0,
      timeNs: BigInt(view.getUint32(at, little)) * 1_000_000_000n + fraction,
      fileOffsetBytes: at,
    });
    at += 16 + captured;
  }
  return packets;
}

interface WholeInterface {
  linkType: number;
  snapLenBytes: number;
  ticksPerSec: bigint;
  offsetSec: bigint;
}

function readPcapng(view: DataView): WholePacket[] {
  const packets: WholePacket[] = [];
  let little = true;
  let interfaces: WholeInterface[] = [];
  for (let at = 0; at < view.byteLength; at += view.getUint32(at + 4, little)) {
    if (view.getUint32(at) === 0x0a0d0d0a) {
      little = view.getUint8(at + 8) === 0x4d;
      interfaces = [];
    }
    const type = view.getUint32(at, little);
    if (type === 1) interfaces.push(readInterface(view, at, little));
    if (type === 3) packets.push(readSimple(view, at, little, interfaces[0]));
    if (type !== 2 && type !== 6) continue;
    const idx = type === 2 ? view.getUint16(at + 8, little) : view.getUint32(at + 8, little);
    packets.push(readTimed(view, at, little, idx, interfaces[idx]));
  }
  return packets;
}

function readTimed(
  view: DataView,
  at: number,
  little: boolean,
  interfaceIdx: number,
  from: WholeInterface | undefined,
): WholePacket {
  if (from === undefined) throw new Error(`no interface ${interfaceIdx}`);
  const ticks = (BigInt(view.getUint32(at + 12, little)) << 32n) + BigInt(view.getUint32(at + 16, little));
  return {
    data: bytesAt(view, at + 28, view.getUint32(at + 20, little)),
    originalLenBytes: view.getUint32(at + 24, little),
    linkType: from.linkType,
    interfaceIdx,
    timeNs: from.offsetSec * 1_000_000_000n + (ticks * 1_000_000_000n) / from.ticksPerSec,
    fileOffsetBytes: at,
  };
}

function readSimple(view: DataView, at: number, little: boolean, from: WholeInterface | undefined): WholePacket {
  if (from === undefined) throw new Error("no interface 0");
  const originalLenBytes = view.getUint32(at + 8, little);
  const captured = Math.min(originalLenBytes, from.snapLenBytes || Infinity);
  const data = bytesAt(view, at + 12, captured);
  return { data, originalLenBytes, linkType: from.linkType, interfaceIdx: 0, timeNs: null, fileOffsetBytes: at };
}

function readInterface(view: DataView, at: number, little: boolean): WholeInterface {
  const result: WholeInterface = {
    linkType: view.getUint16(at + 8, little),
    snapLenBytes: view.getUint32(at + 12, little),
    ticksPerSec: 1_000_000n,
    offsetSec: 0n,
  };
  const end = at + view.getUint32(at + 4, little) - 4;
  for (let option = at + 16; option < end;) {
    const code = view.getUint16(option, little);
    const length = view.getUint16(option + 2, little);
    if (code === 9) {
      const value = view.getUint8(option + 4);
      result.ticksPerSec = value > 127 ? 2n ** BigInt(value - 128) : 10n ** BigInt(value);
    }
    if (code === 14) result.offsetSec = view.getBigInt64(option + 4, little);
    if (code === 0) break;
    option += 4 + length + ((4 - (length % 4)) % 4);
  }
  return result;
}
