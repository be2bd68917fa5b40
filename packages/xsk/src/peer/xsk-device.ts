import type { DmaDevice } from "@netmem/core";
import type { XskQueue } from "./xsk-queue.ts";

/** What a device did with a packet of copy mode. */
export const TxVerdict = {
  Sent: 0,
  /** No room now: the descriptors stay in the ring (`NETDEV_TX_BUSY`). */
  Busy: 1,
  /** Dropped on its way (`NET_XMIT_DROP`). */
  Dropped: 2,
} as const;
export type TxVerdict = (typeof TxVerdict)[keyof typeof TxVerdict];

/** Takes the `lenBytes` bytes at `at` of the arena; valid during the call only. */
export type TransmitPacket = (u8: Uint8Array, at: number, lenBytes: number, queueIdx: number) => TxVerdict;

export interface XskDeviceParams {
  readonly ifindex: number;
  /** Queues in use, 1 or more. */
  readonly queueCount: number;
  /** The driver can do zero copy, with so many descriptors per packet (`xdp_zc_max_segs`). Default 0: it cannot. */
  readonly zeroCopyMaxSegs?: number;
  /** Largest packet, for the question whether zero copy can hold it. Default 1500. */
  readonly mtuBytes?: number;
  /** A queue of the device has a memory provider: no zero copy beside it. */
  readonly hasProvider?: boolean;
  /** The driver takes no linear packets, so that checksums cannot be made in software. */
  readonly noLinear?: boolean;
  /** Fragments of a packet in copy mode at most. Default 17. */
  readonly maxSkbFrags?: number;
  /** The device's view of memory, in zero-copy mode. */
  readonly dma?: DmaDevice | null;
  /** Where packets of copy mode go. Default: nowhere. */
  readonly transmit?: TransmitPacket;
  /** The driver's `ndo_xsk_wakeup`: a zero-copy socket kicked it. */
  readonly wakeup?: (queueIdx: number) => void;
}

const nowhere: TransmitPacket = () => TxVerdict.Sent;

/** A network device of the in-process kernel, as far as XDP sockets see it. */
export class XskDevice {
  readonly ifindex: number;
  readonly queueCount: number;
  readonly zeroCopyMaxSegs: number;
  readonly mtuBytes: number;
  readonly noLinear: boolean;
  readonly maxSkbFrags: number;
  readonly dma: DmaDevice | null;
  transmit: TransmitPacket;
  wakeup: (queueIdx: number) => void;
  hasProvider: boolean;
  isUp = true;
  /** Pools by queue (`xsk_reg_pool_at_qid`). */
  readonly pools: (XskQueue | null)[];

  constructor(params: XskDeviceParams) {
    this.ifindex = params.ifindex;
    this.queueCount = params.queueCount;
    this.zeroCopyMaxSegs = params.zeroCopyMaxSegs ?? 0;
    this.mtuBytes = params.mtuBytes ?? 1500;
    this.noLinear = params.noLinear ?? false;
    this.maxSkbFrags = params.maxSkbFrags ?? 17;
    this.dma = params.dma ?? null;
    this.transmit = params.transmit ?? nowhere;
    this.wakeup = params.wakeup ?? ((): void => {});
    this.hasProvider = params.hasProvider ?? false;
    this.pools = Array.from({ length: params.queueCount }, () => null);
  }
}
