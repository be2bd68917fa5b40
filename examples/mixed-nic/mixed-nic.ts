import { Order0Driver } from "@netmem-examples/driver-order0";
import { PagePoolDriver } from "@netmem-examples/driver-page-pool";
import { SplitPageDriver } from "@netmem-examples/driver-split-page";
import type { Clock, Host } from "@netmem/core";
import { createPageShared } from "@netmem/mm";
import { DeviceRegistry, NapiScheduler, NetDevice, type QueueDriver, type RxQueue } from "@netmem/netdev";
import { type NicQueue, SimNic } from "@netmem/sim-nic";
import { SkbSlab } from "@netmem/skb";
import { createHost } from "netmem";
import { TimedDriver } from "./timed-driver.ts";

const ARENA_BYTES = 64 * 2 ** 20;
/** The largest frame that fits the smallest queue's buffers: 18 of 1472 bytes. */
export const MAX_FRAME_BYTES = 16_384;

/** One NIC, three queues, three drivers, and everything they need. */
export interface MixedNic {
  readonly host: Host;
  readonly nic: SimNic;
  readonly skbs: SkbSlab;
  readonly scheduler: NapiScheduler;
  readonly device: NetDevice;
  readonly drivers: readonly TimedDriver[];
}

/** `clock` is the runtime's unless a test brings its own. */
export function makeMixedNic(clock?: Clock): MixedNic {
  const host = createHost({ arenaBytes: ARENA_BYTES, ...(clock && { clock }) });
  const pageShared = createPageShared(host);
  const makers: ((queue: RxQueue, hw: NicQueue) => QueueDriver)[] = [
    (queue, hw) => new PagePoolDriver(host, queue, hw),
    (queue, hw) => new SplitPageDriver(host, pageShared, queue, hw),
    (queue, hw) => new Order0Driver(host, queue, hw),
  ];
  const nic = new SimNic(host, { queueCount: makers.length, rxDescCount: 1024, maxFrameBytes: MAX_FRAME_BYTES });
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
  return { host, nic, skbs, scheduler, device, drivers };
}
