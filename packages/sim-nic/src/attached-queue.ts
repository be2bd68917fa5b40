/* data path */
import type { Host } from "@netmem/core";
import type { Napi, QueuePort } from "@netmem/netdev";
import type { DescriptorRing } from "./descriptor-ring.ts";
import { Interrupt } from "./interrupt.ts";
import { checkThreshold, type NicQueue } from "./nic-queue.ts";
import {
  EVENTS,
  loadDone as loadDone_,
  loadEvents as loadEvents_,
  SPLIT_ABOVE,
  storePosted as storePosted_,
} from "./shared-words.ts";

const loadDone = loadDone_;
const loadEvents = loadEvents_;
const storePosted = storePosted_;

/**
 * A hardware queue on the thread of its driver, which cannot tell it from one beside it. Made by {@link attachNicQueue}.
 * What the hardware did is seen after {@link enter}, what the driver posted after {@link leave}.
 */
export class AttachedNicQueue implements NicQueue, QueuePort {
  declare readonly rx: DescriptorRing;
  declare readonly rxData: DescriptorRing | null;
  declare readonly tx: DescriptorRing;
  declare readonly irq: Interrupt;
  declare readonly dma: null;
  /** Itself: there is no engine on this thread. */
  declare readonly txEngine: { doorbell(): void };
  declare private readonly i32: Int32Array;
  declare private readonly at: number;
  declare private seenEvents: number;
  declare private shownRx: number;
  declare private shownData: number;

  /** @internal */
  constructor(host: Host, at: number, rx: DescriptorRing, rxData: DescriptorRing | null, tx: DescriptorRing) {
    this.rx = rx;
    this.rxData = rxData;
    this.tx = tx;
    this.irq = new Interrupt();
    this.dma = null;
    this.txEngine = this;
    this.i32 = host.i32;
    this.at = at;
    this.seenEvents = host.i32[at + EVENTS]!;
    this.shownRx = rx.producer;
    this.shownData = rxData?.producer ?? 0;
  }

  /** Takes over what the hardware completed, and interrupts for it. Once per turn of the thread; a load when there is nothing. */
  enter(): boolean {
    const { i32, at } = this;
    const events = loadEvents(i32, at);
    if (events === this.seenEvents) return false;
    this.seenEvents = events;
    this.rx.completed = loadDone(i32, at, 0);
    if (this.rxData !== null) this.rxData.completed = loadDone(i32, at, 1);
    this.tx.completed = loadDone(i32, at, 2);
    this.irq.raise();
    return true;
  }

  /** Shows the hardware the receive buffers posted since. */
  leave(): void {
    const { rx, rxData } = this;
    if (rx.producer !== this.shownRx) {
      this.shownRx = rx.producer;
      storePosted(this.i32, this.at, 0, rx.producer);
    }
    if (rxData === null || rxData.producer === this.shownData) return;
    this.shownData = rxData.producer;
    storePosted(this.i32, this.at, 1, rxData.producer);
  }

  /** Whether {@link enter} would find something. */
  hasWork(): boolean {
    return loadEvents(this.i32, this.at) !== this.seenEvents;
  }

  /** Shows the hardware what is to be sent. Once per burst. */
  doorbell(): void {
    storePosted(this.i32, this.at, 2, this.tx.producer);
  }

  setHeaderSplit(thresholdBytes: number): void {
    checkThreshold(thresholdBytes, this);
    this.i32[this.at + SPLIT_ABOVE] = thresholdBytes;
  }

  enable(napi: Napi): void {
    this.irq.attach(napi);
  }

  /** As with {@link disableRx}: the hardware has stopped before. */
  disable(): void {
    this.irq.attach(null);
    this.disableRx();
    this.tx.reset();
  }

  /**
   * The hardware's own thread has stopped it before, see `WorkerGroup.stop`: from here nobody can. So the receiving half
   * cannot be restarted alone; a queue gets new memory by a new worker.
   */
  disableRx(): void {
    this.rx.reset();
    this.rxData?.reset();
  }
}
