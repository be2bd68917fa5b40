/*
 * data path
 *
 * A device without address translation: a page's frame number is its place in the arena.
 */
import type { DmaDevice, DmaDir, Host, NetmemRef } from "@netmem/core";
import { bufferOffset } from "./buffer-offset.ts";

export class DirectDevice implements DmaDevice {
  // "declare": see docs/decisions/0007. Hot fields first.
  declare private readonly pageShift: number;
  declare private readonly firstPfn: number;
  declare private readonly pageCount: number;
  declare private readonly host: Host;
  declare readonly name: string;
  declare readonly needsSync: boolean;

  /** @internal Use {@link createDirectDevice}. */
  constructor(host: Host) {
    const { pageShift, firstPageIdx, pageCount } = host.layout;
    this.pageShift = pageShift;
    this.firstPfn = firstPageIdx;
    this.pageCount = pageCount;
    this.host = host;
    this.name = "direct";
    this.needsSync = false;
  }

  /** @throws what {@link createDirectDevice} says; never refuses. */
  map(ref: NetmemRef, order: number, dir: DmaDir): number {
    return bufferOffset(this.host, ref, order, dir) >>> this.pageShift;
  }

  /** Nothing to undo: the device reaches every page at any time. `withBalance` finds an unmap too many. */
  unmap(_pfn: number, _order: number, _dir: DmaDir): void {}

  syncForDevice(_pfn: number, _offset: number, _len: number, _dir: DmaDir): void {}

  syncForCpu(_pfn: number, _offset: number, _len: number, _dir: DmaDir): void {}

  translateMany(pfns: Int32Array, n: number): void {
    const { pageShift, firstPfn, pageCount } = this;
    for (let k = 0; k < n; k++) {
      const pfn = pfns[k]!;
      pfns[k] = pfn >= firstPfn && pfn < pageCount ? pfn << pageShift : -1;
    }
  }
}

/**
 * A device whose page frame numbers are page indices of the arena (kernel: `dma-direct`). Mapping costs a range check,
 * translating less than a nanosecond; frame numbers outside the page window fault, so that a broken descriptor does not
 * reach the netmem table.
 *
 * Its `map` throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) for what is not whole pages of the arena, and
 * `ERR_NETMEM_UNREADABLE` (EFAULT) for memory outside it. Any thread may translate.
 */
export function createDirectDevice(host: Host): DirectDevice {
  return new DirectDevice(host);
}
