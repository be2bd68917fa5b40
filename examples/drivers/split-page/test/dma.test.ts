import type { DmaDevice } from "@netmem/core";
import { createBounceDevice, createIommuDevice, type BounceDevice, type IommuDevice } from "@netmem/dma";
import { createPageShared } from "@netmem/mm";
import { XdpVerdict } from "@netmem/netdev";
import { makeStand, type Stand } from "@netmem-examples/driver-stand";
import { expect, test } from "vitest";
import { SplitPageDriver } from "../driver.ts";

function receiveMany(dma: (host: Stand["host"]) => DmaDevice): Stand {
  const stand = makeStand((host, queue, hw) => new SplitPageDriver(host, createPageShared(host), queue, hw), { dma });
  stand.device.setProgram(() => XdpVerdict.Drop);
  stand.device.open();
  for (let n = 0; n < 1000; n++) {
    expect(stand.nic.receive(new Uint8Array(64), 0, 64)).toBe(true);
    stand.scheduler.runUntilIdle();
  }
  return stand;
}

test("a half that is posted again was synced for the device, one that came in for the CPU", () => {
  let bounce: BounceDevice | null = null;
  const { driver } = receiveMany((host) => (bounce = createBounceDevice(host, { skipCpuSync: true })));
  const { syncsForDevice, syncsForCpu, bytesToDevice } = (bounce as unknown as BounceDevice).stats();
  const { fast } = driver.getStats().alloc;
  expect(fast).toBeGreaterThan(900);
  expect([syncsForDevice, syncsForCpu, bytesToDevice]).toEqual([fast, 1000, fast * (2048 - 256 - 320)]);
});

test("a page is mapped once, for as long as the driver keeps it", () => {
  let iommu: IommuDevice | null = null;
  const { device } = receiveMany((host) => (iommu = createIommuDevice(host)));
  const device2 = iommu as unknown as IommuDevice;
  expect(device2.stats()).toMatchObject({ mapped: 256, faults: 0, invalidations: 0 });
  device.close();
  expect(device2.stats().mapped).toBe(0);
});
