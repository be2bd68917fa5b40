/*
 * data path
 *
 * What a zero-copy driver calls to transmit: descriptors one by one or in batches of whole packets, and their completion.
 * A slot of the completion ring is reserved with each, so that completing never fails.
 */
import { DescOption } from "../abi.ts";
import type { DescConsumer } from "../desc-ring.ts";
import { failCompleted } from "./peer-errors.ts";
import type { XskQueue } from "./xsk-queue.ts";
import type { XskSocket } from "./xsk-socket.ts";

const CONTD = DescOption.PktContd;
/** Descriptors that one of several sockets may send before it is the next one's turn. */
const SOCKET_BUDGET = 32;
const MAX_BATCH = 256;

export class ZeroCopyTx {
  declare private readonly queue: XskQueue;
  declare private readonly i32: Int32Array;
  declare private readonly maxSegs: number;
  /** Results: arena byte offsets of the data, */
  declare readonly offsets: Int32Array;
  /** bytes of data, */
  declare readonly lengths: Int32Array;
  /** and `DescOption`s. */
  declare readonly options: Int32Array;
  /** Descriptors with the driver. */
  declare private outstanding: number;
  /** Addresses of dropped packets, two words each, to be completed after what is outstanding. */
  declare private readonly reclaimed: Int32Array;
  declare private reclaimCount: number;

  constructor(queue: XskQueue) {
    this.queue = queue;
    this.i32 = queue.host.i32;
    this.maxSegs = queue.hasSg ? queue.device.zeroCopyMaxSegs : 1;
    this.offsets = new Int32Array(MAX_BATCH);
    this.lengths = new Int32Array(MAX_BATCH);
    this.options = new Int32Array(MAX_BATCH);
    this.outstanding = 0;
    this.reclaimed = new Int32Array(MAX_BATCH * 2);
    this.reclaimCount = 0;
  }

  /** Descriptors that the driver took and has not completed. */
  get outstandingCount(): number {
    return this.outstanding;
  }

  /**
   * The next descriptor, left at index 0 of the results; false when there is none or the completion ring is full
   * (`xsk_tx_peek_desc`). Sockets take turns of 32. Invalid descriptors are skipped, and never completed.
   */
  peek(): boolean {
    return this.peekInto(0);
  }

  /**
   * Up to `max` descriptors, at most 256, into the results; returns how many (`xsk_tx_peek_release_desc_batch`). With one
   * socket: whole packets only. One that is invalid or has too many pieces is dropped and ends the batch, and nothing more
   * is given out until its addresses have been handed back.
   */
  peekBatch(max: number): number {
    const { sockets } = this.queue;
    const limit = max < MAX_BATCH ? max : MAX_BATCH;
    if (sockets.length !== 1) return this.peekOneByOne(limit);
    const socket = sockets[0]!;
    const { tx } = socket;
    if (tx === null || this.reclaimCount > 0) return 0;
    const filled = tx.peek(limit);
    const room = this.queue.completion.room(filled);
    const n = this.readPackets(socket, tx, filled < room ? filled : room);
    if (filled === 0) socket.txEmptyDescs++;
    this.outstanding += n;
    if (this.outstanding === 0) this.completeReclaimed();
    return n;
  }

  /**
   * The oldest `count` descriptors that the driver took are sent: shows their addresses (`xsk_tx_completed`).
   * @throws `ERR_NETMEM_XSK_COMPLETED` (EINVAL) for more than it took.
   */
  completed(count: number): void {
    if (count > this.outstanding) failCompleted(count, this.outstanding);
    this.queue.completion.submitFirst(count);
    this.outstanding -= count;
    if (this.outstanding === 0) this.completeReclaimed();
  }

  /** @internal The queue is gone, its rings with it: nothing is outstanding any more. */
  end(): void {
    this.outstanding = 0;
    this.reclaimCount = 0;
  }

  private peekOneByOne(max: number): number {
    let n = 0;
    while (n < max && this.peekInto(n)) n++;
    return n;
  }

  private peekInto(n: number): boolean {
    const { sockets, completion } = this.queue;
    for (;;) {
      let isExhausted = false;
      for (let k = 0; k < sockets.length; k++) {
        const socket = sockets[k]!;
        const { tx } = socket;
        if (socket.txBudgetSpent >= SOCKET_BUDGET) {
          isExhausted = true;
          continue;
        }
        if (tx === null || !this.skipInvalid(socket, tx)) continue;
        socket.txBudgetSpent++;
        // What is to be handed back has its room reserved.
        if (completion.room(this.reclaimCount + 1) <= this.reclaimCount) return false;
        this.take(tx.at(0), n);
        this.outstanding++;
        tx.release(1);
        return true;
      }
      if (!isExhausted) return false;
      for (let k = 0; k < sockets.length; k++) sockets[k]!.txBudgetSpent = 0;
    }
  }

  /** Skips descriptors until the next valid one; false when there is none. */
  private skipInvalid(socket: XskSocket, tx: DescConsumer): boolean {
    let skipped = 0;
    while (tx.peek(1) > 0 && this.offsetOf(tx.at(0)) < 0) {
      tx.advance(1);
      skipped++;
    }
    if (skipped > 0) tx.publish();
    socket.txInvalidDescs += skipped;
    return tx.peek(1) > 0;
  }

  /** Whole packets from the next `count` descriptors into the results; returns how many descriptors. */
  private readPackets(socket: XskSocket, tx: DescConsumer, count: number): number {
    let n = 0;
    let k = 0;
    while (k < count && this.reclaimCount === 0) {
      const pieces = socket.isDraining ? 0 : this.packetLength(tx, k, count);
      if (pieces < 0) break;
      if (pieces === 0) {
        k += this.drain(socket, tx, k, count);
        break;
      }
      for (let j = 0; j < pieces; j++) this.take(tx.at(k + j), n++);
      k += pieces;
    }
    if (k > 0) tx.release(k);
    return n;
  }

  /** Pieces of the packet from the `k`-th descriptor on; 0 when it cannot be sent, -1 when its end is not in sight. */
  private packetLength(tx: DescConsumer, k: number, count: number): number {
    for (let pieces = 1; pieces <= this.maxSegs; pieces++) {
      if (k + pieces > count) return -1;
      const d = tx.at(k + pieces - 1);
      if (this.offsetOf(d) < 0) return 0;
      if ((this.i32[d + 3]! & CONTD) === 0) return pieces;
    }
    return 0;
  }

  /** Sets the addresses of a packet aside, to its end or as far as there is; returns how many. */
  private drain(socket: XskSocket, tx: DescConsumer, from: number, count: number): number {
    const { i32, reclaimed } = this;
    socket.isDraining = true;
    let used = 0;
    while (from + used < count && socket.isDraining) {
      const d = tx.at(from + used++);
      reclaimed[this.reclaimCount * 2] = i32[d]!;
      reclaimed[this.reclaimCount * 2 + 1] = i32[d + 1]!;
      this.reclaimCount++;
      socket.isDraining = (i32[d + 3]! & CONTD) !== 0;
    }
    socket.txInvalidDescs += used;
    return used;
  }

  private completeReclaimed(): void {
    const { completion } = this.queue;
    for (let n = 0; n < this.reclaimCount; n++) completion.put(this.reclaimed[n * 2]!, this.reclaimed[n * 2 + 1]!);
    this.reclaimCount = 0;
    completion.submit();
  }

  /** Result `n` from a valid descriptor, whose completion is reserved. */
  private take(d: number, n: number): void {
    const { i32, queue } = this;
    this.offsets[n] = queue.umem.offset + this.offsetOf(d);
    this.lengths[n] = i32[d + 2]!;
    this.options[n] = i32[d + 3]!;
    queue.completion.put(i32[d]!, i32[d + 1]!);
  }

  /** UMEM offset of a descriptor's data, below zero when it is invalid. */
  private offsetOf(d: number): number {
    const { i32, queue } = this;
    const { geometry } = queue.umem;
    const offset = geometry.txOffset(i32[d]!, i32[d + 1]!, i32[d + 2]!, i32[d + 3]!);
    if (offset < 0 || geometry.isAligned) return offset;
    const { dma } = queue.buffs;
    return dma !== null && dma.crossesBreak(offset, i32[d + 2]!) ? -1 : offset;
  }
}
