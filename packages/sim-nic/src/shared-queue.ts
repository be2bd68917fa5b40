/* data path */
import { failParam, type Host, NetmemError } from "@netmem/core";
import { wakeWorker as wakeWorker_, type WorkerHardware } from "@netmem/netdev";
import type { DescriptorRing } from "./descriptor-ring.ts";
import type { HardwareQueue } from "./nic-queue.ts";
import {
  EVENTS,
  loadPosted as loadPosted_,
  SHARED_QUEUE_WORDS,
  SPLIT_ABOVE as SPLIT_ABOVE_,
  storeDone as storeDone_,
  storeEvents as storeEvents_,
  storePosted,
} from "./shared-words.ts";

const SPLIT_ABOVE = SPLIT_ABOVE_;
const loadPosted = loadPosted_;
const storeDone = storeDone_;
const storeEvents = storeEvents_;
const wakeWorker = wakeWorker_;

/** What a driver's thread needs for `attachNicQueue`: post it as it is. */
export interface SharedNicQueueInput {
  /** Word offset of the words between the threads. */
  readonly at: number;
  readonly rx: SharedRingInput;
  readonly rxData: SharedRingInput | null;
  readonly tx: SharedRingInput;
}

/** A ring of descriptors for another thread. */
export interface SharedRingInput {
  readonly descCount: number;
  readonly descsAt: number;
  /** Index that it starts with. */
  readonly startIndex: number;
}

/**
 * The hardware's end of a queue whose driver is on another thread: see `SimNic.shareQueue`. Starts stopped; a queue that is
 * stopped receives nothing, which is counted as `rxNoDesc`.
 */
export class SharedNicQueue implements WorkerHardware {
  declare private readonly i32: Int32Array;
  declare private readonly at: number;
  /** @internal */
  declare readonly queue: HardwareQueue;
  /** Rx, data and tx; null for a queue without data ring. */
  declare private readonly rings: readonly (DescriptorRing | null)[];
  declare private isRunning: boolean;
  /** Where the driver's thread says how it is woken. */
  declare private wakeAt: number;
  declare private events: number;
  declare private readonly host: Host;

  /** @internal Made by a NIC. */
  constructor(host: Host, queue: HardwareQueue) {
    if (queue.dma !== null) failParam("dma", "a device", "null", "Its mappings are known to one thread alone.");
    this.i32 = host.i32;
    this.at = host.heap.allocWords(SHARED_QUEUE_WORDS);
    this.queue = queue;
    this.rings = [queue.rx, queue.rxData, queue.tx];
    this.isRunning = false;
    this.wakeAt = 0;
    this.events = 0;
    this.host = host;
  }

  /**
   * Empties the rings and lets the hardware use what the driver will post. Control path.
   * @throws `ERR_NETMEM_QUEUE_RUNNING` (EBUSY)
   */
  start(wakeAt: number): SharedNicQueueInput {
    if (this.isRunning) failRunning();
    const { i32, at, queue, rings } = this;
    queue.disable();
    for (const [n, ring] of rings.entries()) {
      storePosted(i32, at, n, ring?.producer ?? 0);
      storeDone(i32, at, n, ring?.producer ?? 0);
    }
    i32[at + SPLIT_ABOVE] = -1;
    this.events = i32[at + EVENTS]!;
    this.wakeAt = wakeAt;
    this.isRunning = true;
    const { rx, rxData, tx } = queue;
    return { at, rx: describe(rx), rxData: rxData === null ? null : describe(rxData), tx: describe(tx) };
  }

  /** From here on the hardware touches no buffer of the queue, whoever has them. Control path. */
  stop(): void {
    if (!this.isRunning) return;
    this.isRunning = false;
    this.queue.disable();
  }

  /** Takes over what the driver posted, and sends what it wants sent. Once per burst. */
  takePosted(): void {
    if (!this.isRunning) return;
    const { i32, at, queue } = this;
    const { rx, rxData, tx, txEngine } = queue;
    rx.producer = loadPosted(i32, at, 0);
    if (rxData !== null) rxData.producer = loadPosted(i32, at, 1);
    // Written before the posted index that was just acquired.
    queue.rxEngine.splitAbove = i32[at + SPLIT_ABOVE]!;
    tx.producer = loadPosted(i32, at, 2);
    if (tx.completed !== tx.producer) txEngine.doorbell();
  }

  /** Shows the driver what was completed, and wakes its thread if that sleeps. Once per burst. False: nothing was. */
  showDone(): boolean {
    const { i32, at, queue } = this;
    if (!this.isRunning || !queue.irq.takePending()) return false;
    storeDone(i32, at, 0, queue.rx.completed);
    if (queue.rxData !== null) storeDone(i32, at, 1, queue.rxData.completed);
    storeDone(i32, at, 2, queue.tx.completed);
    this.events = (this.events + 1) | 0;
    storeEvents(i32, at, this.events);
    wakeWorker(i32, this.wakeAt);
    return true;
  }

  /** @internal Gives the words back: the NIC's to call. */
  dispose(): void {
    this.stop();
    this.host.heap.freeWords(this.at, SHARED_QUEUE_WORDS);
  }
}

function describe({ size, descsAt, producer }: DescriptorRing): SharedRingInput {
  return { descCount: size, descsAt, startIndex: producer };
}

function failRunning(): never {
  throw new NetmemError({
    code: "ERR_NETMEM_QUEUE_RUNNING",
    errno: "EBUSY",
    reason: "the queue has a driver on another thread",
    remedy: "Stop it first.",
    param: "queue",
    value: "running",
  });
}
