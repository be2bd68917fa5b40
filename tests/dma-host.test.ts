import { createBounceDevice, createIommuDevice, withBalance } from "@netmem/dma";
import { createHost, createPagePool, DmaDir, PagePoolFlag } from "netmem";
import { expect, test } from "vitest";

const ARENA_BYTES = 16 * 2 ** 20;

test("a page pool keeps its pages mapped through a host's IOMMU device and takes every mapping down at destroy", () => {
  let devices: { balance: { readonly mapped: number; assertBalanced(): void } } | null = null;
  const host = createHost({
    arenaBytes: ARENA_BYTES,
    dma: (owner) => {
      const balance = withBalance(createIommuDevice(owner));
      devices = { balance };
      return balance;
    },
  });
  const pool = createPagePool(host, { flags: PagePoolFlag.DmaMap, dmaDir: DmaDir.FromDevice });
  const page = pool.allocPages();
  if (page === 0 || devices === null) throw new Error("no page");
  const { balance } = devices as { balance: { readonly mapped: number; assertBalanced(): void } };
  expect(balance.mapped).toBe(64);
  const pfns = Int32Array.of(pool.getDmaAddr(page));
  host.dma?.translateMany(pfns, 1);
  expect(pfns[0]).toBe(host.offsetOf(page));
  pool.putFullPage(page);
  expect(pool.allocPages()).not.toBe(0);
  expect(balance.mapped).toBe(64);
  expect(pool.destroy()).toBe(false);
  expect(balance.mapped).toBe(0);
  balance.assertBalanced();
});

test("what a device wrote shows only after a sync", () => {
  const host = createHost({
    arenaBytes: ARENA_BYTES,
    dma: (owner) => createBounceDevice(owner, { skipCpuSync: true }),
  });
  const flags = PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev;
  const pool = createPagePool(host, { flags, dmaDir: DmaDir.FromDevice, maxLenBytes: 4096 });
  const page = pool.allocPages();
  if (page === 0) throw new Error("no page");
  const pfn = pool.getDmaAddr(page);
  const where = Int32Array.of(pfn);
  host.dma?.translateMany(where, 1);
  host.u8[where[0]! + 7] = 99;
  expect(host.u8[host.offsetOf(page) + 7]).not.toBe(99);
  host.dma?.syncForCpu(pfn, 0, 64, DmaDir.FromDevice);
  expect(host.u8[host.offsetOf(page) + 7]).toBe(99);
  pool.putFullPage(page);
  expect(pool.destroy()).toBe(true);
});
