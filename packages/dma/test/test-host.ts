import { createHost, type DmaDevice, type Host, type HostParams, type PageRef } from "@netmem/core";
import { VirtualClock } from "@netmem/testing";
import { BlockPages } from "./block-pages.ts";

export interface TestHost {
  readonly host: Host;
  readonly pages: BlockPages;
}

export function createTestHost(params: Partial<HostParams> = {}): TestHost {
  const host = createHost({
    arenaBytes: 16 * 2 ** 20,
    clock: new VirtualClock(),
    pageAllocator: (host) => new BlockPages(host),
    ...params,
  });
  return { host, pages: host.pages as BlockPages };
}

export function takePage(host: Host, order = 0): PageRef {
  const page = host.pages.allocPages(order);
  if (page === 0) throw new Error("the test host is out of pages");
  return page;
}

export function takePages(host: Host, count: number): PageRef[] {
  return Array.from({ length: count }, () => takePage(host));
}

/** Where a device finds page frames: arena byte offsets, -1 for a fault. One burst. */
export function translate(device: DmaDevice, ...pfns: number[]): number[] {
  const burst = Int32Array.from(pfns);
  device.translateMany(burst, burst.length);
  return [...burst];
}
