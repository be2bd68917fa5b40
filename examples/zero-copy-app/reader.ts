import { asPageRef, type Host } from "@netmem/core";
import { findPatternMismatch } from "@netmem/testing";

/** Ethernet, IPv4 without options, UDP. */
export const HEADER_BYTES = 42;

/** Gives pages back, see `ZeroCopyDriver.giveBack`. */
export type GiveBack = (refs: Int32Array, count: number) => void;

const CAPACITY = 1024;

/**
 * The application: collects packets, reads them where they lie, gives their pages back in bulk. Packet number n carries
 * the pattern with seed n.
 */
export class Reader {
  /** Packets read. */
  packets = 0;
  /** Payload bytes read, none of them copied. */
  payloadBytes = 0;
  /** Packets whose payload is not what was sent. */
  wrong = 0;
  /** Looks at each page before it goes back: its arena byte offset, and the packet's length. */
  look: ((pageAt: number, lenBytes: number) => void) | null = null;
  private readonly host: Host;
  private readonly giveBack: GiveBack;
  private readonly refs = new Int32Array(CAPACITY);
  private readonly lengths = new Int32Array(CAPACITY);
  private count = 0;

  constructor(host: Host, giveBack: GiveBack) {
    this.host = host;
    this.giveBack = giveBack;
  }

  /** Packets that wait to be read; their pages are the application's. */
  get waiting(): number {
    return this.count;
  }

  /** See `TakePackets`. Reads what it has when it has no room for more. */
  take(refs: Int32Array, lengths: Int32Array, count: number): void {
    if (this.count + count > CAPACITY) this.read();
    for (let n = 0; n < count; n++) {
      this.refs[this.count] = refs[n]!;
      this.lengths[this.count++] = lengths[n]!;
    }
  }

  /** Reads everything that waits. */
  read(): void {
    const { u8 } = this.host;
    for (let n = 0; n < this.count; n++) {
      const pageAt = this.host.offsetOf(asPageRef(this.refs[n]!));
      const len = this.lengths[n]!;
      const payload = len - HEADER_BYTES;
      if (findPatternMismatch(u8, pageAt + HEADER_BYTES, payload, this.packets) !== -1) this.wrong++;
      this.packets++;
      this.payloadBytes += payload;
      this.look?.(pageAt, len);
    }
    const given = this.count;
    this.count = 0;
    this.giveBack(this.refs, given);
  }
}
