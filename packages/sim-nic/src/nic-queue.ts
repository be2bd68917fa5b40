import type { DmaDevice, Host } from "@netmem/core";
import type { Napi } from "@netmem/netdev";
import { DescriptorRing } from "./descriptor-ring.ts";
import type { DmaCopy } from "./dma-copy.ts";
import { Interrupt } from "./interrupt.ts";
import { RxEngine } from "./rx-engine.ts";
import { TxEngine, type TxPort } from "./tx-engine.ts";

export interface NicQueueParams {
  /** Receive descriptors, a power of two from 8 to 16384. Default 256. */
  readonly rxDescCount?: number;
  /** Transmit descriptors, likewise. Default 256. */
  readonly txDescCount?: number;
  /** First index of both rings. Tests start just below the wrap. Default 0. */
  readonly startIndex?: number;
}

const DEFAULT_DESCS = 256;

/** One queue pair of the hardware, as its driver sees it: two rings, two engines behind them, one interrupt. */
export class NicQueue {
  readonly rx: DescriptorRing;
  readonly tx: DescriptorRing;
  readonly irq: Interrupt = new Interrupt();
  /** Device whose addresses the descriptors carry; null when a page frame number is a page's index. */
  readonly dma: DmaDevice | null;
  /** @internal The hardware's side. */
  readonly rxEngine: RxEngine;
  /** Ring its doorbell after posting to {@link tx}. */
  readonly txEngine: TxEngine;

  /** @internal Made by a NIC. */
  constructor(host: Host, params: NicQueueParams, dma: DmaDevice | null, copy: DmaCopy, port: TxPort) {
    const startIndex = params.startIndex ?? 0;
    this.dma = dma;
    this.rx = new DescriptorRing(host, { descCount: params.rxDescCount ?? DEFAULT_DESCS, startIndex });
    this.tx = new DescriptorRing(host, { descCount: params.txDescCount ?? DEFAULT_DESCS, startIndex });
    this.rxEngine = new RxEngine(host, this.rx, dma, copy, this.irq);
    this.txEngine = new TxEngine(host, this.tx, dma, this.irq, port);
  }

  /** Driver, on start: interrupts schedule `napi` from now on. They are masked until `irq.unmask`. */
  enable(napi: Napi): void {
    this.irq.attach(napi);
  }

  /** Driver, on stop, after it has taken its buffers from the rings: empties both, no more interrupts. */
  disable(): void {
    this.irq.attach(null);
    this.rxEngine.reset();
    this.txEngine.reset();
  }

  /** Gives the rings' memory back. The queue must be disabled. */
  dispose(): void {
    this.txEngine.dispose();
    this.rx.dispose();
    this.tx.dispose();
  }
}
