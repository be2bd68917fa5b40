import { DmaDir, type DmaDevice, type PageRef } from "@netmem/core";
import { FaultInjector, forEveryNthFailure } from "@netmem/testing";
import { expect, test } from "vitest";
import { createBounceDevice, createIommuDevice, withBalance, withMapFaults } from "../src/index.ts";
import { createTestHost, takePage, takePages, translate } from "./test-host.ts";

const { FromDevice } = DmaDir;

test("refuses exactly the maps that the predicate names; everything else passes through", () => {
  const { host } = createTestHost();
  const bounce = createBounceDevice(host);
  const faults = new FaultInjector();
  faults.failEvery("dma.map", 3);
  const device = withMapFaults(bounce, () => faults.shouldFail("dma.map"));
  const pfns = takePages(host, 6).map((ref) => device.map(ref, 0, FromDevice));
  expect(pfns.map((pfn) => pfn > 0)).toEqual([true, true, false, true, true, false]);
  expect([device.refused, bounce.stats().mapped, bounce.stats().refused]).toEqual([2, 4, 0]);
  const [pfn] = pfns as [number];
  device.syncForDevice(pfn, 0, 1, FromDevice);
  device.syncForCpu(pfn, 0, 2, FromDevice);
  expect(translate(device, pfn)).toEqual(translate(bounce, pfn));
  device.unmap(pfn, 0, FromDevice);
  expect(bounce.stats()).toMatchObject({ mapped: 3, syncsForDevice: 1, syncsForCpu: 1 });
  expect([device.name, device.needsSync]).toEqual(["mapFaults(bounce)", true]);
});

/** Maps all or nothing, as a driver fills its ring. */
function mapAll(device: DmaDevice, refs: readonly PageRef[]): number[] {
  const pfns: number[] = [];
  for (const ref of refs) {
    const pfn = device.map(ref, 0, FromDevice);
    if (pfn !== 0) {
      pfns.push(pfn);
      continue;
    }
    for (const mapped of pfns) device.unmap(mapped, 0, FromDevice);
    return [];
  }
  return pfns;
}

test("with the balance check it finds error paths that leak mappings", () => {
  const { host } = createTestHost();
  const refs = [takePage(host), takePage(host), takePage(host)];
  const runs = forEveryNthFailure((faults) => {
    const device = withBalance(withMapFaults(createIommuDevice(host), () => faults.shouldFail("dma.map")));
    for (const pfn of mapAll(device, refs)) device.unmap(pfn, 0, FromDevice);
    device.assertBalanced();
  });
  expect(runs).toBe(4);
});
