/*
 * data path
 *
 * What a provider of huge pages falls back on: pages of the page allocator, one by one, each with a mapping of its own.
 */
import {
  asPageRef,
  type DmaDevice,
  type Host,
  IDX_MASK as IDX_MASK_,
  type NetmemRef,
  type PageRef,
  type PoolHandle,
} from "@netmem/core";
import { endMapping } from "./mapped-run.ts";

const IDX_MASK = IDX_MASK_;

export class SinglePages {
  // "declare": see docs/decisions/0007. Hot fields first.
  declare private readonly ownBits: Int32Array;
  /** Pages that are out. */
  declare count: number;
  /** Pages given since it was made. */
  declare given: number;
  declare private readonly host: Host;

  constructor(host: Host) {
    this.ownBits = new Int32Array((host.layout.pageCount + 31) >>> 5);
    this.count = 0;
    this.given = 0;
    this.host = host;
  }

  /** Up to `max` mapped pages into `out[0..n)`; returns n. What the device refuses goes back. */
  take(pool: PoolHandle, out: Int32Array, max: number): number {
    const { pages, dma } = this.host;
    const got = pages.allocBulk(out, max, pool.nid);
    const n = dma === null ? got : this.mapAll(pool, dma, out, got);
    for (let k = 0; k < n; k++) this.mark(out[k]!);
    this.count += n;
    this.given += n;
    return n;
  }

  /** Unmaps a page; the core gives it to the page allocator, also when the device throws. */
  drop(pool: PoolHandle, ref: NetmemRef): void {
    const idx = (ref >>> 1) & IDX_MASK;
    this.ownBits[idx >>> 5] = this.ownBits[idx >>> 5]! & ~(1 << (idx & 31));
    this.count--;
    this.unmap(pool, idx);
  }

  /** Whether it gave the page, and has not dropped it. */
  has(ref: NetmemRef): boolean {
    const idx = (ref >>> 1) & IDX_MASK;
    return (ref & 1) === 0 && (this.ownBits[idx >>> 5]! & (1 << (idx & 31))) !== 0;
  }

  private mark(ref: number): void {
    const idx = (ref >>> 1) & IDX_MASK;
    this.ownBits[idx >>> 5] = this.ownBits[idx >>> 5]! | (1 << (idx & 31));
  }

  /** Maps `out[0..got)` and closes the gaps that refused pages leave. A device that throws gets none of the batch. */
  private mapAll(pool: PoolHandle, dma: DmaDevice, out: Int32Array, got: number): number {
    const { i32, dmaAt, pages } = this.host;
    let n = 0;
    let k = 0;
    try {
      for (; k < got; k++) {
        const page = out[k]! as PageRef;
        const pfn = dma.map(page, 0, pool.dmaDir);
        if (pfn === 0) {
          pages.freePage(page);
          continue;
        }
        i32[dmaAt + ((page >>> 1) & IDX_MASK)] = pfn;
        out[n++] = page;
      }
    } catch (cause) {
      for (let m = 0; m < n; m++) {
        this.unmap(pool, (out[m]! >>> 1) & IDX_MASK);
        pages.freePage(asPageRef(out[m]!));
      }
      for (; k < got; k++) pages.freePage(asPageRef(out[k]!));
      throw cause;
    }
    return n;
  }

  private unmap(pool: PoolHandle, idx: number): void {
    const at = this.host.dmaAt + idx;
    const pfn = this.host.i32[at]!;
    this.host.i32[at] = 0;
    if (pfn !== 0) endMapping(this.host, pfn, 0, pool.dmaDir);
  }
}
