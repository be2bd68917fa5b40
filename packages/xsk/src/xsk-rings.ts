/* data path */
import { failParam, type NetmemRef } from "@netmem/core";
import { MAX_PACKET_DESCS } from "./abi.ts";
import { QueueBooks } from "./queue-books.ts";
import type { XskRingLayout } from "./ring-layout.ts";
import { failStillOpen } from "./rings-errors.ts";
import type { Umem } from "./umem.ts";
import { XskRx } from "./xsk-rx.ts";
import { XskTx } from "./xsk-tx.ts";

const DEFAULT_BATCH = 64;

/** The rings of a socket; null for one that it does not have. */
export interface XskRingLayouts {
  readonly fill: XskRingLayout | null;
  readonly completion: XskRingLayout | null;
  readonly rx: XskRingLayout | null;
  readonly tx: XskRingLayout | null;
}

export interface XskRingsOptions {
  /** Descriptors that one `receive` returns at most. Default 64. */
  readonly batch?: number;
  /** Descriptors of one packet at most: the mode's limit. Default 18. */
  readonly maxPacketDescs?: number;
  /** For a socket that shares the queue of another: the user end that has the queue's fill and completion ring. */
  readonly queueOf?: XskRings;
}

/** What was refused. */
export interface XskRingsStats {
  /** RX descriptors that name no chunk that was posted here. */
  readonly rxBadAddr: number;
  /** Received packets dropped: a bad descriptor or length in them, or too many pieces. Their good chunks went home. */
  readonly rxBroken: number;
  /** Completions of what was not sent here. */
  readonly completionBadAddr: number;
  /** Packets not taken for transmission: nothing that the kernel would send, or another queue is sending the chunk. */
  readonly txRefused: number;
  /** Ring indices that made no sense. */
  readonly corrupt: number;
}

/** Where what was posted is. The kernel's share is what is in no ring. */
export interface XskRingsCensus {
  /** Chunks. */
  readonly fillPosted: {
    readonly total: number;
    readonly fillRing: number;
    readonly kernel: number;
    readonly rxRing: number;
  };
  /** Descriptors. */
  readonly txPosted: {
    readonly total: number;
    readonly txRing: number;
    readonly kernel: number;
    readonly completionRing: number;
  };
}

/**
 * The user's end of a socket's four rings, which a kernel or the in-process one works on from the other side: where
 * references become addresses and addresses become references again. One thread.
 */
export class XskRings {
  declare private rx: XskRx;
  declare private tx: XskTx;
  /** @internal */ declare readonly books: QueueBooks;
  declare private isOpen: boolean;
  /** What {@link receive} found: references that are live again and the caller's to return, */
  declare readonly refs: Int32Array;
  /** arena byte offsets of the data, */
  declare readonly offsets: Int32Array;
  /** bytes of data, */
  declare readonly lengths: Int32Array;
  /** and `DescOption`s: a packet ends with the first descriptor without `PktContd`. */
  declare readonly options: Int32Array;
  declare readonly umem: Umem;
  declare private refusedBefore: XskRingsStats | null;

  /** Goes on where the rings' indices stand. */
  constructor(umem: Umem, layouts: XskRingLayouts, options: XskRingsOptions = {}) {
    const maxDescs = options.maxPacketDescs ?? MAX_PACKET_DESCS;
    if (options.queueOf?.books.isReleased === true) {
      failParam("queueOf", "released rings", "those of a queue in use", "Pass those of a socket that is open.");
    }
    const books = options.queueOf?.books ?? new QueueBooks(umem);
    this.rx = new XskRx(umem, books, layouts.fill, layouts.rx, options.batch ?? DEFAULT_BATCH, maxDescs);
    this.tx = new XskTx(umem, books, layouts.tx, layouts.completion, maxDescs);
    this.books = books;
    this.isOpen = true;
    this.refs = this.rx.refs;
    this.offsets = this.rx.offsets;
    this.lengths = this.rx.lengths;
    this.options = this.rx.options;
    this.umem = umem;
    this.refusedBefore = null;
    books.users++;
    umem.openEnds++;
  }

  /** Entries that the fill ring takes now: at least `want`, or all there are. 0 without one. */
  fillRoom(want: number): number {
    return this.rx.fillRoom(want);
  }

  /**
   * Posts `refs[0..n)` to the fill ring as far as it has room, and publishes; returns how many. Those references are dead
   * then. 4 ns per buffer.
   *
   * @throws `ERR_NETMEM_XSK_NOT_POSTABLE` with `param` "refs[i]" for a buffer that is not a live, exclusively held chunk of
   * the UMEM: those before it are posted, it and the rest stay with the caller.
   */
  post(refs: Int32Array, n: number): number {
    return this.rx.post(refs, n);
  }

  /** Whether the kernel wants a call to see what was posted. */
  fillNeedsWakeup(): boolean {
    return this.rx.fillNeedsWakeup();
  }

  /**
   * Received descriptors into {@link refs}, {@link offsets}, {@link lengths} and {@link options}: about `max` of them, and
   * whole packets only; returns how many. The buffers are the caller's from then on. 5 ns per buffer.
   */
  receive(max: number): number {
    return this.rx.receive(max);
  }

  /** Descriptors that the TX ring takes now: at least `want`, or all there are. 0 without one. */
  txRoom(want: number): number {
    return this.tx.room(want);
  }

  /**
   * Sends one packet of `pieces` pieces without copying: `lengths[i]` bytes at arena byte offset `offsets[i]`, which lie in
   * buffer `refs[i]`. All or nothing. True: the references belong to the rings until they complete. False, and counted
   * unless the ring was full: they stay with the caller. Bytes that cross chunks take a descriptor each. The kernel sees
   * it after {@link submitTx}.
   *
   * @throws a misuse error when a reference is not live; nothing has changed then.
   */
  transmit(refs: Int32Array, offsets: Int32Array, lengths: Int32Array, pieces: number): boolean {
    return this.tx.transmit(refs, offsets, lengths, pieces);
  }

  /** {@link transmit} for a packet of one piece within one chunk. `options` may be `DescOption.TxMetadata`. */
  transmitOne(ref: NetmemRef, offset: number, lenBytes: number, options = 0): boolean {
    return this.tx.transmitOne(ref, offset, lenBytes, options);
  }

  /** Shows the kernel what was sent; true when it wants a call to look (`sendto`). */
  submitTx(): boolean {
    return this.tx.submit();
  }

  /** Descriptors sent and not completed. */
  get txPostedCount(): number {
    return this.books.txPosted;
  }

  /**
   * Sends up to `max` completed references home, each to its own owner; returns how many. Once per burst.
   * @throws a misuse error for a buffer that was returned while it was sent; those before it are home, call again for the rest.
   */
  complete(max: number): number {
    return this.tx.complete(max);
  }

  /** Control path. */
  stats(): XskRingsStats {
    if (this.refusedBefore !== null) return this.refusedBefore;
    const { rx, tx } = this;
    return {
      rxBadAddr: rx.badAddr >>> 0,
      rxBroken: rx.broken >>> 0,
      completionBadAddr: tx.badAddr >>> 0,
      txRefused: tx.refused >>> 0,
      corrupt: rx.corruptCount + tx.corruptCount,
    };
  }

  /** Where what this queue posted is; of a queue with several sockets, the parts in rings are this socket's. Control path. */
  census(): XskRingsCensus {
    const { fillPosted, txPosted } = this.books;
    const [fillRing, rxRing] = this.rx.filledCounts;
    const [txRing, completionRing] = this.tx.filledCounts;
    return {
      fillPosted: { total: fillPosted, fillRing, kernel: fillPosted - fillRing - rxRing, rxRing },
      txPosted: { total: txPosted, txRing, kernel: txPosted - txRing - completionRing, completionRing },
    };
  }

  /**
   * The socket is about to be closed: the rings' memory is not touched any more. What the kernel has is quarantined,
   * whatever it says, until {@link released}; returns how many buffers that are. Control path.
   */
  close(): number {
    if (this.isOpen) {
      this.refusedBefore = this.stats();
      this.isOpen = false;
      this.books.users--;
      this.umem.openEnds--;
      this.rx = new XskRx(this.umem, this.books, null, null, 0, 0);
      this.tx = new XskTx(this.umem, this.books, null, null, 0);
    }
    return this.books.fillPosted + this.books.txPosted;
  }

  /**
   * The kernel has let go of the queue: sends home everything that it still had; returns how many. Control path.
   * @throws `ERR_NETMEM_XSK_STILL_OPEN` (EBUSY) while a socket of the queue is open.
   */
  released(): number {
    const { books } = this;
    if (books.users > 0) failStillOpen(books.users);
    if (books.isReleased) return 0;
    const count = this.rx.takeAllBack() + this.tx.takeAllBack();
    books.release();
    return count;
  }
}
