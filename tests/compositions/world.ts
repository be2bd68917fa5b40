import { FbnicDriver } from "@netmem-examples/driver-fbnic-sub0-sub1";
import { GveDevmemDriver } from "@netmem-examples/driver-gve-devmem";
import { Order0Driver } from "@netmem-examples/driver-order0";
import { PagePoolDriver } from "@netmem-examples/driver-page-pool";
import { SplitPageDriver } from "@netmem-examples/driver-split-page";
import { XskZcDriver } from "@netmem-examples/driver-xsk-zc";
import type { DmaDevice, Host, NetmemWarning } from "@netmem/core";
import {
  type BalancedDevice,
  createBounceDevice,
  createDirectDevice,
  createIommuDevice,
  withBalance,
} from "@netmem/dma";
import { createPageShared } from "@netmem/mm";
import { DeviceRegistry, NapiScheduler, NetDevice, type QueueDriver, type RxQueue } from "@netmem/netdev";
import { type NicQueue, SimNic } from "@netmem/sim-nic";
import { asSkbRef, consumeSkb, SkbSlab, SkbView } from "@netmem/skb";
import { Prng, VirtualClock } from "@netmem/testing";
import { createHost } from "netmem";
import { heapPages } from "./heap-pages.ts";
import { Ledger } from "./ledger.ts";
import { PacketBytes } from "./packet-bytes.ts";
import { MAX_FRAME_BYTES } from "./frame-source.ts";

export const DMA_KINDS = ["none", "direct", "iommu", "bounce"] as const;
export type DmaKind = (typeof DMA_KINDS)[number];

/** The queues of the device, in an order that lets the last ones be taken away: they never have a provider. */
export const Queue = {
  PagePool: 0,
  Huge: 1,
  Zcrx: 2,
  Devmem: 3,
  Split: 4,
  PageShared: 5,
  Order0: 6,
  Xsk: 7,
} as const;
export const QUEUE_COUNT = 8;
/** Queues of drivers that can be restarted one by one. */
export const MANAGED_COUNT = 5;

const ARENA_BYTES = 64 * 2 ** 20;
const PAGES = ARENA_BYTES / 4096;
const DESCS = 256;
/** Pages, a second description of each for every XSK session that still has frames outside, user areas, device memory. */
const MAX_NETMEMS = 8 * PAGES;

/** Two devices over one host, everything that receives, and what keeps the books. */
export interface World {
  readonly dmaKind: DmaKind;
  readonly prng: Prng;
  readonly clock: VirtualClock;
  readonly host: Host;
  readonly warnings: NetmemWarning[];
  readonly dma: BalancedDevice | null;
  readonly nic: SimNic;
  readonly device: NetDevice;
  /** Where redirected frames go. */
  readonly otherNic: SimNic;
  readonly other: NetDevice;
  readonly scheduler: NapiScheduler;
  readonly slab: SkbSlab;
  readonly bytes: PacketBytes;
  readonly ledger: Ledger;
  /** How readers of packets get and end them. */
  /** Pages of control structures before there were any but the host's own. */
  readonly controlPages: number;
  readonly packets: { readonly view: SkbView; consume(skb: number): void };
}

function makeDma(kind: DmaKind, host: Host): DmaDevice | null {
  if (kind === "none") return null;
  if (kind === "direct") return createDirectDevice(host);
  return kind === "iommu" ? createIommuDevice(host) : createBounceDevice(host, { skipCpuSync: true });
}

function makeDrivers(host: Host): readonly ((queue: RxQueue, hw: NicQueue) => QueueDriver)[] {
  const shared = createPageShared(host);
  return [
    (queue, hw) => new PagePoolDriver(host, queue, hw),
    (queue, hw) => new PagePoolDriver(host, queue, hw),
    (queue, hw) => new PagePoolDriver(host, queue, hw),
    (queue, hw) => new GveDevmemDriver(host, queue, hw),
    (queue, hw) => new FbnicDriver(host, queue, hw),
    (queue, hw) => new SplitPageDriver(host, shared, queue, hw),
    (queue, hw) => new Order0Driver(host, queue, hw),
    (queue, hw) => new XskZcDriver(host, queue, hw),
  ];
}

/** Builds it all; the devices are closed. */
export function makeWorld(dmaKind: DmaKind, seed: number): World {
  const clock = new VirtualClock();
  const warnings: NetmemWarning[] = [];
  let dma: BalancedDevice | null = null;
  const host = createHost({
    arenaBytes: ARENA_BYTES,
    maxNetmems: MAX_NETMEMS,
    clock,
    onWarning: (warning) => warnings.push(warning),
    ...(dmaKind !== "none" && { dma: (made) => (dma = withBalance(makeDma(dmaKind, made)!)) }),
  });
  const controlPages = heapPages(host).whole;
  const params = { rxDescCount: DESCS, txDescCount: DESCS, maxFrameBytes: MAX_FRAME_BYTES };
  const nic = new SimNic(host, { ...params, queueCount: QUEUE_COUNT, dataDescCount: DESCS });
  const otherNic = new SimNic(host, { ...params, queueCount: 1 });
  const slab = new SkbSlab(host, { skbCount: 4096 });
  const scheduler = new NapiScheduler(host);
  const common = { host, registry: new DeviceRegistry(), scheduler, skbs: slab };
  const setQueueCount = (count: number): void => nic.rss.setQueueCount(count);
  const device = new NetDevice({ ...common, name: "nic0", queueRules: "perQueue", setQueueCount });
  const other = new NetDevice({ ...common, name: "nic1" });
  makeDrivers(host).forEach((make, n) => device.addQueue({ driver: (queue) => make(queue, nic.queue(n)) }));
  other.addQueue({ driver: (queue) => new Order0Driver(host, queue, otherNic.queue(0)) });
  for (const queueIdx of [Queue.Devmem, Queue.Split]) device.setHeaderSplit({ tcpDataSplit: "enabled" }, queueIdx);
  const packets = { view: new SkbView(slab), consume: (skb: number): void => consumeSkb(slab, asSkbRef(skb)) };
  const books = { controlPages, prng: new Prng(seed), ledger: new Ledger(), bytes: new PacketBytes(slab) };
  return { dmaKind, clock, host, warnings, dma, nic, device, otherNic, other, scheduler, slab, packets, ...books };
}
