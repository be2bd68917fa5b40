import type { Host } from "@netmem/core";
import { AddrConsumer, AddrProducer } from "../addr-ring.ts";
import { copyFrameBytes } from "../chunk-geometry.ts";
import { createXskBuffPool } from "../create-xsk-buff-pool.ts";
import type { XskRingLayout } from "../ring-layout.ts";
import type { Umem } from "../umem.ts";
import type { UmemDma } from "../umem-dma.ts";
import type { XskBuffPool } from "../xsk-buff-pool.ts";
import type { XskDevice } from "./xsk-device.ts";
import type { XskSocket } from "./xsk-socket.ts";
import { ZeroCopyTx } from "./zero-copy-tx.ts";

export interface XskQueueParams {
  readonly umem: Umem;
  readonly device: XskDevice;
  readonly queueIdx: number;
  readonly fill: XskRingLayout;
  readonly completion: XskRingLayout;
  readonly isZeroCopy: boolean;
  readonly hasSg: boolean;
  readonly usesNeedWakeup: boolean;
  /** Gives the fill and the completion ring back. */
  readonly releaseRings: () => void;
}

/**
 * What a device queue and its XDP sockets share in the kernel (`xsk_buff_pool`): buffers, fill and completion ring, and the
 * sockets that transmit. A zero-copy driver works on it.
 */
export class XskQueue {
  readonly host: Host;
  readonly umem: Umem;
  readonly device: XskDevice;
  readonly queueIdx: number;
  readonly isZeroCopy: boolean;
  readonly hasSg: boolean;
  readonly usesNeedWakeup: boolean;
  /** Where the driver's buffers come from and go back to. */
  readonly buffs: XskBuffPool;
  readonly completion: AddrProducer;
  /** What the driver transmits from. */
  readonly tx: ZeroCopyTx;
  /** Sockets bound to the queue. */
  readonly sockets: XskSocket[] = [];
  /** Bytes of packet that one buffer takes in copy mode. */
  readonly frameBytes: number;
  private readonly dma: UmemDma | null;
  private readonly fill: AddrConsumer;
  private releaseRings: () => void;
  private readonly waiters: (() => void)[] = [];
  private isReleased = false;
  private rxNeedsWakeup = false;
  private txNeedsWakeup: boolean;

  /** @throws what `createXskBuffPool` and `Umem.mapDma` say; nothing is held then. */
  constructor(host: Host, params: XskQueueParams) {
    const { umem, device } = params;
    this.host = host;
    this.umem = umem;
    this.device = device;
    this.queueIdx = params.queueIdx;
    this.isZeroCopy = params.isZeroCopy;
    this.hasSg = params.hasSg;
    this.usesNeedWakeup = params.usesNeedWakeup;
    this.txNeedsWakeup = params.usesNeedWakeup;
    this.frameBytes = copyFrameBytes(umem.geometry);
    this.fill = new AddrConsumer(host.i32, params.fill);
    this.dma = params.isZeroCopy && device.dma !== null ? umem.mapDma(device.dma) : null;
    try {
      const name = `xsk pool of device ${device.ifindex} queue ${params.queueIdx}`;
      this.buffs = createXskBuffPool(host, { name, geometry: umem.geometry, fill: this.fill, dma: this.dma });
    } catch (error) {
      if (this.dma !== null) umem.unmapDma(this.dma);
      throw error;
    }
    this.completion = new AddrProducer(host.i32, params.completion);
    this.tx = new ZeroCopyTx(this);
    this.releaseRings = params.releaseRings;
    this.buffs.onGone(() => this.finish());
    device.pools[params.queueIdx] = this;
  }

  /** Sockets that hold it. */
  get users(): number {
    return this.sockets.length;
  }

  /** @internal */
  addSocket(socket: XskSocket): void {
    this.sockets.push(socket);
    if (this.usesNeedWakeup) socket.tx?.setNeedWakeup(this.txNeedsWakeup);
  }

  /** @internal Nobody came to be bound to it: it goes, and leaves the rings where they are. */
  abandon(): void {
    this.releaseRings = () => {};
    this.buffs.destroy();
  }

  /** @internal The last one takes the queue down (`xp_put_pool`). */
  removeSocket(socket: XskSocket): void {
    this.sockets.splice(this.sockets.indexOf(socket), 1);
    if (this.sockets.length === 0) this.buffs.destroy();
  }

  /**
   * Calls `done` once the kernel has let go of every buffer; at once if it has. Stop the driver first: what it transmits
   * from is not waited for.
   */
  onReleased(done: () => void): void {
    if (this.isReleased) done();
    else this.waiters.push(done);
  }

  /** `xsk_set_rx_need_wakeup`, `xsk_clear_rx_need_wakeup` */
  setRxNeedWakeup(wanted: boolean): void {
    if (!this.usesNeedWakeup || this.isReleased || wanted === this.rxNeedsWakeup) return;
    this.rxNeedsWakeup = wanted;
    this.fill.setNeedWakeup(wanted);
  }

  /** `xsk_set_tx_need_wakeup`, `xsk_clear_tx_need_wakeup`: in the ring of every socket. */
  setTxNeedWakeup(wanted: boolean): void {
    if (!this.usesNeedWakeup || wanted === this.txNeedsWakeup) return;
    this.txNeedsWakeup = wanted;
    for (const socket of this.sockets) socket.tx?.setNeedWakeup(wanted);
  }

  private finish(): void {
    this.isReleased = true;
    this.tx.end();
    if (this.dma !== null) this.umem.unmapDma(this.dma);
    this.device.pools[this.queueIdx] = null;
    this.releaseRings();
    for (const done of this.waiters.splice(0)) done();
  }
}
