import { makeStand, type Stand } from "@netmem-examples/driver-stand";
import { dmaDevices } from "@netmem-examples/driver-stand/driver-tests";
import type { DmaDevice, Host, MemoryProviderOps } from "@netmem/core";
import { NetDevice, XdpVerdict } from "@netmem/netdev";
import { VirtualClock } from "@netmem/testing";
import { beforeEach, expect, test } from "vitest";
import { PagePoolDriver } from "../driver.ts";

let clock: VirtualClock;
/** The device throws at a map after so many more. */
let mapsLeft: number;

/** A device that breaks down. */
function makeDma(host: Host): DmaDevice {
  const dma = dmaDevices["iommu"]!(host);
  const map = dma.map.bind(dma);
  dma.map = (ref, order, dir) => {
    if (mapsLeft-- <= 0) throw new Error("the device broke down");
    return map(ref, order, dir);
  };
  return dma;
}

function newStand(dma?: (host: Host) => DmaDevice): Stand {
  return makeStand((host, queue, hw) => new PagePoolDriver(host, queue, hw), { clock, ...(dma && { dma }) });
}

beforeEach(() => {
  clock = new VirtualClock();
  mapsLeft = Infinity;
});

test.each([0, 1, 100, 255])(
  "a device that breaks down after %i maps: the driver does not start, and holds nothing",
  (n) => {
    const { device, host, driver } = newStand(makeDma);
    const cycle = (): number[] => {
      device.open();
      device.close();
      clock.advance(2000);
      return [host.pages.freePageCount(), host.pools.list().length, driver.inflight()];
    };
    const before = cycle();
    for (let round = 0; round < 3; round++) {
      mapsLeft = n;
      expect(() => device.open()).toThrow("the device broke down");
    }
    mapsLeft = Infinity;
    expect(cycle()).toEqual(before);
  },
);

test("a provider that fails in the middle of a restart: the queue runs on, and every buffer goes home", () => {
  const { host, nic, registry, scheduler, skbs } = newStand();
  const device = new NetDevice({ host, registry, scheduler, skbs, name: "sim1", queueRules: "perQueue" });
  device.addQueue({ driver: (queue) => new PagePoolDriver(host, queue, nic.queue(0)) });
  let seen = 0;
  device.setProgram(() => {
    seen++;
    return XdpVerdict.Drop;
  });
  let refills = 0;
  const provider: MemoryProviderOps = {
    name: "pages",
    opsVersion: 1,
    isReadable: true,
    init: () => {},
    destroy: () => {},
    allocNetmems: (_pool, out, max) => {
      if (++refills === 3) throw new Error("the provider says no");
      return host.pages.allocBulk(out, max);
    },
    releaseNetmem: () => true,
    owns: () => false,
  };
  host.providers.register(provider);
  device.open();
  device.close();
  clock.advance(2000);
  const free = host.pages.freePageCount();
  device.open();
  expect(() => device.openRxqProvider(0, provider)).toThrow("the provider says no");
  for (let n = 0; n < 600; n++) {
    nic.receive(new Uint8Array(64), 0, 64);
    scheduler.runUntilIdle();
  }
  expect(seen).toBe(600);
  device.close();
  clock.advance(2000);
  expect([host.pools.list().length, host.pages.freePageCount()]).toEqual([0, free]);
});
