/*
 * data path
 *
 * Memory that the NIC reaches and the arena does not hold: a GPU's, a file's. Each gets a window of page frame numbers,
 * as a device's memory gets a window of bus addresses:
 *
 *   29   28      22 21                    0
 *  +---+-----------+----------------------+
 *  | 1 | port      | page within the port |
 *  +---+-----------+----------------------+
 *
 * What the bits say is between this file and the descriptors; to drivers and providers an address is a number. The
 * translation unit does not see these addresses.
 */
import { NetmemError } from "@netmem/core";

/** Set in every page frame number of a port. */
export const PORT_BIT: number = 1 << 29;
export const PORT_PAGES: number = 1 << 22;
const PORT_SHIFT = 22;
const PORT_MASK = 127;
const PAGE_MASK = PORT_PAGES - 1;
const MAX_PORTS = 128;

/** Memory outside the arena that received bytes can be written to. One object per device memory; called per packet. */
export interface NicMemoryPort {
  readonly name: string;
  /**
   * Writes `source[from..from + lenBytes)` to page `page` of the memory, `offset` bytes into it. False: there is no such
   * page, or the memory is gone; the packet is lost, and counted as a DMA fault. The bytes are the caller's again when
   * this returns. Must not throw.
   */
  write(page: number, offset: number, source: Uint8Array, from: number, lenBytes: number): boolean;
}

/** The ports of one NIC. */
export class MemoryPorts {
  /** Ports that are open: without any, the descriptor cache does not look for them. */
  count = 0;
  private readonly ports: (NicMemoryPort | null)[] = [];

  /**
   * Gives a memory its window and returns the first of its 2^22 page frame numbers: page n of the memory is that + n. What
   * a provider writes into its buffers' DMA addresses. Control path.
   * @throws `ERR_NETMEM_PORTS_EXHAUSTED` (ENOSPC)
   */
  open(port: NicMemoryPort): number {
    const free = this.ports.indexOf(null);
    const id = free >= 0 ? free : this.ports.length;
    if (id >= MAX_PORTS) failExhausted(port);
    this.ports[id] = port;
    this.count++;
    return PORT_BIT | (id << PORT_SHIFT);
  }

  /**
   * Takes the window away; what is still posted there faults. Control path.
   * @throws `ERR_NETMEM_PORT_UNKNOWN` (ENOENT) for a window that is not open.
   */
  close(firstPfn: number): void {
    const id = (firstPfn >>> PORT_SHIFT) & PORT_MASK;
    const isOpen = firstPfn === (PORT_BIT | (id << PORT_SHIFT)) && (this.ports[id] ?? null) !== null;
    if (!isOpen) failUnknown(firstPfn);
    this.ports[id] = null;
    this.count--;
  }

  /** Writes to the page with number `pfn`, which has {@link PORT_BIT}. */
  write(pfn: number, offset: number, source: Uint8Array, from: number, lenBytes: number): boolean {
    const port = this.ports[(pfn >>> PORT_SHIFT) & PORT_MASK] ?? null;
    return port !== null && port.write(pfn & PAGE_MASK, offset, source, from, lenBytes);
  }
}

function failExhausted(port: NicMemoryPort): never {
  throw new NetmemError({
    code: "ERR_NETMEM_PORTS_EXHAUSTED",
    errno: "ENOSPC",
    reason: `no window for ${port.name}: the NIC has ${MAX_PORTS} memories already`,
    remedy: "Close ports that are no longer needed.",
    param: "port",
    value: port.name,
  });
}

function failUnknown(firstPfn: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_PORT_UNKNOWN",
    errno: "ENOENT",
    reason: `no memory has its window at page frame number ${firstPfn}`,
    remedy: "Close a port once, with what open returned.",
    param: "firstPfn",
    value: firstPfn,
  });
}
