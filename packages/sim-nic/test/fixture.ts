import { createHost, type DmaDevice, type Host, type PageRef } from "@netmem/core";
import { createPageAllocator } from "@netmem/mm";
import { VirtualClock } from "@netmem/testing";
import type { NicQueue } from "../src/index.ts";

export function makeHost(dma?: DmaDevice): Host {
  return createHost({
    arenaBytes: 16 * 2 ** 20,
    clock: new VirtualClock(),
    pageAllocator: createPageAllocator,
    ...(dma === undefined ? {} : { dma }),
  });
}

export function takePage(host: Host): PageRef {
  const page = host.pages.allocPages(0);
  if (page === 0) throw new Error("the test host is out of pages");
  return page;
}

export function wordAt(host: Host, at: number): number {
  return host.i32[at] ?? 0;
}

/** Posts `count` fresh pages, `room` bytes each from `offset` on; returns their byte offsets, `offset` included. */
export function postPages(host: Host, queue: NicQueue, count: number, room = 2048, offset = 256): number[] {
  return Array.from({ length: count }, () => {
    const at = host.offsetOf(takePage(host));
    queue.rx.post(at >>> host.pageShift, offset, room, 0);
    return at + offset;
  });
}

/** A device whose page frame numbers are page indices plus `shift`; `holes` do not translate. */
export class ShiftedDma implements DmaDevice {
  readonly name = "shifted";
  readonly needsSync = false;
  readonly shift = 5000;
  readonly holes = new Set<number>();
  translations = 0;
  mapped = 0;
  /** Mappings that it grants at a time. */
  mapLimit = 1000;

  map(ref: number): number {
    if (this.mapped === this.mapLimit) return 0;
    this.mapped++;
    return ((ref >>> 1) & 0xfffff) + this.shift;
  }
  unmap(pfn: number): void {
    if (pfn <= this.shift) throw new Error(`unmap of ${pfn}, which was never mapped`);
    this.mapped--;
  }
  syncForDevice(): void {}
  syncForCpu(): void {}
  translateMany(pfns: Int32Array, n: number): void {
    this.translations++;
    for (let k = 0; k < n; k++) {
      const pfn = pfns[k] ?? 0;
      pfns[k] = this.holes.has(pfn) || pfn < this.shift ? -1 : (pfn - this.shift) << 12;
    }
  }
}
