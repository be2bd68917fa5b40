/*
 * data path
 *
 * Counters of one queue: words of the arena, so that other threads can read them. Counters of packets and bytes take
 * two words (low, high); the others are 32 bits and wrap.
 */
import type { Host } from "@netmem/core";

/** Names of a queue's counters: word offsets in its block. */
export const QueueCounter = {
  RxPackets: 0,
  RxBytes: 2,
  TxPackets: 4,
  TxBytes: 6,
  XdpAborted: 8,
  XdpDrop: 9,
  XdpPass: 10,
  XdpTx: 11,
  XdpRedirect: 12,
  /** Packets dropped because no skb was free. */
  SkbNoMem: 13,
  /** TX and REDIRECT packets that could not become frames. */
  FrameErrors: 14,
  /** Frames that the target did not take: dropped. */
  XmitErrors: 15,
  /** Buffers that the queue's allocator could not give. */
  AllocFailed: 16,
  /** Packets with more pieces than a packet can have, or without data for a hardware error. */
  RxBroken: 17,
} as const;

/** Words of a queue's counters. */
export const COUNTER_WORDS = 32;
const SIGN = 1 << 31;

/**
 * What a queue counted. Packets and bytes are exact to 2^53, the rest is modulo 2^32. Read while another thread counts, one
 * of the former may be 2^32 behind for the moment of a carry.
 */
export interface QueueStats {
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
  readonly xdpAborted: number;
  readonly xdpDrop: number;
  readonly xdpPass: number;
  readonly xdpTx: number;
  readonly xdpRedirect: number;
  readonly skbNoMem: number;
  readonly frameErrors: number;
  readonly xmitErrors: number;
  readonly allocFailed: number;
  readonly rxBroken: number;
}

export class QueueCounters {
  declare private readonly i32: Int32Array;
  declare private readonly at: number;
  declare private readonly host: Host;
  declare private readonly isOwner: boolean;

  /**
   * @param wordsAt zeroed words that somebody else allocated; 0 = words of its own.
   * @throws `ERR_NETMEM_NO_MEMORY` (ENOMEM)
   */
  constructor(host: Host, wordsAt = 0) {
    this.host = host;
    this.i32 = host.i32;
    this.isOwner = wordsAt === 0;
    this.at = this.isOwner ? host.heap.allocWords(COUNTER_WORDS) : wordsAt;
  }

  /** Adds to a 32-bit counter. */
  add(counter: number, n: number): void {
    this.i32[this.at + counter] = (this.i32[this.at + counter]! + n) | 0;
  }

  /** Adds `n` (0 to 2^31 - 1) to a two-word counter. Once per burst. */
  addWide(counter: number, n: number): void {
    const at = this.at + counter;
    const low = this.i32[at]!;
    const sum = (low + n) | 0;
    this.i32[at] = sum;
    // An unsigned sum below what it was has carried.
    if ((sum ^ SIGN) < (low ^ SIGN)) this.i32[at + 1] = (this.i32[at + 1]! + 1) | 0;
  }

  get(counter: number): number {
    return this.i32[this.at + counter]! >>> 0;
  }

  getWide(counter: number): number {
    return this.get(counter + 1) * 2 ** 32 + this.get(counter);
  }

  read(): QueueStats {
    return {
      rxPackets: this.getWide(QueueCounter.RxPackets),
      rxBytes: this.getWide(QueueCounter.RxBytes),
      txPackets: this.getWide(QueueCounter.TxPackets),
      txBytes: this.getWide(QueueCounter.TxBytes),
      xdpAborted: this.get(QueueCounter.XdpAborted),
      xdpDrop: this.get(QueueCounter.XdpDrop),
      xdpPass: this.get(QueueCounter.XdpPass),
      xdpTx: this.get(QueueCounter.XdpTx),
      xdpRedirect: this.get(QueueCounter.XdpRedirect),
      skbNoMem: this.get(QueueCounter.SkbNoMem),
      frameErrors: this.get(QueueCounter.FrameErrors),
      xmitErrors: this.get(QueueCounter.XmitErrors),
      allocFailed: this.get(QueueCounter.AllocFailed),
      rxBroken: this.get(QueueCounter.RxBroken),
    };
  }

  dispose(): void {
    if (this.isOwner) this.host.heap.freeWords(this.at, COUNTER_WORDS);
  }
}
