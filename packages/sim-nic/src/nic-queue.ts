import { checkInt, type DmaDevice, failParam, type Host } from "@netmem/core";
import type { Napi } from "@netmem/netdev";
import { DescriptorRing } from "./descriptor-ring.ts";
import type { DmaCopy } from "./dma-copy.ts";
import { Interrupt } from "./interrupt.ts";
import type { MemoryPorts } from "./memory-ports.ts";
import { RxEngine } from "./rx-engine.ts";
import { TxEngine, type TxPort } from "./tx-engine.ts";

export interface NicQueueParams {
  /** Receive descriptors, a power of two from 8 to 16384. Default 256. */
  readonly rxDescCount?: number;
  /** Descriptors for payload buffers, likewise, of a queue that can split headers off; 0 = it cannot. Default 0. */
  readonly dataDescCount?: number;
  /** Transmit descriptors, likewise. Default 256. */
  readonly txDescCount?: number;
  /** First index of the rings. Tests start just below the wrap. Default 0. */
  readonly startIndex?: number;
}

const DEFAULT_DESCS = 256;
const MAX_THRESHOLD_BYTES = 65535;

/** What the queues of a NIC share. */
export interface NicParts {
  readonly dma: DmaDevice | null;
  readonly copy: DmaCopy;
  readonly ports: MemoryPorts;
  readonly tx: TxPort;
}

/** One queue pair, as its driver sees it; the hardware may belong to another thread. */
export interface NicQueue {
  /** Buffers for packets, or for headers of those that are split. */
  readonly rx: DescriptorRing;
  /** Buffers for the payload of split packets; null for a queue that cannot split. */
  readonly rxData: DescriptorRing | null;
  readonly tx: DescriptorRing;
  readonly irq: Interrupt;
  /** Device whose addresses the descriptors carry; null when a page frame number is a page's index. */
  readonly dma: DmaDevice | null;
  /** Ring its doorbell after posting to {@link tx}. */
  readonly txEngine: { doorbell(): void };
  /**
   * Packets with more than `thresholdBytes` bytes of payload are split from now on, -1 for none. What is neither TCP nor
   * UDP is not split.
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL), also for a queue without {@link rxData}.
   */
  setHeaderSplit(thresholdBytes: number): void;
  /** On start: interrupts schedule `napi` from now on. They are masked until `irq.unmask`. */
  enable(napi: Napi): void;
  /** On stop, after the driver has taken its buffers from the rings: empties them, no more interrupts. */
  disable(): void;
  /** When it stops receiving alone, after it has taken its buffers from the rings: empties those for receiving. */
  disableRx(): void;
}

/** A queue pair on the thread of its hardware: rings, two engines behind them, one interrupt. */
export class HardwareQueue implements NicQueue {
  readonly rx: DescriptorRing;
  readonly rxData: DescriptorRing | null;
  readonly tx: DescriptorRing;
  readonly irq: Interrupt = new Interrupt();
  readonly dma: DmaDevice | null;
  /** @internal The hardware's side. */
  readonly rxEngine: RxEngine;
  readonly txEngine: TxEngine;

  /** @internal Made by a NIC. */
  constructor(host: Host, params: NicQueueParams, { dma, copy, ports, tx }: NicParts) {
    const { rxDescCount = DEFAULT_DESCS, dataDescCount = 0, txDescCount = DEFAULT_DESCS, startIndex = 0 } = params;
    const made: DescriptorRing[] = [];
    const makeRing = (descCount: number): DescriptorRing => {
      const ring = new DescriptorRing(host, { descCount, startIndex });
      made.push(ring);
      return ring;
    };
    this.dma = dma;
    try {
      this.rx = makeRing(rxDescCount);
      this.rxData = dataDescCount === 0 ? null : makeRing(dataDescCount);
      this.tx = makeRing(txDescCount);
      this.rxEngine = new RxEngine(host, this.rx, this.rxData, { dma, copy, ports, irq: this.irq });
      this.txEngine = new TxEngine(host, this.tx, dma, this.irq, tx);
    } catch (error) {
      for (const ring of made) ring.dispose();
      throw error;
    }
  }

  setHeaderSplit(thresholdBytes: number): void {
    checkThreshold(thresholdBytes, this);
    this.rxEngine.splitAbove = thresholdBytes;
  }

  enable(napi: Napi): void {
    this.irq.attach(napi);
  }

  disable(): void {
    this.irq.attach(null);
    this.rxEngine.reset();
    this.txEngine.reset();
  }

  disableRx(): void {
    this.rxEngine.reset();
  }

  /** Gives the rings' memory back. The queue must be disabled. */
  dispose(): void {
    this.txEngine.dispose();
    this.rx.dispose();
    this.rxData?.dispose();
    this.tx.dispose();
  }
}

/** @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL), also for a queue without a data ring. */
export function checkThreshold(thresholdBytes: number, { rxData }: Pick<NicQueue, "rxData">): void {
  checkInt("thresholdBytes", thresholdBytes, -1, MAX_THRESHOLD_BYTES);
  if (thresholdBytes >= 0 && rxData === null) {
    failParam("thresholdBytes", thresholdBytes, "-1 on this queue", "Make the NIC with dataDescCount.");
  }
}
