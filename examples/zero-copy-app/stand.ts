import { PagePoolDriver } from "@netmem-examples/driver-page-pool";
import type { DmaDevice, Host } from "@netmem/core";
import { DeviceRegistry, type FlowRule, NapiScheduler, NetDevice } from "@netmem/netdev";
import { SimNic } from "@netmem/sim-nic";
import { SkbSlab } from "@netmem/skb";
import { buildPacket, fillPattern, ipv4Address, macAddress, type PacketSpec, VirtualClock } from "@netmem/testing";
import { createHost } from "netmem";
import { HEADER_BYTES, Reader } from "./reader.ts";
import { ZeroCopyDriver } from "./zero-copy-driver.ts";

const APP_QUEUE = 1;
const RX_DESCS = 256;

/** The one flow that the application gets. */
const appFlow = {
  src: ipv4Address("10.0.0.1"),
  dst: ipv4Address("10.0.0.2"),
  srcPort: 4000,
  dstPort: 5000,
} as const;

const appRule: FlowRule = { queueIdx: APP_QUEUE, protocol: "udp", ...appFlow };

export interface StandParams {
  /** What stands between pages and the NIC. Default: nothing. */
  readonly dma?: (host: Host) => DmaDevice;
  readonly clearOnEntry?: boolean;
}

/** One NIC with two queues: everybody's, and the application's. */
export interface Stand {
  readonly host: Host;
  readonly clock: VirtualClock;
  readonly nic: SimNic;
  readonly device: NetDevice;
  readonly scheduler: NapiScheduler;
  readonly reader: Reader;
  readonly driver: ZeroCopyDriver;
  /** Rule that steers the application's flow. */
  readonly ruleId: number;
}

/** Builds it; the device is closed. */
export function makeStand({ dma, clearOnEntry = true }: StandParams = {}): Stand {
  const clock = new VirtualClock();
  const host = createHost({ arenaBytes: 32 * 2 ** 20, clock, ...(dma && { dma }) });
  const nic = new SimNic(host, { queueCount: 2, rxDescCount: RX_DESCS });
  const scheduler = new NapiScheduler(host);
  const skbs = new SkbSlab(host);
  const device = new NetDevice({
    host,
    registry: new DeviceRegistry(),
    scheduler,
    skbs,
    name: "sim0",
    steering: nic.flows,
  });
  device.addQueue({ driver: (queue) => new PagePoolDriver(host, queue, nic.queue(0)) });
  const made: ZeroCopyDriver[] = [];
  const reader: Reader = new Reader(host, (refs, count) => made[0]?.giveBack(refs, count));
  device.addQueue({
    driver: (queue) => {
      const driver = new ZeroCopyDriver(host, queue, nic.queue(APP_QUEUE), {
        take: (refs, lengths, count) => reader.take(refs, lengths, count),
        clearOnEntry,
      });
      made.push(driver);
      return driver;
    },
  });
  // Hashed packets stay away from the application's queue; its flow goes nowhere else.
  nic.rss.excludeQueue(APP_QUEUE);
  const ruleId = device.addFlowRule(appRule);
  return { host, clock, nic, device, scheduler, reader, driver: made[0]!, ruleId };
}

/** Writes packet `n` of the application's flow to `bytes`, and returns its length. */
export function appPacket(bytes: Uint8Array, n: number, payloadBytes: number): number {
  return packetOf(bytes, appFlow.dstPort, n, payloadBytes);
}

/** The same of somebody else's: all ports but the application's. */
export function otherPacket(bytes: Uint8Array, n: number, payloadBytes: number): number {
  return packetOf(bytes, appFlow.dstPort + 1 + (n % 1000), n, payloadBytes);
}

function packetOf(bytes: Uint8Array, dstPort: number, n: number, payloadBytes: number): number {
  const frameBytes = HEADER_BYTES + payloadBytes;
  const spec: PacketSpec = {
    ethernet: { srcMac: macAddress("02:00:00:00:00:01"), dstMac: macAddress("02:00:00:00:00:02") },
    network: { kind: "ipv4", src: appFlow.src, dst: appFlow.dst },
    transport: { kind: "udp", srcPort: appFlow.srcPort, dstPort },
    frameBytes,
  };
  buildPacket(bytes, 0, spec);
  fillPattern(bytes, HEADER_BYTES, payloadBytes, n);
  return frameBytes;
}
