import { DmaDir } from "@netmem/core";
import { expect, test } from "vitest";
import {
  type BalancedDevice,
  createBounceDevice,
  createDirectDevice,
  createIommuDevice,
  withBalance,
} from "../src/index.ts";
import { createTestHost, takePage, translate } from "./test-host.ts";

const { Bidirectional, FromDevice, ToDevice } = DmaDir;

function refusal(misuse: () => void): { code: string; errno: string; value: unknown; remedy: string; message: string } {
  try {
    misuse();
  } catch (error) {
    return error as ReturnType<typeof refusal>;
  }
  throw new Error("nothing was thrown");
}

function balancedDirect(): { device: BalancedDevice; ref: ReturnType<typeof takePage> } {
  const { host } = createTestHost();
  return { device: withBalance(createDirectDevice(host)), ref: takePage(host, 1) };
}

test("matching calls pass through and end balanced", () => {
  const { host } = createTestHost();
  const bounce = createBounceDevice(host);
  const device = withBalance(bounce);
  const ref = takePage(host);
  const pfn = device.map(ref, 0, Bidirectional);
  expect([device.mapped, translate(device, pfn)]).toEqual([1, translate(bounce, pfn)]);
  device.syncForDevice(pfn, 0, 4096, Bidirectional);
  device.syncForCpu(pfn, 4000, 96, FromDevice);
  device.unmap(pfn, 0, Bidirectional);
  device.assertBalanced();
  expect([device.mapped, device.name, device.needsSync]).toEqual([0, "balance(bounce)", true]);
  expect(bounce.stats()).toMatchObject({ syncsForDevice: 1, syncsForCpu: 1, mapped: 0 });
});

test("a second unmap, and one of what never was mapped, throw", () => {
  const { device, ref } = balancedDirect();
  const pfn = device.map(ref, 0, FromDevice);
  device.unmap(pfn, 0, FromDevice);
  for (const wrong of [pfn, pfn + 1, 0]) {
    const { code, errno, value } = refusal(() => device.unmap(wrong, 0, FromDevice));
    expect([code, errno, value]).toEqual(["ERR_NETMEM_DMA_NOT_MAPPED", "EINVAL", wrong]);
  }
  expect(device.mapped).toBe(0);
});

test("an unmap with another order or direction throws, names the mapping, and leaves it live", () => {
  const { device, ref } = balancedDirect();
  const pfn = device.map(ref, 1, FromDevice);
  const wrong = [
    [0, FromDevice],
    [1, Bidirectional],
  ] as const;
  for (const [order, dir] of wrong) {
    const { code, message, remedy } = refusal(() => device.unmap(pfn, order, dir));
    expect(code).toBe("ERR_NETMEM_DMA_MISMATCH");
    expect(message).toContain(`(pfn ${pfn}, order 1, FromDevice of ref 0x${ref.toString(16)})`);
    expect(remedy).toContain("Unmap");
  }
  expect(device.mapped).toBe(1);
  device.unmap(pfn, 1, FromDevice);
  device.assertBalanced();
});

test("one page mapped twice to one address needs two unmaps, in any order", () => {
  const { device, ref } = balancedDirect();
  const pfn = device.map(ref, 0, FromDevice);
  expect(device.map(ref, 1, ToDevice)).toBe(pfn);
  device.syncForCpu(pfn, 0, 4096, FromDevice);
  device.syncForDevice(pfn, 4096, 4096, ToDevice);
  expect(refusal(() => device.syncForCpu(pfn, 0, 4097, FromDevice)).code).toBe("ERR_NETMEM_DMA_SYNC_RANGE");
  device.unmap(pfn, 0, FromDevice);
  expect(refusal(() => device.unmap(pfn, 0, FromDevice)).code).toBe("ERR_NETMEM_DMA_MISMATCH");
  device.unmap(pfn, 1, ToDevice);
  device.assertBalanced();
});

test("syncs outside a mapping, beyond its end or against its direction throw and do not reach the device", () => {
  const { host } = createTestHost();
  const bounce = createBounceDevice(host);
  const device = withBalance(bounce);
  const pfn = device.map(takePage(host, 1), 1, FromDevice);
  for (const sync of ["syncForDevice", "syncForCpu"] as const) {
    const code = (...args: Parameters<typeof device.syncForCpu>): string => refusal(() => device[sync](...args)).code;
    expect(code(pfn - 1, 0, 1, FromDevice)).toBe("ERR_NETMEM_DMA_NOT_MAPPED");
    expect(code(pfn + 2, 0, 1, FromDevice)).toBe("ERR_NETMEM_DMA_NOT_MAPPED");
    expect(code(pfn + 1, 1, 4096, FromDevice)).toBe("ERR_NETMEM_DMA_SYNC_RANGE");
    expect(code(pfn, 0, 8193, FromDevice)).toBe("ERR_NETMEM_DMA_SYNC_RANGE");
    expect(code(pfn, 8192, 1, FromDevice)).toBe("ERR_NETMEM_DMA_SYNC_RANGE");
    expect(code(pfn, -1, 1, FromDevice)).toBe("ERR_NETMEM_DMA_SYNC_RANGE");
    expect(code(pfn, 0, -1, FromDevice)).toBe("ERR_NETMEM_DMA_SYNC_RANGE");
    expect(code(pfn, 0, 1, ToDevice)).toBe("ERR_NETMEM_DMA_SYNC_DIR");
    expect(code(pfn, 0, 1, Bidirectional)).toBe("ERR_NETMEM_DMA_SYNC_DIR");
  }
  expect(bounce.stats()).toMatchObject({ syncsForDevice: 0, syncsForCpu: 0 });
  device.syncForCpu(pfn + 1, 0, 4096, FromDevice);
  device.syncForDevice(pfn + 1, 100, 3996, FromDevice);
  expect(bounce.stats()).toMatchObject({ syncsForDevice: 1, syncsForCpu: 1 });
  device.unmap(pfn, 1, FromDevice);
  expect(refusal(() => device.syncForCpu(pfn, 0, 1, FromDevice)).code).toBe("ERR_NETMEM_DMA_NOT_MAPPED");
});

test("lengths follow the page size of the host", () => {
  const { host } = createTestHost({ pageShift: 14 });
  const device = withBalance(createDirectDevice(host), { pageShift: 14 });
  const pfn = device.map(takePage(host), 0, FromDevice);
  device.syncForCpu(pfn, 0, 16384, FromDevice);
  expect(refusal(() => device.syncForCpu(pfn, 0, 16385, FromDevice)).code).toBe("ERR_NETMEM_DMA_SYNC_RANGE");
  expect(() => withBalance(device, { pageShift: 11 })).toThrow(/pageShift/);
});

test("assertBalanced lists what is still mapped", () => {
  const { host } = createTestHost();
  const device = withBalance(createIommuDevice(host));
  const refs = [takePage(host), takePage(host, 2)];
  const pfns = refs.map((ref, n) => device.map(ref, n * 2, n === 0 ? FromDevice : ToDevice));
  const { code, errno, value, message } = refusal(() => device.assertBalanced());
  expect([code, errno]).toEqual(["ERR_NETMEM_DMA_STILL_MAPPED", "EBUSY"]);
  expect(value).toEqual([
    { ref: refs[0], pfn: pfns[0], order: 0, dir: FromDevice },
    { ref: refs[1], pfn: pfns[1], order: 2, dir: ToDevice },
  ]);
  expect(message).toContain(`2 mappings of balance(iommu) are live: pfn ${pfns[0]}, order 0, FromDevice`);
  expect(device.liveMappings()).toEqual(value);
  device.unmap(pfns[0]!, 0, FromDevice);
  expect(refusal(() => device.assertBalanced()).value).toHaveLength(1);
});

test("a refused map is no mapping", () => {
  const { host } = createTestHost();
  const device = withBalance(createBounceDevice(host, { maxPages: 0 }));
  expect(device.map(takePage(host), 0, FromDevice)).toBe(0);
  device.assertBalanced();
  expect(refusal(() => device.unmap(0, 0, FromDevice)).code).toBe("ERR_NETMEM_DMA_NOT_MAPPED");
});

test("when upstream throws, the books stay as they were", () => {
  const { host } = createTestHost();
  const direct = createDirectDevice(host);
  let broken = false;
  const device = withBalance({
    name: "fragile",
    needsSync: false,
    map: (ref, order, dir) => direct.map(ref, order, dir),
    unmap: () => {
      if (broken) throw new Error("broken");
    },
    syncForDevice: () => {},
    syncForCpu: () => {},
    translateMany: () => {},
  });
  const pfn = device.map(takePage(host), 0, FromDevice);
  broken = true;
  expect(() => device.unmap(pfn, 0, FromDevice)).toThrow("broken");
  expect(device.mapped).toBe(1);
  broken = false;
  device.unmap(pfn, 0, FromDevice);
  device.assertBalanced();
});
