import { GveDevmemDriver } from "@netmem-examples/driver-gve-devmem";
import { Order0Driver } from "@netmem-examples/driver-order0";
import { PagePoolDriver } from "@netmem-examples/driver-page-pool";
import { SplitPageDriver } from "@netmem-examples/driver-split-page";
import { XskZcDriver } from "@netmem-examples/driver-xsk-zc";
import type { Clock, DmaDevice, Host } from "@netmem/core";
import { createDevmem, createHostMemory, type DevmemBinding } from "@netmem/devmem";
import {
  createBounceDevice,
  createDirectDevice,
  createIommuDevice,
  type IotlbMeter,
  withIotlbMeter,
} from "@netmem/dma";
import { createHugeProvider, createModelBacking } from "@netmem/hugepage";
import { createPageShared } from "@netmem/mm";
import { DeviceRegistry, NapiScheduler, NetDevice, type QueueDriver, type RxQueue } from "@netmem/netdev";
import { type NicQueue, SimNic } from "@netmem/sim-nic";
import { SkbSlab } from "@netmem/skb";
import { createHost } from "netmem";
import { TimedDriver } from "./timed-driver.ts";

const ARENA_BYTES = 64 * 2 ** 20;
/** The XSK queue's kernel describes every page a second time. */
const MAX_NETMEMS = 40_960;
export const QUEUE_COUNT = 6;
const HUGE_QUEUE = 3;
/** Huge pages of 2 MiB behind one queue: 1536 pages for 1024 descriptors and what is under way. */
const HUGE_CHUNKS = 3;
const DEVMEM_QUEUE = 5;
/** Device memory for the payload of one queue: 1024 descriptors and what is under way. */
const DEVMEM_BYTES = 8 * 2 ** 20;
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

/** One NIC, a driver per queue, and everything they need. */
export interface MixedNic {
  readonly host: Host;
  readonly nic: SimNic;
  readonly skbs: SkbSlab;
  readonly scheduler: NapiScheduler;
  readonly device: NetDevice;
  readonly drivers: readonly TimedDriver[];
  /** Where one queue's payload lands; no accessor reads it. */
  readonly binding: DevmemBinding;
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
    maxNetmems: MAX_NETMEMS,
    ...(clock && { clock }),
    ...(dma !== "none" && { dma: (owner) => makeDma(dma, owner, QUEUE_COUNT, iotlbs) }),
  });
  const pageShared = createPageShared(host);
  const makers: readonly QueueDriverMaker[] = [
    (queue, hw) => new PagePoolDriver(host, queue, hw),
    (queue, hw) => new SplitPageDriver(host, pageShared, queue, hw),
    (queue, hw) => new Order0Driver(host, queue, hw),
    (queue, hw) => new PagePoolDriver(host, queue, hw),
    (queue, hw) => new XskZcDriver(host, queue, hw),
    (queue, hw) => new GveDevmemDriver(host, queue, hw),
  ];
  const nic = new SimNic(host, {
    queueCount: QUEUE_COUNT,
    rxDescCount: 1024,
    dataDescCount: 1024,
    maxFrameBytes: MAX_FRAME_BYTES,
    dma: (queueIdx) => iotlbs[queueIdx] ?? host.dma,
  });
  const skbs = new SkbSlab(host, { skbCount: 1024 });
  const scheduler = new NapiScheduler(host);
  const device = new NetDevice({
    host,
    registry: new DeviceRegistry(),
    scheduler,
    skbs,
    name: "sim0",
    // The kernel's rules want every queue to split headers as soon as one has a provider.
    queueRules: "perQueue",
  });
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
  const huge = createHugeProvider(host, { backing: createModelBacking(host), chunks: HUGE_CHUNKS });
  host.providers.register(huge);
  device.openRxqProvider(HUGE_QUEUE, huge);
  device.setHeaderSplit({ tcpDataSplit: "enabled" }, DEVMEM_QUEUE);
  const memory = createHostMemory({ sizeBytes: DEVMEM_BYTES });
  const binding = createDevmem(host).bindRx({ device, queues: [DEVMEM_QUEUE], memory, ports: nic.ports });
  return { host, nic, skbs, scheduler, device, drivers, binding, iotlbs };
}
