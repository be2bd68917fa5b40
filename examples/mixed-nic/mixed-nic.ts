import { Order0Driver } from "@netmem-examples/driver-order0";
import { PagePoolDriver } from "@netmem-examples/driver-page-pool";
import { SplitPageDriver } from "@netmem-examples/driver-split-page";
import type { Clock, DmaDevice, Host } from "@netmem/core";
import {
  createBounceDevice,
  createDirectDevice,
  createIommuDevice,
  type IotlbMeter,
  withIotlbMeter,
} from "@netmem/dma";
import { createPageShared } from "@netmem/mm";
import { DeviceRegistry, NapiScheduler, NetDevice, type QueueDriver, type RxQueue } from "@netmem/netdev";
import { type NicQueue, SimNic } from "@netmem/sim-nic";
import { SkbSlab } from "@netmem/skb";
import { createHost } from "netmem";
import { TimedDriver } from "./timed-driver.ts";

const ARENA_BYTES = 64 * 2 ** 20;
const QUEUE_COUNT = 3;
/** The largest frame that fits the smallest queue's buffers: 18 of 1472 bytes. */
export const MAX_FRAME_BYTES = 16_384;

/** What stands between pages and the NIC. */
export const DMA_KINDS = ["none", "direct", "iommu", "bounce"] as const;
export type DmaKind = (typeof DMA_KINDS)[number];

export interface MixedNicParams {
  /** Default: the runtime's. */
  readonly clock?: Clock;
  /** Default "none": descriptors carry page indices. */
  readonly dma?: DmaKind;
}

/** One NIC, three queues, three drivers, and everything they need. */
export interface MixedNic {
  readonly host: Host;
  readonly nic: SimNic;
  readonly skbs: SkbSlab;
  readonly scheduler: NapiScheduler;
  readonly device: NetDevice;
  readonly drivers: readonly TimedDriver[];
  /** By queue; empty unless there is an IOMMU. */
  readonly iotlbs: readonly IotlbMeter[];
}

type QueueDriverMaker = (queue: RxQueue, hw: NicQueue) => QueueDriver;

/** Makes the DMA device of a host; behind an IOMMU, `iotlbs` gets a meter for each queue. */
function makeDma(kind: Exclude<DmaKind, "none">, host: Host, queueCount: number, iotlbs: IotlbMeter[]): DmaDevice {
  if (kind === "direct") return createDirectDevice(host);
  if (kind === "bounce") return createBounceDevice(host, { skipCpuSync: true });
  const iommu = createIommuDevice(host);
  for (let n = 0; n < queueCount; n++) iotlbs.push(withIotlbMeter(iommu));
  return iommu;
}

/** Builds it all; the device is closed. */
export function makeMixedNic(params: MixedNicParams = {}): MixedNic {
  const { clock, dma = "none" } = params;
  const iotlbs: IotlbMeter[] = [];
  const host = createHost({
    arenaBytes: ARENA_BYTES,
    ...(clock && { clock }),
    ...(dma !== "none" && { dma: (owner) => makeDma(dma, owner, QUEUE_COUNT, iotlbs) }),
  });
  const pageShared = createPageShared(host);
  const makers: readonly QueueDriverMaker[] = [
    (queue, hw) => new PagePoolDriver(host, queue, hw),
    (queue, hw) => new SplitPageDriver(host, pageShared, queue, hw),
    (queue, hw) => new Order0Driver(host, queue, hw),
  ];
  const nic = new SimNic(host, {
    queueCount: QUEUE_COUNT,
    rxDescCount: 1024,
    maxFrameBytes: MAX_FRAME_BYTES,
    dma: (queueIdx) => iotlbs[queueIdx] ?? host.dma,
  });
  const skbs = new SkbSlab(host, { skbCount: 1024 });
  const scheduler = new NapiScheduler(host);
  const device = new NetDevice({ host, registry: new DeviceRegistry(), scheduler, skbs, name: "sim0" });
  const drivers: TimedDriver[] = [];
  for (const make of makers) {
    device.addQueue({
      driver: (queue) => {
        const driver = new TimedDriver(make(queue, nic.queue(queue.queueIdx)));
        drivers.push(driver);
        return driver;
      },
    });
  }
  return { host, nic, skbs, scheduler, device, drivers, iotlbs };
}
