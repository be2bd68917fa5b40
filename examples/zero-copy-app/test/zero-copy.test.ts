import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { DmaDevice, Host, PageRef } from "@netmem/core";
import { createBounceDevice, createIommuDevice } from "@netmem/dma";
import { XdpVerdict } from "@netmem/netdev";
import { Prng } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import { appPacket, makeStand, otherPacket, type Stand } from "../stand.ts";

const SECRET = 0xee;

/** Fills every free page of the host with bytes that nobody may see. */
function spoilFreePages(host: Host): void {
  const { pages, u8, pageSizeBytes } = host;
  const taken: PageRef[] = [];
  for (let page = pages.allocPages(0); page !== 0; page = pages.allocPages(0)) taken.push(page);
  for (const page of taken) u8.fill(SECRET, host.offsetOf(page), host.offsetOf(page) + pageSizeBytes);
  for (const page of taken) pages.freePage(page);
}

/** What the application's pages may hold: its own packets over zeros. Counts bytes that are something else. */
class PageAuditor {
  foreignBytes = 0;
  pages = 0;
  private readonly stand: Stand;
  private readonly own = new Map<number, Uint8Array>();

  constructor(stand: Stand) {
    this.stand = stand;
  }

  look(pageAt: number, lenBytes: number): void {
    const { u8, pageSizeBytes } = this.stand.host;
    const page = u8.subarray(pageAt, pageAt + pageSizeBytes);
    let own = this.own.get(pageAt);
    if (own === undefined) this.own.set(pageAt, (own = new Uint8Array(pageSizeBytes)));
    // Zero where it held something: the page left the pool and came back.
    for (let n = lenBytes; n < pageSizeBytes; n++) if (page[n] !== 0 && page[n] !== own[n]) this.foreignBytes++;
    own.set(page);
    this.pages = this.own.size;
  }
}

/** Mixed traffic; the application reads now and then, so that pages pile up and the pool takes more. */
function runTraffic(stand: Stand, auditor: PageAuditor, packets: number): number {
  const { nic, scheduler, reader, device } = stand;
  const prng = new Prng(7);
  const bytes = new Uint8Array(4096);
  let sent = 0;
  device.setProgram(() => XdpVerdict.Drop, 0);
  reader.look = (pageAt, lenBytes) => auditor.look(pageAt, lenBytes);
  device.open();
  for (let n = 0; n < packets; n++) {
    const payload = 18 + prng.below(prng.below(2) === 0 ? 100 : 3900);
    const isApp = prng.below(2) === 0;
    const len = isApp ? appPacket(bytes, sent++, payload) : otherPacket(bytes, 0, payload);
    if (!isApp) bytes.fill(SECRET, 42, len);
    expect(nic.receive(bytes, 0, len)).toBe(true);
    if (prng.below(20) === 0) scheduler.runUntilIdle();
    if (nic.queue(1).rx.room < 200) continue;
    scheduler.runUntilIdle();
    if (prng.below(10) === 0) reader.read();
  }
  scheduler.runUntilIdle();
  reader.read();
  return sent;
}

const devices: Readonly<Record<string, ((host: Host) => DmaDevice) | undefined>> = {
  none: undefined,
  iommu: createIommuDevice,
  bounce: (host) => createBounceDevice(host, { skipCpuSync: true }),
};

describe.for(Object.entries(devices))("zero copy, DMA device: %s", ([, dma]) => {
  test("the application gets its flow, whole and in order, and pages without a byte of anybody else", () => {
    const stand = makeStand(dma === undefined ? {} : { dma });
    spoilFreePages(stand.host);
    const auditor = new PageAuditor(stand);
    const sent = runTraffic(stand, auditor, 5000);
    const { reader, device, driver, clock } = stand;
    expect([reader.packets, reader.wrong, reader.waiting]).toEqual([sent, 0, 0]);
    expect(auditor.foreignBytes).toBe(0);
    expect(auditor.pages).toBeGreaterThan(256);
    expect(device.flowRules()).toMatchObject([{ id: stand.ruleId, packets: sent }]);
    expect(device.getStats().map((stats) => stats.rxPackets)).toEqual([5000 - sent, sent]);
    device.close();
    clock.advance(5000);
    expect(driver.inflight()).toBe(0);
  });
});

test("without clearOnEntry the pages hold other people's bytes: the check above can fail", () => {
  const stand = makeStand({ clearOnEntry: false });
  spoilFreePages(stand.host);
  const auditor = new PageAuditor(stand);
  runTraffic(stand, auditor, 500);
  expect(auditor.foreignBytes).toBeGreaterThan(100_000);
});

test("pages that the application keeps outlive the queue, and go home when it gives them back", () => {
  const { host, nic, device, scheduler, reader, driver, clock } = makeStand();
  device.open();
  device.close();
  clock.advance(5000);
  const free = host.pages.freePageCount();
  device.open();
  const bytes = new Uint8Array(2048);
  for (let n = 0; n < 10; n++) nic.receive(bytes, 0, appPacket(bytes, n, 1000));
  scheduler.runUntilIdle();
  device.close();
  expect([reader.waiting, driver.inflight()]).toEqual([10, 10]);
  clock.advance(5000);
  reader.read();
  clock.advance(5000);
  expect([reader.packets, reader.wrong, driver.inflight()]).toEqual([10, 0, 0]);
  expect(host.pages.freePageCount()).toBe(free);
});

test("pages that the application keeps over a restart of the queue go home to the pool that they are of", () => {
  const { nic, device, scheduler, reader, driver, clock } = makeStand();
  const bytes = new Uint8Array(2048);
  device.open();
  for (let n = 0; n < 10; n++) nic.receive(bytes, 0, appPacket(bytes, n, 1000));
  scheduler.runUntilIdle();
  device.close();
  device.open();
  for (let n = 10; n < 20; n++) nic.receive(bytes, 0, appPacket(bytes, n, 1000));
  scheduler.runUntilIdle();
  reader.read();
  expect([reader.packets, reader.wrong]).toEqual([20, 0]);
  device.close();
  clock.advance(5000);
  expect(driver.inflight()).toBe(0);
  device.open();
  nic.receive(bytes, 0, appPacket(bytes, 20, 1000));
  scheduler.runUntilIdle();
  device.close();
  device.open();
  device.close();
  expect(driver.inflight()).toBe(1);
});

test("a packet that needs two pages is dropped and counted, and its pages go home", () => {
  const { nic, device, scheduler, reader, driver } = makeStand();
  device.open();
  const bytes = new Uint8Array(9000);
  nic.receive(bytes, 0, appPacket(bytes, 0, 8000));
  nic.receive(bytes, 0, appPacket(bytes, 0, 4096 - 42));
  scheduler.runUntilIdle();
  reader.read();
  expect(device.getStats()[1]).toMatchObject({ rxPackets: 1, rxBroken: 1 });
  expect([reader.packets, reader.wrong]).toEqual([1, 0]);
  device.close();
  expect(driver.inflight()).toBe(0);
});

test("the example runs", () => {
  const main = fileURLToPath(new URL("../main.ts", import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [main], { encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/^steered to the application: 25000 packets/);
});
