/*
 * data path
 *
 * A device that never sees the CPU's memory. Each mapping has a bounce buffer in pages of its own; bytes move between
 * both only when the driver says so. Page frame numbers are those of the bounce buffer's pages.
 */
import {
  checkInt,
  DmaDir,
  type DmaDevice,
  type Host,
  MAX_ORDER as MAX_ORDER_,
  type NetmemRef,
  type PageRef,
} from "@netmem/core";
import { bufferOffset } from "./buffer-offset.ts";
import { Mappings } from "./mappings.ts";

const MAX_ORDER = MAX_ORDER_;
const TO_DEVICE = DmaDir.ToDevice;
const NONE = DmaDir.None;
const DEFAULT_POISON = 0xdb;

export interface BounceParams {
  /** Pages that bounce buffers may take together; a map beyond is refused. Default: as many as there are. */
  readonly maxPages?: number;
  /**
   * Mapping and unmapping for FromDevice and Bidirectional copies nothing (kernel: `DMA_ATTR_SKIP_CPU_SYNC`). **Page pools
   * need that**: they sync themselves, and unmap pages whose bytes belong to somebody else by then. A ToDevice map always
   * copies. Default false.
   */
  readonly skipCpuSync?: boolean;
  /** Byte that a bounce buffer is filled with before use, 0 to 255. Default 0xdb. */
  readonly poison?: number;
}

/** What a bounce device counted since it was made. */
export interface BounceStats {
  readonly syncsForDevice: number;
  readonly syncsForCpu: number;
  /** Bytes copied to bounce buffers, by maps as well. */
  readonly bytesToDevice: number;
  /** Bytes copied back, by unmaps as well. */
  readonly bytesToCpu: number;
  /** Accesses to what is not mapped, or not in that direction. */
  readonly faults: number;
  /** Mappings refused: no pages left, or over `maxPages`. */
  readonly refused: number;
  /** Mappings that are live now. */
  readonly mapped: number;
  /** Pages that they cover. */
  readonly mappedPages: number;
}

export class BounceDevice implements DmaDevice {
  // "declare": see docs/decisions/0007. Hot fields first.
  declare private readonly mappings: Mappings;
  declare private readonly pageShift: number;
  declare private readonly u8: Uint8Array;
  /** By page frame number: arena byte offset of what the CPU sees, and the reference of the bounce buffer itself. */
  declare private readonly origins: Int32Array;
  declare private readonly buffers: Int32Array;
  declare private readonly host: Host;
  declare private readonly maxPages: number;
  declare private readonly skipCpuSync: boolean;
  declare private readonly poison: number;
  declare private syncsForDevice: number;
  declare private syncsForCpu: number;
  declare private bytesToDevice: number;
  declare private bytesToCpu: number;
  declare private faults: number;
  declare private refused: number;
  declare readonly name: string;
  declare readonly needsSync: boolean;

  /** @internal Use {@link createBounceDevice}. */
  constructor(host: Host, params: BounceParams) {
    const { pageCount, pageShift } = host.layout;
    this.mappings = new Mappings("bounce", pageCount, pageShift);
    this.pageShift = pageShift;
    this.u8 = host.u8;
    this.origins = new Int32Array(pageCount);
    this.buffers = new Int32Array(pageCount);
    this.host = host;
    this.maxPages = checkInt("maxPages", params.maxPages ?? pageCount, 0, pageCount);
    this.skipCpuSync = params.skipCpuSync ?? false;
    this.poison = checkInt("poison", params.poison ?? DEFAULT_POISON, 0, 255);
    this.syncsForDevice = 0;
    this.syncsForCpu = 0;
    this.bytesToDevice = 0;
    this.bytesToCpu = 0;
    this.faults = 0;
    this.refused = 0;
    this.name = "bounce";
    this.needsSync = true;
  }

  /**
   * 0 when there is no room for a bounce buffer, counted as `refused`. Copies the whole buffer to the device, or fills the
   * bounce buffer with poison (`skipCpuSync`, but for ToDevice). @throws what {@link createBounceDevice} says.
   */
  map(ref: NetmemRef, order: number, dir: DmaDir): number {
    const origin = bufferOffset(this.host, ref, order, dir);
    const buffer = this.takeBuffer(order);
    if (buffer === 0) {
      this.refused++;
      return 0;
    }
    const offset = this.host.offsetOf(buffer);
    const pfn = offset >>> this.pageShift;
    const size = 1 << (order + this.pageShift);
    this.mappings.add(pfn, order, dir);
    for (let k = 0; k < 1 << order; k++) this.origins[pfn + k] = origin + (k << this.pageShift);
    this.buffers[pfn] = buffer;
    if (this.skipCpuSync && dir !== TO_DEVICE) this.u8.fill(this.poison, offset, offset + size);
    else this.copyToDevice(pfn, 0, size);
    return pfn;
  }

  /**
   * Ends the mapping; later uses of its page frame numbers fault. Copies the whole buffer back to the CPU, unless it was
   * mapped ToDevice or `skipCpuSync` is set.
   * @throws `ERR_NETMEM_DMA_NOT_MAPPED`, `ERR_NETMEM_DMA_MISMATCH` (EINVAL)
   */
  unmap(pfn: number, order: number, dir: DmaDir): void {
    this.mappings.remove(pfn, order, dir);
    if (!this.skipCpuSync && dir !== TO_DEVICE) this.copyToCpu(pfn, 0, 1 << (order + this.pageShift));
    this.host.pages.freePage(this.buffers[pfn]! as PageRef);
  }

  /**
   * Copies to the device, in any direction: also for FromDevice what the CPU wrote has to leave its cache.
   * @throws `ERR_NETMEM_DMA_NOT_MAPPED`, `ERR_NETMEM_DMA_SYNC_RANGE`, `ERR_NETMEM_DMA_SYNC_DIR` (EINVAL)
   */
  syncForDevice(pfn: number, offset: number, len: number, dir: DmaDir): void {
    this.mappings.checkSync(pfn, offset, len, dir);
    this.syncsForDevice++;
    this.copyToDevice(pfn, offset, len);
  }

  /**
   * Copies to the CPU what the device may have written; nothing for ToDevice.
   * @throws `ERR_NETMEM_DMA_NOT_MAPPED`, `ERR_NETMEM_DMA_SYNC_RANGE`, `ERR_NETMEM_DMA_SYNC_DIR` (EINVAL)
   */
  syncForCpu(pfn: number, offset: number, len: number, dir: DmaDir): void {
    this.mappings.checkSync(pfn, offset, len, dir);
    this.syncsForCpu++;
    if (dir !== TO_DEVICE) this.copyToCpu(pfn, offset, len);
  }

  /** Gives offsets of bounce buffers: the bytes that the device sees. */
  translateMany(pfns: Int32Array, n: number, access: DmaDir = NONE): void {
    const { mappings, pageShift } = this;
    for (let k = 0; k < n; k++) {
      const pfn = pfns[k]!;
      if (mappings.allows(pfn, access)) {
        pfns[k] = pfn << pageShift;
      } else {
        pfns[k] = -1;
        this.faults++;
      }
    }
  }

  /** A copy of the counters. Control path. */
  stats(): BounceStats {
    return {
      syncsForDevice: this.syncsForDevice,
      syncsForCpu: this.syncsForCpu,
      bytesToDevice: this.bytesToDevice,
      bytesToCpu: this.bytesToCpu,
      faults: this.faults,
      refused: this.refused,
      mapped: this.mappings.count,
      mappedPages: this.mappings.mappedPageCount,
    };
  }

  private takeBuffer(order: number): PageRef | 0 {
    if (order > MAX_ORDER || this.mappings.mappedPageCount + 2 ** order > this.maxPages) return 0;
    return this.host.pages.allocPages(order);
  }

  private copyToDevice(pfn: number, offset: number, len: number): void {
    const origin = this.origins[pfn]! + offset;
    this.u8.copyWithin((pfn << this.pageShift) + offset, origin, origin + len);
    this.bytesToDevice += len;
  }

  private copyToCpu(pfn: number, offset: number, len: number): void {
    const bounce = (pfn << this.pageShift) + offset;
    this.u8.copyWithin(this.origins[pfn]! + offset, bounce, bounce + len);
    this.bytesToCpu += len;
  }
}

/**
 * A device that works on copies (kernel: `swiotlb`), so that a sync that was left out gives wrong bytes instead of none.
 * It takes as many pages of the host as are mapped. A map or sync copies at memory speed: about 0.1 us for 1500 bytes.
 *
 * Belongs to the thread that made it, which must own the host's page allocator.
 *
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL). The device's `map` throws `ERR_NETMEM_INVALID_PARAM` for what is not whole
 * pages of the arena, and `ERR_NETMEM_UNREADABLE` (EFAULT) for memory outside it.
 */
export function createBounceDevice(host: Host, params: BounceParams = {}): BounceDevice {
  return new BounceDevice(host, params);
}
