/*
 * data path
 *
 * What one queue's rings have posted. Sockets that share a queue share its fill and completion ring, and these books.
 */
import type { Umem } from "./umem.ts";

/** Bits of a sent chunk's state that count its descriptors; the queue is above them. */
export const TX_COUNT_BITS = 16;
export const TX_COUNT_MASK = 0xffff;

export class QueueBooks {
  /** State of a chunk that is in this queue's fill ring, with the kernel or in an RX ring. */
  declare readonly fillTag: number;
  /** State of a chunk sent on this queue, less the number of its descriptors. */
  declare readonly txTag: number;
  /** Chunks posted to the fill ring and not received. */
  declare fillPosted: number;
  /** Descriptors sent and not completed. */
  declare txPosted: number;
  /** User ends that use them and are open. */
  declare users: number;
  /** Everything is home, and the number perhaps another queue's. */
  declare isReleased: boolean;
  declare private readonly umem: Umem;
  declare private readonly queueId: number;

  constructor(umem: Umem) {
    const queueId = umem.takeQueueId();
    this.fillTag = -queueId;
    this.txTag = queueId << TX_COUNT_BITS;
    this.fillPosted = 0;
    this.txPosted = 0;
    this.users = 0;
    this.isReleased = false;
    this.umem = umem;
    this.queueId = queueId;
  }

  /** Nothing is posted or sent any more, nor will be. Control path. */
  release(): void {
    this.isReleased = true;
    this.umem.giveQueueId(this.queueId);
  }
}
