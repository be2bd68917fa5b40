import type { NetmemRef, ReadableRef } from "@netmem/core";
import { checkEqual, fillPattern, findPatternMismatch } from "@netmem/testing";
import { DescOption } from "../abi.ts";
import type { XskLink, XskPort } from "./testbed.ts";

const HEADER = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5];
const SEQ_AT = 14;
const PATTERN_AT = 18;
const FILL_BATCH = 64;
/** Rounds without progress after which nothing more is expected. */
const PATIENCE = 8;

export interface TrafficSpec {
  /** Default 4096. */
  readonly packets?: number;
  /** Default 64 bytes. */
  readonly lengthOf?: (seq: number) => number;
  /** Packets sent per round. Default 64. */
  readonly batch?: number;
  /** Which arrive. Default: all. */
  readonly arrives?: (seq: number) => boolean;
  /** Which socket of b's queue gets it, 0 being b. Default 0. */
  readonly socketOf?: (seq: number) => number;
  /** Length at the other end. Default: as sent. */
  readonly arrivesWith?: (seq: number) => number;
  /** Looks at the first descriptor of a packet: its data's arena byte offset. */
  readonly onPacket?: (seq: number, data: number) => void;
  /** The receiver does not give frames back to the kernel. */
  readonly starve?: boolean;
}

/** Writes packet `seq` into `bytes`. */
export function writePacket(bytes: Uint8Array, seq: number): void {
  bytes.set(HEADER);
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(SEQ_AT, seq, true);
  fillPattern(bytes, PATTERN_AT, bytes.length - PATTERN_AT, seq);
}

/** Sends numbered packets, each piece in a frame of its own. */
export class Sender {
  sent = 0;
  private readonly link: XskLink;
  private readonly port: XskPort;
  private readonly spec: TrafficSpec;

  constructor(link: XskLink, port: XskPort, spec: TrafficSpec) {
    this.link = link;
    this.port = port;
    this.spec = spec;
  }

  get total(): number {
    return this.spec.packets ?? 4096;
  }

  /** Takes completions home and sends a batch. */
  step(): void {
    const { rings } = this.port;
    rings.complete(1024);
    for (let n = 0; n < (this.spec.batch ?? 64) && this.sent < this.total; n++) {
      if (!this.sendOne(this.sent)) break;
      this.sent++;
    }
    rings.submitTx();
  }

  private sendOne(seq: number): boolean {
    const bytes = new Uint8Array(this.spec.lengthOf?.(seq) ?? 64);
    writePacket(bytes, seq);
    const pieces = Math.ceil(bytes.length / this.port.rings.umem.chunkSizeBytes);
    const refs = new Int32Array(pieces);
    const got = this.port.rings.txRoom(pieces) < pieces ? 0 : this.port.frames.allocBulk(refs, pieces);
    const isSent = got === pieces && this.transmit(bytes, refs);
    if (!isSent) for (const ref of refs.subarray(0, got)) this.port.frames.put(ref as NetmemRef, -1, false);
    return isSent;
  }

  private transmit(bytes: Uint8Array, refs: Int32Array): boolean {
    const { host } = this.link;
    const size = this.port.rings.umem.chunkSizeBytes;
    const offsets = refs.map((ref) => host.offsetOf(ref as ReadableRef));
    const lengths = refs.map((_, n) => Math.min(size, bytes.length - n * size));
    for (const [n, offset] of offsets.entries()) host.u8.set(bytes.subarray(n * size, n * size + lengths[n]!), offset);
    return this.port.rings.transmit(refs, offsets, lengths, refs.length);
  }
}

/** Receives on one socket and checks every byte. */
export class Receiver {
  /** Numbers of the packets received, in order. */
  readonly seqs: number[] = [];
  private readonly link: XskLink;
  private readonly port: XskPort;
  private readonly spec: TrafficSpec;

  constructor(link: XskLink, port: XskPort, spec: TrafficSpec) {
    this.link = link;
    this.port = port;
    this.spec = spec;
  }

  /** Gives the kernel frames, as many as the fill ring takes, up to `max`. */
  fill(max: number = Infinity): void {
    const { rings, frames } = this.port;
    const refs = new Int32Array(FILL_BATCH);
    for (let left = max; left > 0;) {
      const want = Math.min(FILL_BATCH, left, rings.fillRoom(FILL_BATCH));
      const n = want === 0 ? 0 : frames.allocBulk(refs, want);
      if (n === 0) return;
      rings.post(refs, n);
      left -= n;
    }
  }

  step(): void {
    const { rings } = this.port;
    for (let n = rings.receive(1024); n > 0; n = rings.receive(1024)) this.takeAll(n);
    if (this.spec.starve !== true) this.fill();
  }

  private takeAll(count: number): void {
    const { rings, frames } = this.port;
    let first = 0;
    for (let n = 0; n < count; n++) {
      if ((rings.options[n]! & DescOption.PktContd) !== 0) continue;
      this.takePacket(first, n + 1);
      first = n + 1;
    }
    checkEqual(first, count, "descriptors of whole packets");
    for (const ref of rings.refs.slice(0, count)) frames.put(ref as NetmemRef, -1, false);
  }

  private takePacket(from: number, to: number): void {
    const { rings } = this.port;
    const { u8 } = this.link.host;
    const pieces: Uint8Array[] = [];
    for (let n = from; n < to; n++) pieces.push(u8.slice(rings.offsets[n], rings.offsets[n]! + rings.lengths[n]!));
    const bytes = new Uint8Array(pieces.reduce((total, { length }) => total + length, 0));
    pieces.reduce((at, piece) => (bytes.set(piece, at), at + piece.length), 0);
    this.verify(bytes, rings.offsets[from]!);
  }

  private verify(bytes: Uint8Array, data: number): void {
    checkEqual([...bytes.subarray(0, SEQ_AT)], HEADER, "header of a received packet");
    const seq = new DataView(bytes.buffer).getUint32(SEQ_AT, true);
    const sentBytes = this.spec.lengthOf?.(seq) ?? 64;
    const wanted = this.spec.arrivesWith?.(seq) ?? sentBytes;
    checkEqual(bytes.length, wanted, `length of packet ${seq}`);
    const whole = Math.min(bytes.length, sentBytes) - PATTERN_AT;
    checkEqual(findPatternMismatch(bytes, PATTERN_AT, whole, seq), -1, `first wrong byte of packet ${seq}`);
    this.spec.onPacket?.(seq, data);
    this.seqs.push(seq);
  }
}

/** Sends from a to b, or the other way, until nothing moves; then exactly what should have arrived has, in order. */
export async function runTraffic(link: XskLink, spec: TrafficSpec = {}, isReversed = false): Promise<Receiver[]> {
  const [from, to] = isReversed ? [link.b, link.a] : [link.a, link.b];
  const sender = new Sender(link, from, spec);
  const receivers = [to, ...(isReversed ? [] : link.extra)].map((port) => new Receiver(link, port, spec));
  receivers[0]!.fill();
  await exchange(link, sender, receivers);
  checkEqual(sender.sent, sender.total, "packets sent");
  for (const [n, receiver] of receivers.entries())
    checkEqual(receiver.seqs, expected(sender.total, spec, n), "packets");
  return receivers;
}

/** Rounds of sending and receiving, until a few in a row changed nothing. */
export async function exchange(link: XskLink, sender: Sender, receivers: readonly Receiver[]): Promise<void> {
  let seen = -1;
  for (let idle = 0; idle < PATIENCE; idle++) {
    sender.step();
    await link.pump();
    for (const receiver of receivers) receiver.step();
    const now = receivers.reduce((sum, { seqs }) => sum + seqs.length, sender.sent);
    if (now !== seen) idle = 0;
    seen = now;
  }
}

function expected(total: number, spec: TrafficSpec, socketIdx: number): number[] {
  const all = Array.from({ length: total }, (_, seq) => seq);
  return all.filter((seq) => (spec.arrives?.(seq) ?? true) && (spec.socketOf?.(seq) ?? 0) === socketIdx);
}
