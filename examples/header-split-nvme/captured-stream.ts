import { readFileSync } from "node:fs";
import { CaptureReader, PacketInfo, ReadStatus } from "@netmem/capture";
import { formatFlow, parseTcp, type TcpFlow } from "./tcp-segment.ts";

const MAX_FRAME_BYTES = 9018;

/** A TCP stream of a capture: its bytes in order, as a receiver would have them. */
export interface CapturedStream {
  readonly flow: TcpFlow;
  /** Sequence number of its first byte. */
  readonly firstSeq: number;
  readonly bytes: Uint8Array;
}

/** All frames of a pcap file. */
export function readFrames(path: string): Uint8Array[] {
  const reader = new CaptureReader();
  const info = new PacketInfo();
  const memory = new Uint8Array(MAX_FRAME_BYTES);
  const frames: Uint8Array[] = [];
  reader.push(readFileSync(path));
  while (reader.nextInto(memory, 0, memory.length, info) === ReadStatus.packet) {
    frames.push(memory.slice(0, info.storedLenBytes));
  }
  reader.finish();
  return frames;
}

interface Piece {
  readonly seq: number;
  readonly payload: Uint8Array;
}

/** The stream with the most bytes in `frames`, put together from them; null when there is none. */
export function largestStream(frames: readonly Uint8Array[]): CapturedStream | null {
  const flows = new Map<string, { readonly flow: TcpFlow; readonly pieces: Piece[]; bytes: number }>();
  for (const frame of frames) {
    const segment = parseTcp(frame);
    if (segment === null || segment.payloadBytes <= 0) continue;
    const { flow, seq, headerBytes, payloadBytes } = segment;
    const key = formatFlow(flow);
    const known = flows.get(key) ?? { flow, pieces: [], bytes: 0 };
    flows.set(key, known);
    known.pieces.push({ seq, payload: frame.subarray(headerBytes, headerBytes + payloadBytes) });
    known.bytes += payloadBytes;
  }
  const [largest] = [...flows.values()].toSorted((a, b) => b.bytes - a.bytes);
  return largest === undefined ? null : join(largest.flow, largest.pieces);
}

/** Every byte at its place, whichever segment brought it. */
function join(flow: TcpFlow, pieces: readonly Piece[]): CapturedStream {
  const anySeq = pieces[0]!.seq;
  const starts = pieces.map(({ seq }) => (seq - anySeq) | 0);
  const first = Math.min(...starts);
  const ends = pieces.map(({ payload }, n) => starts[n]! + payload.length);
  const bytes = new Uint8Array(Math.max(...ends) - first);
  for (const [n, { payload }] of pieces.entries()) bytes.set(payload, starts[n]! - first);
  return { flow, firstSeq: (anySeq + first) >>> 0, bytes };
}
