/*
 * data path
 *
 * The hardware's descriptor cache: reads up to 64 posted descriptors at a time and translates their page frame numbers,
 * so that the device contract is crossed once per 64 descriptors.
 */
import type { DmaDevice, DmaDir, Host } from "@netmem/core";
import type { DescriptorRing } from "./descriptor-ring.ts";
import { type MemoryPorts, PORT_BIT as PORT_BIT_ } from "./memory-ports.ts";

const BATCH = 64;
const PORT_BIT = PORT_BIT_;

/** In the place of an arena offset: the page is a port's. Negative, so that the ordinary path need not look. */
export const PORT_PAGE: number = -(2 ** 30);
const AT_PORT = PORT_PAGE;

export class DescFetch {
  declare private readonly i32: Int32Array;
  declare private readonly ring: DescriptorRing;
  declare private readonly dma: DmaDevice | null;
  /** What the hardware does with the addresses. */
  declare private readonly access: DmaDir;
  /** Null where the hardware only reads: packets outside the arena are not sent. */
  declare private readonly ports: MemoryPorts | null;
  declare private readonly pageShift: number;
  /** Arena byte offset of each descriptor's page, by slot. */
  declare private readonly pages: Int32Array;
  private readonly batch: Int32Array = new Int32Array(BATCH);
  /** Indices below are in the cache. */
  declare private end: number;

  constructor(host: Host, ring: DescriptorRing, dma: DmaDevice | null, access: DmaDir, ports: MemoryPorts | null) {
    this.i32 = host.i32;
    this.ring = ring;
    this.dma = dma;
    this.access = access;
    this.ports = ports;
    this.pageShift = host.pageShift;
    this.pages = new Int32Array(ring.size);
    this.end = ring.completed;
  }

  /**
   * Arena byte offset of the page of descriptor `index`, which must be posted; {@link PORT_PAGE} when it is a port's,
   * another negative number when translation faulted.
   */
  pageOf(index: number): number {
    if (((this.end - index) | 0) <= 0) this.fill(index);
    return this.pages[index & this.ring.mask]!;
  }

  /** Forgets what was read: the ring has been reset. */
  reset(): void {
    this.end = this.ring.completed;
  }

  private fill(from: number): void {
    const { ring, batch } = this;
    const n = Math.min((ring.producer - from) | 0, BATCH);
    this.end = (from + n) | 0;
    if (this.ports !== null && this.ports.count > 0) return this.fillMixed(from, n);
    for (let k = 0; k < n; k++) batch[k] = this.i32[ring.descAt(from + k)]!;
    this.translate(n);
    for (let k = 0; k < n; k++) this.pages[(from + k) & ring.mask] = batch[k]!;
  }

  private translate(n: number): void {
    const { batch } = this;
    if (this.dma === null) for (let k = 0; k < n; k++) batch[k] = batch[k]! << this.pageShift;
    else if (n > 0) this.dma.translateMany(batch, n, this.access);
  }

  /** Only addresses in the arena are translated. */
  private fillMixed(from: number, n: number): void {
    const { ring, batch, pages, i32 } = this;
    let own = 0;
    for (let k = 0; k < n; k++) {
      const pfn = i32[ring.descAt(from + k)]!;
      const isPort = (pfn & PORT_BIT) !== 0;
      pages[(from + k) & ring.mask] = isPort ? AT_PORT : 0;
      if (!isPort) batch[own++] = pfn;
    }
    this.translate(own);
    own = 0;
    for (let k = 0; k < n; k++) {
      const slot = (from + k) & ring.mask;
      if (pages[slot] === 0) pages[slot] = batch[own++]!;
    }
  }
}
