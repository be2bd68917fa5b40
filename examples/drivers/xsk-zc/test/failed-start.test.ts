import { makeStand, type Stand } from "@netmem-examples/driver-stand";
import { dmaDevices } from "@netmem-examples/driver-stand/driver-tests";
import type { DmaDevice, Host } from "@netmem/core";
import { VirtualClock } from "@netmem/testing";
import { beforeEach, expect, test, vi } from "vitest";
import { XskZcDriver } from "../driver.ts";

let clock: VirtualClock;
let isFull: boolean;
let stand: Stand;

/** A device that refuses maps while it is full. */
function makeDma(host: Host): DmaDevice {
  const dma = dmaDevices["bounce"]!(host);
  const map = dma.map.bind(dma);
  dma.map = (ref, order, dir) => (isFull ? 0 : map(ref, order, dir));
  return dma;
}

beforeEach(() => {
  clock = new VirtualClock();
  isFull = false;
  stand = makeStand((host, queue, hw) => new XskZcDriver(host, queue, hw), { clock, dma: makeDma });
});

/** Pages that are free once everything is closed, and areas of the netmem table. */
function opened(): [freePages: number, areas: number] {
  const { device, host } = stand;
  device.open();
  device.close();
  clock.advance(2000);
  return [host.pages.freePageCount(), host.areas.list().length];
}

test("a device that refuses the mapping of the UMEM: the driver does not start, and holds nothing", () => {
  const before = opened();
  isFull = true;
  for (let n = 0; n < 3; n++) expect(() => stand.device.open()).toThrow("ERR_NETMEM_");
  isFull = false;
  expect(opened()).toEqual(before);
});

test("a memory registry that refuses the pool: the driver does not start, and holds nothing", () => {
  stand = makeStand((host, queue, hw) => new XskZcDriver(host, queue, hw), { clock });
  const before = opened();
  const { device, host } = stand;
  const regMemModel = vi.spyOn(host.mem, "regMemModel").mockImplementation(() => {
    throw new Error("no id to be had");
  });
  for (let n = 0; n < 32; n++) expect(() => device.open()).toThrow("no id to be had");
  regMemModel.mockRestore();
  expect(opened()).toEqual(before);
});

test("opened and closed again and again, it holds nothing", () => {
  const before = opened();
  for (let n = 0; n < 3; n++) expect(opened()).toEqual(before);
});
