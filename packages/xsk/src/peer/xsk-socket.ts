import type { Host } from "@netmem/core";
import { DEFAULT_TX_BUDGET, Errno } from "../abi.ts";
import { DescConsumer, DescProducer } from "../desc-ring.ts";
import { ADDR_BYTES, DESC_BYTES, type XskRingLayout, xskRingBytes, xskRingLayout } from "../ring-layout.ts";
import type { Umem } from "../umem.ts";
import type { XskRingLayouts } from "../xsk-rings.ts";
import { type BindParams, bindSocket } from "./bind.ts";
import { CopyTx } from "./copy-tx.ts";
import { failCall } from "./peer-errors.ts";
import type { XskKernel } from "./xsk-kernel.ts";
import type { XskQueue } from "./xsk-queue.ts";

export type XskRingKind = keyof XskRingLayouts;

/** `XDP_STATISTICS`. */
export interface XdpStatistics {
  readonly rxDropped: number;
  /** Always 0, as in the kernel, which looks at the wrong ring. Bad fill entries are in `queue.buffs.stats()`. */
  readonly rxInvalidDescs: number;
  readonly txInvalidDescs: number;
  readonly rxRingFull: number;
  readonly rxFillRingEmptyDescs: number;
  readonly txRingEmptyDescs: number;
}

/** What `poll` says. */
export interface PollResult {
  readonly readable: boolean;
  /** At most half of the TX ring is in use. */
  readonly writable: boolean;
}

const MIN_STATISTICS_BYTES = 24;
const STATISTICS_BYTES = 48;
const MIN_TX_BUDGET = 32;

/** An XDP socket as the kernel has it. Set it up with the `set...` calls, then {@link bind}. */
export class XskSocket {
  readonly kernel: XskKernel;
  readonly host: Host;
  readonly fd: number;
  /** The kernel's ends, null without the ring. */
  rx: DescProducer | null = null;
  tx: DescConsumer | null = null;
  umem: Umem | null = null;
  /** Set by bind. */
  queue: XskQueue | null = null;
  rxDropped = 0;
  rxQueueFull = 0;
  txInvalidDescs = 0;
  txEmptyDescs = 0;
  /** Descriptors that a driver took from this socket in its turn. */
  txBudgetSpent = 0;
  /** The rest of a packet that a driver's batch dropped is still to come. */
  isDraining = false;
  maxTxBudget: number = DEFAULT_TX_BUDGET;
  /** Called by flush when packets became visible. */
  onReadable: (() => void) | null = null;
  private copyTx: CopyTx | null = null;
  private readonly rings: Partial<Record<XskRingKind, XskRingLayout>> = {};
  private isClosed = false;

  /** @internal Made by {@link XskKernel.createSocket}. */
  constructor(kernel: XskKernel, fd: number) {
    this.kernel = kernel;
    this.host = kernel.host;
    this.fd = fd;
  }

  get isBound(): boolean {
    return this.queue !== null;
  }

  /**
   * `XDP_RX_RING` and its neighbours: a ring of `size` entries.
   * @throws `ERR_NETMEM_XSK_SOCKOPT`: EBUSY once bound, EINVAL for the second ring of a kind or no power of two.
   */
  setRing(kind: XskRingKind, size: number): void {
    if (this.isBound || this.isClosed) failCall("SOCKOPT", "EBUSY", "the socket is bound", kind, size);
    const isPowerOfTwo = size > 0 && (size & (size - 1)) === 0;
    if (!isPowerOfTwo || this.rings[kind] !== undefined) {
      failCall("SOCKOPT", "EINVAL", `the ${kind} ring has ${size} entries or is there already`, kind, size);
    }
    const layout = xskRingLayout(this.host.heap.allocWords(this.wordsOf(kind, size)), size);
    this.rings[kind] = layout;
    if (kind === "rx") this.rx = new DescProducer(this.host.i32, layout);
    if (kind === "tx") this.tx = new DescConsumer(this.host.i32, layout);
  }

  /** `XDP_UMEM_REG`; the UMEM has been checked by `createUmem`. @throws `ERR_NETMEM_XSK_SOCKOPT` (EBUSY) for a second one. */
  registerUmem(umem: Umem): void {
    if (this.isBound || this.umem !== null)
      failCall("SOCKOPT", "EBUSY", "the socket has a UMEM or is bound", "umem", 0);
    this.umem = umem;
  }

  /** `XDP_MAX_TX_SKB_BUDGET` @throws `ERR_NETMEM_XSK_SOCKOPT` (EACCES) outside 32 to the size of the TX ring. */
  setMaxTxBudget(budget: number): void {
    if (budget < MIN_TX_BUDGET || budget > (this.tx?.size ?? 0)) {
      failCall("SOCKOPT", "EACCES", `a TX budget of ${budget}`, "budget", budget);
    }
    this.maxTxBudget = budget;
  }

  /** @throws `ERR_NETMEM_XSK_BIND` with the kernel's errno; nothing has changed then. */
  bind(params: BindParams): void {
    const queue = bindSocket(this, params);
    try {
      if (!queue.isZeroCopy && this.tx !== null) this.copyTx = new CopyTx(queue, this);
    } catch (error) {
      if (queue.users === 0) queue.abandon();
      throw error;
    }
    this.queue = queue;
    queue.addSocket(this);
  }

  /** The rings, for the user's end. */
  get layouts(): XskRingLayouts {
    const { fill = null, completion = null, rx = null, tx = null } = this.rings;
    return { fill, completion, rx, tx };
  }

  /** @throws `ERR_NETMEM_XSK_SOCKOPT` (EINVAL) below 24 bytes. With fewer than 48, `rxDropped` has the ring-full drops too. */
  statistics(bytes: number = STATISTICS_BYTES): XdpStatistics {
    if (bytes < MIN_STATISTICS_BYTES) failCall("SOCKOPT", "EINVAL", `${bytes} bytes of statistics`, "bytes", bytes);
    const isFull = bytes >= STATISTICS_BYTES;
    return {
      rxDropped: this.rxDropped + (isFull ? 0 : this.rxQueueFull),
      rxInvalidDescs: 0,
      txInvalidDescs: this.txInvalidDescs,
      rxRingFull: isFull ? this.rxQueueFull : 0,
      rxFillRingEmptyDescs: isFull ? (this.queue?.buffs.stats().queueEmptyDescs ?? 0) : 0,
      txRingEmptyDescs: isFull ? this.txEmptyDescs : 0,
    };
  }

  /** `sendto` with `MSG_DONTWAIT` unless said otherwise: 0, or an errno negated. */
  sendto(isNonBlocking = true): number {
    const { queue } = this;
    if (!isNonBlocking) return -Errno.EOPNOTSUPP;
    if (queue === null) return -Errno.ENXIO;
    if (!queue.device.isUp) return -Errno.ENETDOWN;
    if (this.tx === null) return -Errno.ENOBUFS;
    if (this.copyTx !== null) return this.copyTx.xmit();
    queue.device.wakeup(queue.queueIdx);
    return 0;
  }

  /** `recvfrom`: wakes a zero-copy driver that said it sleeps. 0, or an errno negated. */
  recvfrom(): number {
    const { queue } = this;
    if (queue === null) return -Errno.ENXIO;
    if (!queue.device.isUp) return -Errno.ENETDOWN;
    if (this.rx === null) return -Errno.ENOBUFS;
    if (queue.isZeroCopy) queue.device.wakeup(queue.queueIdx);
    return 0;
  }

  /** `poll`; in copy mode it transmits. Never waits. */
  poll(): PollResult {
    const { queue, tx } = this;
    if (queue === null) return { readable: false, writable: false };
    if (this.copyTx !== null) this.copyTx.xmit();
    else if (queue.isZeroCopy) queue.device.wakeup(queue.queueIdx);
    return {
      readable: this.rx !== null && this.rx.filledCount > 0,
      writable: tx !== null && tx.filledCount <= tx.size >>> 1,
    };
  }

  /**
   * Closes it; the user's end must not touch its rings any more. The last socket of a queue takes the queue down;
   * `queue.onReleased` says when.
   */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    const { queue } = this;
    this.rx = null;
    this.tx = null;
    this.copyTx?.dispose();
    this.copyTx = null;
    this.freeRing("rx");
    this.freeRing("tx");
    if (queue === null) this.releaseQueueRings();
    else queue.removeSocket(this);
    this.kernel.forget(this.fd);
  }

  /** @internal Those of the queue, which outlive the socket. */
  releaseQueueRings(): void {
    this.freeRing("fill");
    this.freeRing("completion");
  }

  private freeRing(kind: XskRingKind): void {
    const layout = this.rings[kind];
    if (layout === undefined) return;
    this.host.heap.freeWords(layout.producerAt, this.wordsOf(kind, layout.size));
    delete this.rings[kind];
  }

  private wordsOf(kind: XskRingKind, size: number): number {
    return xskRingBytes(size, kind === "rx" || kind === "tx" ? DESC_BYTES : ADDR_BYTES) >>> 2;
  }
}
