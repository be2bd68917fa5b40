import type { Clock, DmaDevice, Host } from "@netmem/core";
import { DeviceRegistry, NapiScheduler, NetDevice, type QueueDriver, type RxQueue } from "@netmem/netdev";
import type { DriverSubject } from "@netmem/netdev/conformance";
import { type NicQueue, SimNic, type SimNicParams } from "@netmem/sim-nic";
import { SkbSlab } from "@netmem/skb";
import { VirtualClock } from "@netmem/testing";
import { createHost } from "netmem";

const ARENA_BYTES = 32 * 2 ** 20;
/** Two descriptors per page and some: a driver may describe every page a second time. */
const MAX_NETMEMS = 20_480;

/** Makes the driver of a queue. */
export type MakeDriver = (host: Host, queue: RxQueue, hw: NicQueue) => QueueDriver;

/** One NIC with one queue, its driver, and everything around it. */
export interface Stand {
  readonly host: Host;
  readonly nic: SimNic;
  readonly skbs: SkbSlab;
  readonly registry: DeviceRegistry;
  readonly scheduler: NapiScheduler;
  readonly device: NetDevice;
  readonly driver: QueueDriver;
}

export interface StandParams extends Partial<Omit<SimNicParams, "dma">> {
  /** What stands between pages and the NIC. Default: nothing. */
  readonly dma?: DmaDevice | ((host: Host) => DmaDevice);
  /** Default: the runtime's clock. */
  readonly clock?: Clock;
}

/** Builds a stand for a driver; the device is closed. */
export function makeStand(makeDriver: MakeDriver, params: StandParams = {}): Stand {
  const { clock, dma, ...nicParams } = params;
  const host = createHost({
    arenaBytes: ARENA_BYTES,
    maxNetmems: MAX_NETMEMS,
    ...(clock && { clock }),
    ...(dma && { dma }),
  });
  const nic = new SimNic(host, { queueCount: 1, ...nicParams });
  const skbs = new SkbSlab(host);
  const registry = new DeviceRegistry();
  const scheduler = new NapiScheduler(host);
  const device = new NetDevice({ host, registry, scheduler, skbs, name: "sim0" });
  device.addQueue({ driver: (queue) => makeDriver(host, queue, nic.queue(0)) });
  return { host, nic, skbs, registry, scheduler, device, driver: device.drivers[0]! };
}

/** The stand as the driver conformance suite wants it. `params` are those of the stand. */
export function makeSubject(makeDriver: MakeDriver, bufferBytes: number, params: StandParams = {}): DriverSubject {
  const clock = new VirtualClock();
  const stand = makeStand(makeDriver, { clock, rxDescCount: 256, txDescCount: 64, maxFrameBytes: 16_384, ...params });
  const sent: Uint8Array[] = [];
  stand.nic.setWire((bytes, offsets, lengths, count) => {
    for (let n = 0; n < count; n++) sent.push(bytes.slice(offsets[n], offsets[n]! + lengths[n]!));
  });
  return {
    ...stand,
    bufferBytes,
    ringSize: 256,
    inject: (frame) => stand.nic.receive(frame, 0, frame.length),
    takeSent: () => sent.splice(0),
    passTime: (ms) => clock.advance(ms),
    pauseWire: (paused) => stand.nic.pauseTx(paused),
  };
}
