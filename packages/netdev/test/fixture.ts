import { createHost, type Host } from "@netmem/core";
import { createPageAllocator } from "@netmem/mm";
import { SkbSlab } from "@netmem/skb";
import { VirtualClock } from "@netmem/testing";
import { DeviceRegistry, NapiScheduler, type NapiSchedulerParams, NetDevice } from "../src/index.ts";
import { MemoryDriver } from "./memory-driver.ts";

export interface Stand {
  readonly host: Host;
  readonly skbs: SkbSlab;
  readonly registry: DeviceRegistry;
  readonly scheduler: NapiScheduler;
  readonly clock: VirtualClock;
}

export function makeStand(params: NapiSchedulerParams = {}): Stand {
  const clock = new VirtualClock();
  const host = createHost({ arenaBytes: 16 * 2 ** 20, clock, pageAllocator: createPageAllocator });
  const skbs = new SkbSlab(host, { skbCount: 4096 });
  return { host, skbs, registry: new DeviceRegistry(), scheduler: new NapiScheduler(host, params), clock };
}

/** A device with `queueCount` queues of memory drivers. */
export function makeDevice(stand: Stand, name: string, queueCount = 1): { device: NetDevice; drivers: MemoryDriver[] } {
  const device = new NetDevice({ ...stand, name });
  const drivers: MemoryDriver[] = [];
  for (let n = 0; n < queueCount; n++) {
    device.addQueue({
      driver: (queue) => {
        const driver = new MemoryDriver(stand.host, queue);
        drivers.push(driver);
        return driver;
      },
    });
  }
  return { device, drivers };
}
