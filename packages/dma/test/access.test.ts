import { DmaDir, type DmaDevice, type Host } from "@netmem/core";
import { expect, test } from "vitest";
import { createBounceDevice, createIommuDevice, withBalance, withIotlbMeter, withMapFaults } from "../src/index.ts";
import { createTestHost } from "./test-host.ts";

const { Bidirectional, ToDevice, FromDevice, None } = DmaDir;

const devices: Readonly<Record<string, (host: Host) => DmaDevice>> = {
  iommu: createIommuDevice,
  bounce: createBounceDevice,
  "iommu through adaptors": (host) => withBalance(withMapFaults(withIotlbMeter(createIommuDevice(host)), () => false)),
};

for (const [name, make] of Object.entries(devices)) {
  test(`translateMany faults where the mapping does not allow the access: ${name}, every page, huge or not`, () => {
    const { host } = createTestHost({ arenaBytes: 32 * 2 ** 20 });
    const device = make(host);
    for (const order of [0, 2, 9]) {
      const page = host.pages.allocPages(order);
      if (page === 0) throw new Error("out of pages");
      for (const mapped of [Bidirectional, ToDevice, FromDevice]) {
        const pfn = device.map(page, order, mapped);
        for (const access of [Bidirectional, ToDevice, FromDevice, None, undefined]) {
          const pfns = Int32Array.of(pfn, pfn + 2 ** order - 1, 0);
          if (access === undefined) device.translateMany(pfns, 3);
          else device.translateMany(pfns, 3, access);
          const allowed = (access ?? None) === None || mapped === Bidirectional || mapped === access;
          expect([...pfns].map((offset) => offset >= 0)).toEqual([allowed, allowed, false]);
        }
        device.unmap(pfn, order, mapped);
      }
      host.pages.freePage(page);
    }
  });
}

test("a meter counts the hits and misses of its user alone; faults are neither", () => {
  const { host } = createTestHost();
  const iommu = createIommuDevice(host);
  const [one, other] = [withIotlbMeter(iommu), withIotlbMeter(iommu)];
  const page = host.pages.allocPages(0);
  if (page === 0) throw new Error("out of pages");
  const pfn = one.map(page, 0, FromDevice);
  one.translateMany(Int32Array.of(pfn, pfn, 0), 3);
  other.translateMany(Int32Array.of(pfn, pfn, pfn), 3, FromDevice);
  other.translateMany(Int32Array.of(pfn), 1, ToDevice);
  expect([one.hits, one.misses, other.hits, other.misses]).toEqual([1, 1, 3, 0]);
  expect(iommu.stats()).toMatchObject({ hits: 4, misses: 1, faults: 2 });
  other.unmap(pfn, 0, FromDevice);
  expect(iommu.stats().mapped).toBe(0);
});
