import { Order0Driver } from "@netmem-examples/driver-order0";
import { PagePoolDriver } from "@netmem-examples/driver-page-pool";
import { SplitPageDriver } from "@netmem-examples/driver-split-page";
import type { DmaDevice, Host } from "@netmem/core";
import { createDirectDevice, createIommuDevice } from "@netmem/dma";
import { DeviceRegistry, NapiScheduler, NetDevice, type QueueDriver, type RxQueue, XdpVerdict } from "@netmem/netdev";
import { type NicQueue, SimNic } from "@netmem/sim-nic";
import { asSkbRef, consumeSkb, SkbSlab } from "@netmem/skb";
import { buildPacket, ipv4Address, macAddress, type PacketSpec } from "@netmem/testing";
import { createHost, createPageShared } from "netmem";
import { fivePrograms } from "./programs.ts";

export const BURST = 64;
const FIRST_PORT = 1024;
const DST_PORT = 9;
const SRC = ipv4Address("10.0.0.1");
const DST = ipv4Address("10.0.0.2");
/** Where an untagged frame has its UDP source port. */
const SRC_PORT = 34;
const MAX_FRAME_BYTES = 16_384;
const WARM_BURSTS = 300;

const drivers = {
  page_pool: (host: Host, queue: RxQueue, hw: NicQueue): QueueDriver => new PagePoolDriver(host, queue, hw),
  split_page: (host: Host, queue: RxQueue, hw: NicQueue): QueueDriver =>
    new SplitPageDriver(host, createPageShared(host), queue, hw),
  order0: (host: Host, queue: RxQueue, hw: NicQueue): QueueDriver => new Order0Driver(host, queue, hw),
};

const dmaDevices: Readonly<Record<string, (host: Host) => DmaDevice>> = {
  direct: createDirectDevice,
  iommu: createIommuDevice,
};

export interface RigOptions {
  /** What stands between pages and the NIC. Default: nothing. */
  readonly dma?: keyof typeof dmaDevices;
  /** A flow rule for each frame, which sends it where its hash would have. */
  readonly isSteered?: boolean;
}

export type Composition = keyof typeof drivers;
const compositions = Object.keys(drivers) as Composition[];

function udpFrame(srcPort: number, frameBytes: number): PacketSpec {
  return {
    ethernet: { srcMac: macAddress("02:00:00:00:00:01"), dstMac: macAddress("02:00:00:00:00:02") },
    network: { kind: "ipv4", src: SRC, dst: DST },
    transport: { kind: "udp", srcPort, dstPort: DST_PORT },
    frameBytes,
  };
}

/** 64 frames that the NIC sends to one queue, back to back. */
interface Frames {
  readonly bytes: Uint8Array;
  readonly offsets: Int32Array;
  readonly lengths: Int32Array;
}

/**
 * One NIC, three queues with three drivers, five programs, all of them warmed up: what a row measures runs in a process
 * where everything else is alive too.
 */
export class RxRig {
  readonly nic: SimNic;
  readonly scheduler: NapiScheduler;
  readonly device: NetDevice;
  readonly skbs: SkbSlab;
  frames: Frames;
  /** Packets that passed and were consumed. */
  consumed = 0;

  constructor(composition: Composition, frameBytes: readonly number[], verdict: number, options: RigOptions = {}) {
    const dma = options.dma === undefined ? undefined : dmaDevices[options.dma];
    const host = createHost({ arenaBytes: 128 * 2 ** 20, ...(dma && { dma }) });
    this.nic = new SimNic(host, { queueCount: compositions.length });
    this.scheduler = new NapiScheduler(host);
    this.skbs = new SkbSlab(host);
    this.device = new NetDevice({
      host,
      registry: new DeviceRegistry(),
      scheduler: this.scheduler,
      skbs: this.skbs,
      name: "sim0",
      steering: this.nic.flows,
    });
    compositions.forEach((name, n) =>
      this.device.addQueue({ driver: (queue) => drivers[name](host, queue, this.nic.queue(n)) }),
    );
    this.device.setReceiver((skbs, count) => this.consume(skbs, count));
    this.device.open();
    this.frames = this.framesFor(0, frameBytes);
    this.warmUp(host, frameBytes, verdict);
    const queueIdx = compositions.indexOf(composition);
    this.frames = this.framesFor(queueIdx, frameBytes);
    if (options.isSteered === true) this.steer(queueIdx);
    this.device.setProgram(fivePrograms(host, verdict)[1]!, queueIdx);
  }

  /** 64 packets from the wire to their verdict. */
  burst(): void {
    this.receive();
    this.scheduler.runUntilIdle();
  }

  /** The NIC's part: hash, DMA write, completion of 64 packets. */
  receive(): void {
    const { bytes, offsets, lengths } = this.frames;
    this.nic.receiveBurst(bytes, offsets, lengths, BURST);
  }

  /** One rule without wildcards for each frame. */
  private steer(queueIdx: number): void {
    const { bytes, offsets } = this.frames;
    for (const at of offsets) {
      const srcPort = (bytes[at + SRC_PORT]! << 8) | bytes[at + SRC_PORT + 1]!;
      this.device.addFlowRule({ queueIdx, protocol: "udp", src: SRC, dst: DST, srcPort, dstPort: DST_PORT });
    }
  }

  private consume(skbs: Int32Array, count: number): void {
    for (let n = 0; n < count; n++) consumeSkb(this.skbs, asSkbRef(skbs[n]!));
    this.consumed = (this.consumed + count) | 0;
  }

  /** Every driver with every program and with the sizes of this row, dropped, passed and sent. */
  private warmUp(host: Host, frameBytes: readonly number[], verdict: number): void {
    for (const warmVerdict of [XdpVerdict.Pass, XdpVerdict.Tx, XdpVerdict.Drop, verdict]) {
      for (const program of fivePrograms(host, warmVerdict)) {
        this.device.setProgram(program);
        for (let queueIdx = 0; queueIdx < compositions.length; queueIdx++) {
          this.frames = this.framesFor(queueIdx, frameBytes);
          for (let n = 0; n < WARM_BURSTS; n++) this.burst();
        }
      }
    }
  }

  private framesFor(queueIdx: number, frameBytes: readonly number[]): Frames {
    const frames = {
      bytes: new Uint8Array(BURST * MAX_FRAME_BYTES),
      offsets: new Int32Array(BURST),
      lengths: new Int32Array(BURST),
    };
    // Back to back: frames at multiples of 4 KiB would all fall into the same cache sets.
    for (let n = 0, at = 0, srcPort = FIRST_PORT; n < BURST; srcPort++) {
      const length = buildPacket(frames.bytes, at, udpFrame(srcPort, frameBytes[n % frameBytes.length]!));
      if (this.nic.rss.chooseQueue(frames.bytes, at, length) !== queueIdx) continue;
      frames.offsets[n] = at;
      frames.lengths[n] = length;
      at += (length + 63) & ~63;
      n++;
    }
    return frames;
  }
}
