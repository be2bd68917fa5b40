import { createIommuDevice, type IommuDevice, withMapFaults } from "@netmem/dma";
import { XdpVerdict } from "@netmem/netdev";
import { makeStand } from "@netmem-examples/driver-stand";
import { expect, test } from "vitest";
import { Order0Driver } from "../driver.ts";

test("every packet has a mapping of its own, which ends when it comes in", () => {
  let iommu: IommuDevice | null = null;
  const { nic, device, scheduler } = makeStand((host, queue, hw) => new Order0Driver(host, queue, hw), {
    dma: (host) => (iommu = createIommuDevice(host)),
  });
  device.setProgram(() => XdpVerdict.Drop);
  device.open();
  for (let n = 0; n < 640; n++) {
    nic.receive(new Uint8Array(64), 0, 64);
    scheduler.runUntilIdle();
  }
  const stats = (iommu as unknown as IommuDevice).stats();
  // No address is seen twice: what the NIC fetched for a packet is unmapped before the next one.
  expect(stats.invalidations).toBe(640);
  expect([stats.misses, stats.hits, stats.faults, stats.mapped]).toEqual([640, 0, 0, 256]);
  device.close();
  expect((iommu as unknown as IommuDevice).stats().mapped).toBe(0);
});

test("a device that refuses to map leaves buffers missing, and nothing is lost", () => {
  let refuse = false;
  const { host, nic, device, scheduler } = makeStand((owner, queue, hw) => new Order0Driver(owner, queue, hw), {
    dma: (owner) => withMapFaults(createIommuDevice(owner), () => refuse),
  });
  device.setProgram(() => XdpVerdict.Drop);
  device.open();
  device.close();
  const free = host.pages.freePageCount();
  device.open();
  refuse = true;
  let taken = 0;
  for (let n = 0; n < 600; n++) {
    if (nic.receive(new Uint8Array(64), 0, 64)) taken++;
    scheduler.runUntilIdle();
  }
  expect(taken).toBe(256);
  expect(device.getStats()[0]?.allocFailed).toBeGreaterThan(0);
  refuse = false;
  nic.receive(new Uint8Array(64), 0, 64);
  scheduler.runUntilIdle();
  expect(nic.receive(new Uint8Array(64), 0, 64)).toBe(true);
  device.close();
  expect(host.pages.freePageCount()).toBe(free);
});
