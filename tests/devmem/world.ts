import { createHost, type Host, type NetmemWarning } from "@netmem/core";
import { createDevmem, type Devmem, DevmemSocket, type DevmemSocketParams } from "@netmem/devmem";
import { createPageAllocator } from "@netmem/mm";
import { DeviceRegistry, NapiScheduler, NetDevice, type QueueDriver, type RxQueue } from "@netmem/netdev";
import { type NicQueue, SimNic } from "@netmem/sim-nic";
import { consumeSkb, SkbSlab, SkbView } from "@netmem/skb";
import { buildPacket, ipv4Address, macAddress, VirtualClock } from "@netmem/testing";

export const PAGE = 4096;
export const RING = 64;

export interface World {
  readonly host: Host;
  readonly clock: VirtualClock;
  readonly warnings: NetmemWarning[];
  readonly nic: SimNic;
  readonly skbs: SkbSlab;
  readonly scheduler: NapiScheduler;
  readonly device: NetDevice;
  readonly devmem: Devmem;
  /** Packets that passed and that no socket took. */
  readonly received: number[];
  readonly socket: (params?: Partial<DevmemSocketParams>) => DevmemSocket;
  /** A TCP packet whose payload is `payload`. */
  readonly inject: (payload: Uint8Array) => boolean;
}

export type MakeDriver = (host: Host, queue: RxQueue, hw: NicQueue) => QueueDriver;

/** A NIC with one queue that splits headers, up, and everything behind it. */
export function makeWorld(makeDriver: MakeDriver): World {
  const clock = new VirtualClock();
  const warnings: NetmemWarning[] = [];
  const host = createHost({
    arenaBytes: 16 * 2 ** 20,
    maxNetmems: 16384,
    clock,
    pageAllocator: createPageAllocator,
    onWarning: (warning) => warnings.push(warning),
  });
  const nic = new SimNic(host, {
    queueCount: 1,
    rxDescCount: RING,
    txDescCount: 64,
    dataDescCount: RING,
    maxFrameBytes: 16_384,
  });
  const skbs = new SkbSlab(host);
  const scheduler = new NapiScheduler(host);
  const device = new NetDevice({ host, registry: new DeviceRegistry(), scheduler, skbs, name: "nic0" });
  device.addQueue({ driver: (queue) => makeDriver(host, queue, nic.queue(0)) });
  device.setHeaderSplit({ tcpDataSplit: "enabled" });
  const devmem = createDevmem(host);
  const received: number[] = [];
  device.setReceiver((batch, count) => received.push(...batch.subarray(0, count)));
  device.open();
  const packets = { view: new SkbView(skbs), consume: (skb: number) => consumeSkb(skbs, skb as never) };
  const socket: World["socket"] = (params = {}) => {
    const made = new DevmemSocket(devmem, { packets, ...params });
    device.setReceiver((batch, count) => {
      for (const skb of batch.subarray(0, count)) if (!made.enqueue(skb)) received.push(skb);
    });
    return made;
  };
  const frame = new Uint8Array(16_384);
  const inject: World["inject"] = (payload) => {
    const length = buildPacket(frame, 0, {
      ethernet: { srcMac: macAddress("02:00:00:00:00:01"), dstMac: macAddress("02:00:00:00:00:02") },
      network: { kind: "ipv4", src: ipv4Address("10.0.0.1"), dst: ipv4Address("10.0.0.2") },
      transport: { kind: "tcp", srcPort: 1000, dstPort: 2000 },
      payload,
      frameBytes: 54 + payload.length,
    });
    return nic.receive(frame, 0, length);
  };
  return { host, clock, warnings, nic, skbs, scheduler, device, devmem, received, socket, inject };
}
