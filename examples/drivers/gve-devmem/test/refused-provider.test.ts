import { makeStand, type Stand } from "@netmem-examples/driver-stand";
import type { MemoryProviderOps } from "@netmem/core";
import { VirtualClock } from "@netmem/testing";
import { expect, test } from "vitest";
import { GveDevmemDriver } from "../driver.ts";

const clock = new VirtualClock();

function openStand(): Stand {
  const stand = makeStand((host, queue, hw) => new GveDevmemDriver(host, queue, hw), { clock, dataDescCount: 256 });
  stand.device.setHeaderSplit({ tcpDataSplit: "enabled" });
  stand.device.open();
  return stand;
}

function poolNames({ host }: Stand): string[] {
  return host.pools.list().map(({ name }) => name);
}

/** One packet goes through; then nothing is left. */
function finish(stand: Stand): void {
  const { device, nic, scheduler } = stand;
  nic.receive(new Uint8Array(100), 0, 100);
  scheduler.runUntilIdle();
  expect(device.getStats()[0]?.rxPackets).toBe(1);
  device.close();
  clock.advance(2000);
  expect(poolNames(stand)).toEqual([]);
}

test("a provider that refuses the queue leaves no pool behind, and packets go on", () => {
  const stand = openStand();
  const provider: MemoryProviderOps = {
    name: "refusing",
    opsVersion: 1,
    init: () => {
      throw new Error("refused");
    },
    destroy: () => {},
    allocNetmems: () => 0,
    releaseNetmem: () => true,
    owns: () => false,
  };
  stand.host.providers.register(provider);
  const before = poolNames(stand);
  expect(() => stand.device.openRxqProvider(0, provider)).toThrow("refused");
  expect(poolNames(stand)).toEqual(before);
  finish(stand);
});

test("a restart leaves as many pools as there were", () => {
  const stand = openStand();
  const before = poolNames(stand);
  stand.device.restartRxQueue(0);
  expect(poolNames(stand)).toEqual(before);
  finish(stand);
});
