/*
 * What is mapped into the arena, and what of the arena the kernel holds.
 *
 *   window   a range of pages under which other memory lies: the rings of an AF_XDP socket, a file. The map takes the
 *            pages from the page allocator itself, so nobody else can have them, and gives them back.
 *   huge     a range with huge pages under it. The pages are the caller's.
 *   pin      a range whose memory the kernel has taken hold of (a registered UMEM). What is mapped over a pinned range
 *            is not what the kernel writes into, so huge pages stay out of it, and the pages of a window that ends there
 *            come back only when the pin is gone.
 */
import { checkInt, type Host, idxOf, MAX_ORDER, NetmemError, type PageRef } from "@netmem/core";
import { checkRange, checkUnused } from "./arena-range.ts";
import { collapse, placeAnonymous, placeFile, placeHugetlb } from "./virtual-memory.ts";
import type { System } from "./system.ts";
import { Errno } from "./errno.ts";
import { SystemCallError } from "./system-call-error.ts";

export interface FileWindowParams {
  readonly fd: number;
  /** Where in the file the window begins, a multiple of the page size below 2^53. Default 0. */
  readonly fileOffset?: number;
  /** Bytes to map, rounded up to pages; at most 4 MiB with pages of 4 KiB. */
  readonly bytes: number;
  /** For messages and {@link ArenaMap.windows}. */
  readonly name: string;
}

/** A range of the arena with other memory under it, until {@link ArenaMap.unmap}. */
export interface ArenaWindow {
  readonly name: string;
  /** Byte offset in the arena, page aligned. */
  readonly offset: number;
  /** Bytes mapped, whole pages. */
  readonly bytes: number;
}

/** A range that the kernel holds, until {@link ArenaMap.unpin}. */
export interface ArenaPin {
  readonly name: string;
  readonly offset: number;
  readonly bytes: number;
}

interface Range {
  readonly offset: number;
  readonly bytes: number;
}

const overlap = (a: Range, b: Range): boolean => a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;

/** Mappings into one host's arena. One per host, on the thread that owns its page allocator. Control path. */
export class ArenaMap {
  readonly host: Host;
  /** Address of the arena's first byte, a multiple of 4096 and nothing more. */
  readonly baseAddress: number;
  private readonly system: System;
  private readonly pagesOf = new Map<ArenaWindow, PageRef>();
  private readonly pins = new Set<ArenaPin>();
  private readonly huge = new Set<Range>();
  /** Blocks of windows that ended over a pin. */
  private readonly held = new Map<Range, PageRef>();

  /** @internal Use {@link openArenaMap}. */
  constructor(system: System, host: Host) {
    this.system = system;
    this.host = host;
    this.baseAddress = system.addressOf(host.u8);
  }

  /**
   * Maps a part of a file, or the ring of a socket, at a place in the arena that the map chooses. Every thread that has
   * the arena sees it. Who shortens the file later takes the memory away, and touching it kills the process.
   * @throws {@link SystemCallError}; `ERR_NETMEM_NO_MEMORY` (ENOMEM) when the arena has no block of that size;
   * `ERR_NETMEM_INVALID_PARAM` (EINVAL). Nothing has changed then.
   */
  mapFile({ fd, fileOffset = 0, bytes, name }: FileWindowParams): ArenaWindow {
    const { host, system } = this;
    checkInt("bytes", bytes, 1, host.pageSizeBytes << MAX_ORDER);
    const wholeBytes = Math.ceil(bytes / host.pageSizeBytes) * host.pageSizeBytes;
    const page = this.takeBlock(wholeBytes, name);
    const window: ArenaWindow = { name, offset: idxOf(page) * host.pageSizeBytes, bytes: wholeBytes };
    try {
      checkRange(host, this.baseAddress, window.offset, wholeBytes, host.pageSizeBytes);
      placeFile(system, this.baseAddress + window.offset, wholeBytes, { fd, fileOffset, name });
    } catch (error) {
      // The memory is what it was: no pin need be waited for.
      host.pages.freePage(page);
      throw error;
    }
    this.pagesOf.set(window, page);
    return window;
  }

  /**
   * Puts ordinary zeroed memory back under a window: views that are still around read zeros, and nothing crashes. Close
   * the socket after its windows, not before: a mapped ring keeps it alive.
   * @throws `ERR_NETMEM_WINDOW_UNKNOWN` (ENOENT) for a window that is not mapped.
   */
  unmap(window: ArenaWindow): void {
    const page = this.pagesOf.get(window);
    if (page === undefined) failUnknown("window", window.name);
    placeAnonymous(this.system, this.baseAddress + window.offset, window.bytes);
    this.pagesOf.delete(window);
    this.giveBack(window, page);
  }

  /** What is mapped now. */
  windows(): ArenaWindow[] {
    return [...this.pagesOf.keys()];
  }

  /**
   * Records that the kernel holds the memory of a range, before it is told to: no huge pages can be put under it or
   * taken away while it is pinned.
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL).
   */
  pin(name: string, offset: number, bytes: number): ArenaPin {
    checkRange(this.host, this.baseAddress, offset, bytes, this.host.pageSizeBytes);
    const pin: ArenaPin = { name, offset, bytes };
    this.pins.add(pin);
    return pin;
  }

  /**
   * Says that the kernel let go: the last socket of the UMEM was seen released, not merely closed.
   * @throws `ERR_NETMEM_WINDOW_UNKNOWN` (ENOENT) for a pin that is gone.
   */
  unpin(pin: ArenaPin): void {
    if (!this.pins.delete(pin)) failUnknown("pin", pin.name);
    for (const [range, page] of this.held) {
      if (this.pinOver(range) !== undefined) continue;
      this.held.delete(range);
      this.host.pages.freePage(page);
    }
  }

  /**
   * Takes a range into memory and keeps it there: no page faults, no swap. Counts against RLIMIT_MEMLOCK without
   * CAP_IPC_LOCK. A registered UMEM needs no lock: the kernel holds its pages anyway.
   * @throws `SystemCallError` (ENOMEM, EPERM), `ERR_NETMEM_INVALID_PARAM` (EINVAL).
   */
  lock(offset: number, bytes: number): void {
    checkRange(this.host, this.baseAddress, offset, bytes, this.host.pageSizeBytes);
    const { system } = this;
    system.check("mlock", system.errnoOr(system.libc.mlock(this.baseAddress + offset, bytes)), {
      action: `lock ${bytes} bytes of the arena in memory`,
      param: "bytes",
      value: bytes,
    });
  }

  unlock(offset: number, bytes: number): void {
    checkRange(this.host, this.baseAddress, offset, bytes, this.host.pageSizeBytes);
    this.system.check("munlock", this.system.errnoOr(this.system.libc.munlock(this.baseAddress + offset, bytes)));
  }

  /** Address of an arena byte, for structures that the kernel reads. */
  addressAt(offset: number): number {
    return this.baseAddress + checkInt("offset", offset, 0, this.host.layout.arenaBytes - 1);
  }

  /** Unmaps every window. The arena stays usable. Pins are the kernel's and stay. */
  close(): void {
    for (const window of this.windows()) this.unmap(window);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal Puts huge pages under a range; see `HugeBacking.back`. */
  backHuge(offset: number, bytes: number, pageBytes: number, kind: "hugetlb" | "thp"): void {
    const range: Range = { offset, bytes };
    checkRange(this.host, this.baseAddress, offset, bytes, pageBytes);
    if ([...this.huge, ...this.pagesOf.keys()].some((one) => overlap(one, range)))
      failRange("EBUSY", offset, "is taken");
    this.checkUnpinned(range);
    checkUnused(this.host, offset, bytes);
    const address = this.baseAddress + offset;
    if (kind === "hugetlb") placeHugetlb(this.system, address, bytes, pageBytes);
    else this.collapse(address, bytes);
    for (let at = offset; at < offset + bytes; at += pageBytes) this.huge.add({ offset: at, bytes: pageBytes });
  }

  /** @internal Takes huge pages away again; see `HugeBacking.release`. */
  releaseHuge(offset: number, bytes: number, pageBytes: number): void {
    const range: Range = { offset, bytes };
    checkRange(this.host, this.baseAddress, offset, bytes, pageBytes);
    const parts = [...this.huge].filter((one) => overlap(one, range));
    if (parts.length !== bytes / pageBytes) failRange("EINVAL", offset, "has no huge pages, or not all over");
    this.checkUnpinned(range);
    checkUnused(this.host, offset, bytes);
    placeAnonymous(this.system, this.baseAddress + offset, bytes);
    for (const one of parts) this.huge.delete(one);
  }

  private collapse(address: number, bytes: number): void {
    const result = collapse(this.system, address, bytes);
    if (result === 0) return;
    placeAnonymous(this.system, address, bytes);
    const remedy =
      result === -Errno.EINVAL
        ? "Use Linux 6.1 or newer with CONFIG_TRANSPARENT_HUGEPAGE, or hugetlb pages."
        : "Free memory, or reserve hugetlb pages before memory is fragmented.";
    throw new SystemCallError("madvise", -result, { action: "collapse memory into huge pages", remedy });
  }

  private pinOver(range: Range): ArenaPin | undefined {
    return [...this.pins].find((pin) => overlap(pin, range));
  }

  private checkUnpinned(range: Range): void {
    const pin = this.pinOver(range);
    if (pin === undefined) return;
    throw new NetmemError({
      code: "ERR_NETMEM_RANGE_PINNED",
      errno: "EBUSY",
      reason: `the kernel holds the memory at ${range.offset} for ${pin.name}: it would go on writing into what was there`,
      remedy: "Put huge pages under the arena before the UMEM is registered, and release them after its last socket.",
      param: "offset",
      value: range.offset,
    });
  }

  private takeBlock(bytes: number, name: string): PageRef {
    const pages = bytes / this.host.pageSizeBytes;
    const order = 32 - Math.clz32(pages - 1);
    const page = this.host.pages.allocPages(pages === 1 ? 0 : order);
    if (page !== 0) return page;
    throw new NetmemError({
      code: "ERR_NETMEM_NO_MEMORY",
      errno: "ENOMEM",
      reason: `the arena has no free block of ${pages} pages for ${name}`,
      remedy: "Enlarge arenaBytes, or map what you need before the pools are filled.",
      param: "bytes",
      value: bytes,
    });
  }

  private giveBack(range: Range, page: PageRef): void {
    if (this.pinOver(range) === undefined) this.host.pages.freePage(page);
    else this.held.set(range, page);
  }
}

function failUnknown(what: string, name: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_WINDOW_UNKNOWN",
    errno: "ENOENT",
    reason: `the ${what} ${name} is not in this arena map`,
    remedy: `Give each ${what} back once, to the map that made it.`,
    param: what,
    value: name,
  });
}

function failRange(errno: "EBUSY" | "EINVAL", offset: number, what: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_HUGE_RANGE",
    errno,
    reason: `the range at ${offset} ${what}`,
    remedy: "Back a range once, and release what was backed.",
    param: "offsetBytes",
    value: offset,
  });
}
