/**
 * Reads a packet, whatever holds it; `SkbView` of `@netmem/skb` is one. Everything is of the packet given to the last `of`.
 */
export interface PacketView {
  of(packet: number): PacketView;
  /** Bytes in the head buffer. */
  readonly headLen: number;
  /** Arena byte offset of the first of them. */
  readonly data: number;
  /** The CPU cannot read a fragment. */
  readonly unreadable: boolean;
  readonly nrFrags: number;
  /** First packet of the fragment list, and the one behind a packet in such a list; 0 for none. */
  readonly fragList: number;
  readonly next: number;
  fragRef(fragIdx: number): number;
  fragOffset(fragIdx: number): number;
  fragLen(fragIdx: number): number;
}

/** What an endpoint needs to deliver packets: sockets of device memory, zero-copy receive. */
export interface PacketSource {
  readonly view: PacketView;
  /** Ends a packet, with all its references. */
  consume(packet: number): void;
}
