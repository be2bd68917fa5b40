import { crc32 } from "node:zlib";

const SLOTS = 2 ** 16;
const MASK = SLOTS - 1;

/** What becomes of a packet, as its sender asks for it. */
export const Wish = {
  Consume: 0,
  Hold: 1,
  Clone: 2,
  Copy: 3,
  Discard: 4,
  Drop: 5,
  Transmit: 6,
  Redirect: 7,
  Abort: 8,
} as const;
export type Wish = (typeof Wish)[keyof typeof Wish];

/** Counts of packets and of their ends. A clone or a copy is one more end. */
export interface LedgerCounts {
  sent: number;
  /** Ends whose bytes were right, looked at when the last use of them was over. */
  verified: number;
  /** Frames that came out of a wire, with the right bytes. */
  wired: number;
  /** Ends that nobody looked at: dropped by a program, or gone with a consumer. */
  dropped: number;
}

/** Every packet on its way, and the bytes that it must have when it ends. Throws what is wrong. */
export class Ledger {
  readonly counts: LedgerCounts = { sent: 0, verified: 0, wired: 0, dropped: 0 };
  /** Ends that are still to come. */
  openCount = 0;
  private seq = 0;
  private readonly seqs = new Int32Array(SLOTS);
  private readonly crcs = new Int32Array(SLOTS);
  private readonly lens = new Int32Array(SLOTS);
  private readonly ends = new Int32Array(SLOTS);
  /** Number of the frame that may come out of a wire, once. */
  private readonly outbound = new Int32Array(SLOTS);

  /** A number for the next packet: none that is still on its way. */
  next(): number {
    if (this.openCount >= SLOTS / 2) throw new Error(`${this.openCount} packets are on their way`);
    do this.seq = (this.seq + 1) & 0x7fffffff;
    while (this.ends[this.seq & MASK] !== 0 || this.seq === 0);
    return this.seq;
  }

  /** The hardware took the packet. */
  open(seq: number, bytes: Uint8Array, at: number, len: number): void {
    const slot = seq & MASK;
    this.seqs[slot] = seq;
    this.crcs[slot] = crc32(bytes.subarray(at, at + len)) | 0;
    this.lens[slot] = len;
    this.ends[slot] = 1;
    this.openCount++;
    this.counts.sent++;
  }

  lenOf(seq: number): number {
    return this.lens[this.slotOf(seq)]!;
  }

  /** One more end. */
  fork(seq: number): void {
    const slot = this.slotOf(seq);
    this.ends[slot] = this.ends[slot]! + 1;
    this.openCount++;
  }

  /** An end with its bytes. */
  verify(seq: number, crc: number, len: number): void {
    this.check(this.slotOf(seq), crc, len);
    this.end(seq);
    this.counts.verified++;
  }

  /** An end without. */
  drop(seq: number): void {
    this.end(seq);
    this.counts.dropped++;
  }

  /** The packet leaves by a wire, or is refused on its way there. */
  send(seq: number): void {
    this.end(seq);
    this.outbound[seq & MASK] = seq;
  }

  /** A frame came out of a wire. */
  wire(seq: number, crc: number, len: number): void {
    const slot = seq & MASK;
    if (this.outbound[slot] !== seq) throw new Error(`packet ${seq} came out of the wire, and was not sent`);
    this.outbound[slot] = 0;
    this.check(slot, crc, len);
    this.counts.wired++;
  }

  private end(seq: number): void {
    const slot = this.slotOf(seq);
    this.ends[slot] = this.ends[slot]! - 1;
    this.openCount--;
  }

  private check(slot: number, crc: number, len: number): void {
    if (this.lens[slot] === len && this.crcs[slot] === (crc | 0)) return;
    throw new Error(`packet ${this.seqs[slot]}: ${len} bytes, ${this.lens[slot]} expected; the checksum differs`);
  }

  private slotOf(seq: number): number {
    const slot = seq & MASK;
    if (this.seqs[slot] === seq && this.ends[slot]! > 0) return slot;
    throw new Error(`packet ${seq} has ended already, or never was`);
  }
}
