import { Order0Driver } from "@netmem-examples/driver-order0";
import { PagePoolDriver } from "@netmem-examples/driver-page-pool";
import { SplitPageDriver } from "@netmem-examples/driver-split-page";
import { isNetmemError, type PageRef } from "@netmem/core";
import { forEveryNthFailure } from "@netmem/testing";
import { createPageShared } from "netmem";
import { describe, expect, test } from "vitest";
import { LIMIT_PAGES, type MakeDriver, RxRig } from "./rx-rig.ts";

/** What each driver asks for: single pages or batches of them, and mappings. */
const cases = [
  ["page_pool", "batch"],
  ["page_pool", "half batch"],
  ["page_pool", "map"],
  ["page_shared", "page"],
  ["page_shared", "map"],
  ["page_order0", "batch"],
  ["page_order0", "half batch"],
  ["page_order0", "map"],
] as const;

const drivers: Record<(typeof cases)[number][0], MakeDriver> = {
  page_pool: (host, queue, hw) => new PagePoolDriver(host, queue, hw),
  page_shared: (host, queue, hw) => new SplitPageDriver(host, createPageShared(host), queue, hw),
  page_order0: (host, queue, hw) => new Order0Driver(host, queue, hw),
};

/** Opens the device; a coded error leaves it closed. */
function tryOpen(rig: RxRig): boolean {
  try {
    rig.device.open();
    return true;
  } catch (error) {
    if (!isNetmemError(error)) throw error;
    return false;
  }
}

describe("whatever is refused on the way of a packet is counted, nothing is lost, and packets flow again", () => {
  test.for(cases)("%s, every %s in turn", ([driver, point]) => {
    const runs = forEveryNthFailure((injector) => {
      const rig = new RxRig(drivers[driver]);
      // Once through, so that what control structures keep is kept already.
      rig.device.open();
      rig.send(12);
      rig.close();
      const freePages = rig.host.pages.freePageCount();
      rig.gate.injector = injector;
      const opened = tryOpen(rig);
      if (opened) rig.send(60);
      rig.gate.injector = null;
      if (!opened) rig.device.open();
      rig.send(4);
      const before = rig.passed;
      rig.send(12);
      expect(rig.passed - before).toBe(12);
      expect(rig.unaccounted()).toBe(0);
      rig.close();
      expect(rig.host.pages.freePageCount()).toBe(freePages);
    }, point);
    console.log(`${driver}: ${runs} runs, each with another ${point} refused`);
    expect(runs).toBeGreaterThan(1);
  });

  test.for(["page_pool", "page_shared", "page_order0"] as const)("%s, a limit that leaves eight pages", (driver) => {
    const rig = new RxRig(drivers[driver]);
    const { pages } = rig.host;
    rig.device.open();
    rig.send(12);
    rig.close();
    const freePages = pages.freePageCount();
    const taken: PageRef[] = [];
    for (let page = pages.allocPages(0); page !== 0; page = pages.allocPages(0)) taken.push(page);
    expect(pages.totalPageCount - pages.freePageCount()).toBe(LIMIT_PAGES);
    for (const page of taken.splice(0, 8)) pages.freePage(page);
    if (tryOpen(rig)) rig.send(60);
    for (const page of taken) pages.freePage(page);
    if (!rig.device.isUp) rig.device.open();
    rig.send(4);
    const before = rig.passed;
    rig.send(12);
    expect(rig.passed - before).toBe(12);
    expect(rig.unaccounted()).toBe(0);
    rig.close();
    expect(pages.freePageCount()).toBe(freePages);
  });
});
