/*
 * data path
 *
 * The packets that wait in a socket, and how far into the first one its reader is. A packet is its head buffer, its
 * fragments, and the same again for each packet of its fragment list.
 */
import type { PacketSource, PacketView } from "@netmem/core";

/** The piece that is read next: the bytes in the head buffer. */
const HEAD = -1;

export class ReceiveQueue {
  declare private readonly packets: Int32Array;
  declare private readonly mask: number;
  declare private first: number;
  declare private last: number;
  /** The first packet, or one of its fragment list; 0 while nothing of the first packet was read. */
  declare private segment: number;
  /** Fragment that is read next, or the head. */
  declare private piece: number;
  /** Bytes of that piece which were read. */
  declare done: number;
  declare readonly view: PacketView;
  declare private readonly source: PacketSource;

  /** @param capacity a power of two */
  constructor(source: PacketSource, capacity: number) {
    this.packets = new Int32Array(capacity);
    this.mask = capacity - 1;
    this.first = 0;
    this.last = 0;
    this.segment = 0;
    this.piece = HEAD;
    this.done = 0;
    this.view = source.view;
    this.source = source;
  }

  get count(): number {
    return (this.last - this.first) | 0;
  }

  /** Appends a packet; false when the queue is full. */
  push(packet: number): boolean {
    if (this.count > this.mask) return false;
    this.packets[this.last & this.mask] = packet;
    this.last = (this.last + 1) | 0;
    return true;
  }

  /** The first packet, 0 when there is none. */
  head(): number {
    return this.count === 0 ? 0 : this.packets[this.first & this.mask]!;
  }

  /** Nothing of the first packet was read. */
  get isFresh(): boolean {
    return this.segment === 0;
  }

  /**
   * Points the view at the next piece that has bytes left and returns how many, 0 at the end of the packet, which is
   * consumed then.
   */
  nextPiece(): number {
    const { view } = this;
    if (this.segment === 0) this.segment = this.head();
    while (this.segment !== 0) {
      view.of(this.segment);
      for (; this.piece < view.nrFrags; this.piece++, this.done = 0) {
        const left = (this.piece === HEAD ? view.headLen : view.fragLen(this.piece)) - this.done;
        if (left > 0) return left;
      }
      this.segment = this.segment === this.head() ? view.fragList : view.next;
      this.piece = HEAD;
    }
    this.discard();
    return 0;
  }

  /** Fragment of the view that {@link nextPiece} found, -1 for the head. */
  get fragIdx(): number {
    return this.piece;
  }

  /** Consumes the first packet, whatever is left of it. */
  discard(): void {
    const packet = this.head();
    this.segment = 0;
    this.piece = HEAD;
    this.done = 0;
    if (packet === 0) return;
    this.first = (this.first + 1) | 0;
    this.source.consume(packet);
  }
}
