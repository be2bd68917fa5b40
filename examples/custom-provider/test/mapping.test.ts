import { createHost, DmaDir, type DmaDevice, type Host } from "@netmem/core";
import { createDirectDevice, withBalance, withMapFaults } from "@netmem/dma";
import { createPageAllocator } from "@netmem/mm";
import { createPagePool, type PagePool, PagePoolFlag } from "@netmem/page-pool";
import { VirtualClock } from "@netmem/testing";
import { expect, test } from "vitest";
import { WindowProvider } from "../window-provider.ts";

function setUp(wrap: (device: DmaDevice) => DmaDevice = (device) => device) {
  const dma = (owner: Host): DmaDevice => wrap(createDirectDevice(owner));
  const host = createHost({
    arenaBytes: 8 * 2 ** 20,
    clock: new VirtualClock(),
    pageAllocator: createPageAllocator,
    dma,
  });
  const provider = new WindowProvider(host, 4);
  host.providers.register(provider);
  const open = (dmaDir: DmaDir): PagePool =>
    createPagePool(host, {
      flags: PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev | PagePoolFlag.AllowUnreadableNetmem,
      maxLenBytes: 4096,
      dmaDir,
      rxq: { ifindex: 1, queueIdx: 0, provider },
    });
  return { open };
}

test("a device that throws or refuses: no pool, and the next one maps the window", () => {
  const answers = ["throws", "refuses", "maps"];
  const { open } = setUp((device) =>
    withMapFaults(device, () => {
      const answer = answers.shift();
      if (answer === "throws") throw new Error("the device says no");
      return answer === "refuses";
    }),
  );
  expect(() => open(DmaDir.FromDevice)).toThrow("ERR_NETMEM_PROVIDER_FAILED");
  expect(() => open(DmaDir.FromDevice)).toThrow("ERR_NETMEM_DMA_MAP");
  const pool = open(DmaDir.FromDevice);
  const ref = pool.allocNetmem();
  expect(ref !== 0 && pool.getDmaAddr(ref)).toBeGreaterThan(0);
  if (ref !== 0) pool.put(ref, -1, true);
  expect(pool.destroy()).toBe(true);
});

test("pools of two directions: the second is refused, until the first is gone", () => {
  const { open } = setUp(withBalance);
  const first = open(DmaDir.FromDevice);
  expect(() => open(DmaDir.Bidirectional)).toThrow("ERR_NETMEM_INVALID_PARAM");
  expect(first.destroy()).toBe(true);
  const next = open(DmaDir.Bidirectional);
  expect(() => open(DmaDir.FromDevice)).toThrow("ERR_NETMEM_INVALID_PARAM");
  expect(next.destroy()).toBe(true);
});
