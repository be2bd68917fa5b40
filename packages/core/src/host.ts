import { Areas } from "./areas.ts";
import type { Clock } from "./clock.ts";
import { Context } from "./context.ts";
import type { DmaDevice } from "./dma.ts";
import { checkInt, NetmemError } from "./errors.ts";
import { failWrongThread } from "./misuse.ts";
import { ArenaHeap } from "./heap.ts";
import * as layout from "./layout.ts";
import { MemRegistry } from "./mem-registry.ts";
import { MemTypeRegistry } from "./mem-type.ts";
import { ProviderRegistry } from "./memory-provider.ts";
import { NodeMap } from "./nodes.ts";
import { IDX_MASK, type NetmemRef, type ReadableRef } from "./netmem-ref.ts";
import { OWNER_ORDER0, OWNER_SHARED, Owners } from "./owners.ts";
import type { PageAllocator } from "./page-allocator.ts";
import { type ArenaMemory, createMemory } from "./platform.ts";
import { PoolDirectory } from "./pool-directory.ts";
import { Shrinkers } from "./shrinkers.ts";

/**
 * How much is checked. `checked`: the meta compare, in-flight arithmetic, bounds on what comes from outside.
 * `debug`: also poison, fragment map, quarantine, touch history. `proof`: also every invariant after every operation.
 */
export type CheckLevel = "checked" | "debug" | "proof";

export interface HostParams {
  /** Size of the arena in bytes: a multiple of 65536, 4 MiB to 2 GiB. Reserved at once, touched as used. */
  readonly arenaBytes: number;
  /** log2 of the page size in bytes, 12 to 16. Default 12. */
  readonly pageShift?: number;
  /** Descriptors in the netmem table; those beyond the arena's pages are for net_iovs. Default: pages + a quarter. */
  readonly maxNetmems?: number;
  /** Owner records (pools and the like). Default: a sixteenth of the pages, 64 to 1024. */
  readonly maxOwners?: number;
  /** Memory nodes (NUMA), 1 to 8: equal parts of the pages, cut at multiples of 4 MiB. Default 1. */
  readonly nodes?: number;
  readonly level?: CheckLevel;
  readonly clock: Clock;
  /** Makes the page allocator over the new host's arena, e.g. `createPageAllocator` of `@netmem/mm`. */
  readonly pageAllocator: (host: Host) => PageAllocator;
  /** Device that maps pages for pools created with DMA flags, or what makes it over the new host. */
  readonly dma?: DmaDevice | ((host: Host) => DmaDevice);
  /** Receives warnings. Default: none is shown. */
  readonly onWarning?: (warning: NetmemWarning) => void;
}

/** Something that is wrong but went on; the kernel would print it. */
export interface NetmemWarning {
  /** Stable identifier, `WARN_NETMEM_...`. */
  readonly code: string;
  readonly message: string;
}

/** What a worker needs to attach: post it as it is. */
export interface SharedHost {
  readonly memory: ArenaMemory;
}

/** What the attaching thread brings itself. */
export interface AttachParams {
  readonly clock: Clock;
  readonly level?: CheckLevel;
  readonly dma?: DmaDevice | ((host: Host) => DmaDevice);
  readonly onWarning?: (warning: NetmemWarning) => void;
}

/**
 * One arena and everything that gives it meaning on this thread: views, tables, registries. Fields are for data-path
 * code; do not assign them.
 */
export class Host {
  // "declare": see docs/decisions/0007. Hot fields first.
  declare readonly i32: Int32Array;
  declare readonly ownersAt: number;
  /** 1 on a thread that attached: owner records belong to the creating thread. */
  declare readonly attached: 0 | 1;
  /** 1 once the arena may be seen by another thread. */
  declare threaded: 0 | 1;
  declare readonly pageShift: number;
  declare readonly ppRefAt: number;
  declare readonly pageRefAt: number;
  declare readonly linkAt: number;
  declare readonly dmaAt: number;
  declare readonly infoAt: number;
  declare readonly context: Context;
  /** Memory nodes. */
  declare readonly nodeCount: number;
  /** The arena's bytes; index it with {@link offsetOf}. */
  declare readonly u8: Uint8Array;
  declare readonly memory: ArenaMemory;
  declare readonly layout: layout.ArenaLayout;
  declare readonly level: CheckLevel;
  declare readonly clock: Clock;
  declare readonly dma: DmaDevice | null;
  declare readonly owners: Owners;
  declare readonly areas: Areas;
  declare readonly memTypes: MemTypeRegistry;
  declare readonly mem: MemRegistry;
  declare readonly providers: ProviderRegistry;
  declare readonly pools: PoolDirectory;
  declare readonly nodes: NodeMap;
  /** Who gives pages back when memory runs short. */
  declare readonly shrinkers: Shrinkers;
  declare readonly pages: PageAllocator;
  declare readonly heap: ArenaHeap;
  declare private readonly onWarning: ((warning: NetmemWarning) => void) | null;

  /** @internal Use {@link createHost} or {@link attachHost}. */
  constructor(
    memory: ArenaMemory,
    geometry: layout.ArenaGeometry,
    params: AttachParams,
    makePages: HostParams["pageAllocator"] | null,
  ) {
    const places = layout.layoutArena(geometry);
    this.i32 = new Int32Array(memory.buffer);
    this.ownersAt = places.ownersAt;
    this.attached = makePages === null ? 1 : 0;
    this.threaded = this.attached;
    this.pageShift = places.pageShift;
    this.ppRefAt = places.ppRefAt;
    this.pageRefAt = places.pageRefAt;
    this.linkAt = places.linkAt;
    this.dmaAt = places.dmaAt;
    this.infoAt = places.infoAt;
    this.context = new Context();
    this.nodeCount = places.nodes;
    this.u8 = new Uint8Array(memory.buffer);
    this.memory = memory;
    this.layout = places;
    this.level = params.level ?? "checked";
    this.clock = params.clock;
    this.onWarning = params.onWarning ?? null;
    this.owners = new Owners(this.i32, places, this.attached);
    this.areas = new Areas(this.i32, places, this.attached);
    this.memTypes = new MemTypeRegistry();
    this.mem = new MemRegistry(this.memTypes);
    this.providers = new ProviderRegistry();
    this.pools = new PoolDirectory();
    this.nodes = new NodeMap(places);
    this.shrinkers = new Shrinkers(this);
    this.pages = makePages === null ? new ForeignPages() : makePages(this);
    this.heap = new ArenaHeap(this.i32, this.pages, places.pageShift);
    this.dma = typeof params.dma === "function" ? params.dma(this) : (params.dma ?? null);
  }

  get pageSizeBytes(): number {
    return 1 << this.pageShift;
  }

  /**
   * Byte offset of a buffer's first byte in {@link u8}. Free for pages. Does not check that the reference is live.
   * @throws `ERR_NETMEM_UNREADABLE` (EFAULT) for memory that the CPU cannot read.
   */
  offsetOf(ref: ReadableRef): number {
    if ((ref & 1) === 0) return ((ref >>> 1) & IDX_MASK) << this.pageShift;
    const offset = this.areas.offsetOf(ref);
    if (offset < 0) failUnreadable(ref);
    return offset;
  }

  /** Memory node of a page, 0 to 7; -1 for a net_iov, which is always local. Does not check that the reference is live. */
  nodeOf(ref: NetmemRef): number {
    if ((ref & 1) !== 0) return -1;
    return this.nodes.table[((ref >>> 1) & IDX_MASK) >>> this.nodes.shift]! | 0;
  }

  /** Whether byte accessors accept the reference. */
  isReadable(ref: NetmemRef): ref is ReadableRef {
    return (ref & 1) === 0 || this.areas.offsetOf(ref) >= 0;
  }

  /** The page that holds the arena byte at `offset`; the way back from {@link offsetOf} inside a compound page. */
  pageIdxAt(offset: number): number {
    return offset >>> this.pageShift;
  }

  /**
   * An unshared copy of `lengthBytes` bytes from `startBytes` on, for APIs that refuse shared memory.
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) for a range that leaves the buffer, `ERR_NETMEM_UNREADABLE` (EFAULT).
   */
  copyOut(ref: ReadableRef, startBytes: number, lengthBytes: number): Uint8Array<ArrayBuffer> {
    const from = this.offsetOf(ref) + startBytes;
    const size = this.bufferBytes(ref);
    checkInt("startBytes", startBytes, 0, size);
    checkInt("lengthBytes", lengthBytes, 0, size - startBytes);
    const copy = new Uint8Array(lengthBytes);
    copy.set(this.u8.subarray(from, from + lengthBytes));
    return copy;
  }

  /** Bytes of the buffer that the reference heads: the page, the block of pages, or the net_iov. */
  bufferBytes(ref: NetmemRef): number {
    const idx = (ref >>> 1) & IDX_MASK;
    const area = this.areas.of(idx);
    if (area !== null) return 2 ** area.pageShift;
    return 2 ** (this.pageShift + (this.i32[this.infoAt + idx]! & layout.INFO_ORDER_MASK));
  }

  /** True for owners whose buffers are plain pages: nothing but the page refcount decides about them. */
  isPlainOwner(ownerId: number): boolean {
    return ownerId === OWNER_ORDER0 || ownerId === OWNER_SHARED;
  }

  /** Reports something wrong that does not stop the caller. */
  warn(code: string, message: string): void {
    this.onWarning?.({ code, message });
  }

  /** Marks the arena as shared and returns what a worker needs for {@link attachHost}. Call before posting. */
  share(): SharedHost {
    this.threaded = 1;
    return { memory: this.memory };
  }
}

/** The page allocator as an attached thread sees it: out of reach. */
class ForeignPages implements PageAllocator {
  readonly name = "pages of another thread";
  readonly totalPageCount = 0;
  allocPages(): never {
    return failWrongThread("allocPages");
  }
  allocBulk(): never {
    return failWrongThread("allocBulk");
  }
  freePage(): never {
    return failWrongThread("freePage");
  }
  freeBulk(): never {
    return failWrongThread("freeBulk");
  }
  freePageCount(): never {
    return failWrongThread("freePageCount");
  }
}

function failUnreadable(ref: NetmemRef): never {
  throw new NetmemError({
    code: "ERR_NETMEM_UNREADABLE",
    errno: "EFAULT",
    reason: `ref 0x${ref.toString(16)} is memory that the CPU cannot read`,
    remedy: "Narrow references with host.isReadable(ref), and pass unreadable ones on as tokens.",
    param: "ref",
    value: ref,
  });
}

function defaultGeometry(params: HostParams): layout.ArenaGeometry {
  const pageShift = params.pageShift ?? 12;
  const pageCount = Math.floor(params.arenaBytes / 2 ** pageShift);
  return {
    arenaBytes: params.arenaBytes,
    pageShift,
    maxNetmems: params.maxNetmems ?? Math.min(pageCount + (pageCount >>> 2), IDX_MASK + 1),
    maxOwners: params.maxOwners ?? Math.min(Math.max(pageCount >>> 4, 64), 1024),
    nodes: params.nodes ?? 1,
  };
}

interface CoreMark {
  readonly url: string;
}

/** Two copies of this file would have two error classes and two layouts: name both instead of failing strangely. */
function checkSingleCopy(): void {
  const key = Symbol.for("netmem.core");
  const globals = globalThis as { [key]?: CoreMark };
  const url = (import.meta as { url?: string }).url ?? "@netmem/core";
  const mark = (globals[key] ??= { url });
  if (mark.url === url) return;
  throw new NetmemError({
    code: "ERR_NETMEM_DUPLICATE_CORE",
    reason: `two copies of @netmem/core are loaded: ${mark.url} and ${url}`,
    remedy: "Make all netmem packages resolve to one version of @netmem/core.",
    param: "@netmem/core",
    value: url,
  });
}

/**
 * Reserves an arena and composes a host over it. The caller's thread becomes the owner of its page allocator.
 *
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL), `ERR_NETMEM_NO_MEMORY` (ENOMEM), `ERR_NETMEM_DUPLICATE_CORE`.
 */
export function createHost(params: HostParams): Host {
  checkSingleCopy();
  const geometry = defaultGeometry(params);
  const places = layout.layoutArena(geometry);
  const memory = createMemory(params.arenaBytes);
  const i32 = new Int32Array(memory.buffer);
  i32[layout.HDR_VERSION] = layout.LAYOUT_VERSION;
  i32[layout.HDR_PAGE_SHIFT] = layout.packHeader(places.pageShift);
  i32[layout.HDR_PAGE_COUNT] = layout.packHeader(places.pageCount);
  i32[layout.HDR_MAX_NETMEMS] = layout.packHeader(places.maxNetmems);
  i32[layout.HDR_MAX_OWNERS] = layout.packHeader(places.maxOwners);
  i32[layout.HDR_NODES] = layout.packHeader(places.nodes);
  i32[layout.HDR_MAGIC] = layout.ARENA_MAGIC;
  return new Host(memory, geometry, params, params.pageAllocator);
}

/**
 * The same host on another thread: same arena, table and references.
 *
 * @throws `ERR_NETMEM_LAYOUT_MISMATCH` when the memory is no netmem arena, or of another layout version.
 */
export function attachHost(shared: SharedHost, params: AttachParams): Host {
  checkSingleCopy();
  const i32 = new Int32Array(shared.memory.buffer);
  const version = i32[layout.HDR_VERSION];
  if (i32[layout.HDR_MAGIC] !== layout.ARENA_MAGIC || version !== layout.LAYOUT_VERSION) {
    throw new NetmemError({
      code: "ERR_NETMEM_LAYOUT_MISMATCH",
      reason: `the memory is not a netmem arena of layout ${layout.LAYOUT_VERSION} (found ${String(version)})`,
      remedy: "Post what host.share() returned, and use one version of @netmem/core in all threads.",
      param: "shared",
      value: version,
    });
  }
  return new Host(
    shared.memory,
    {
      arenaBytes: shared.memory.buffer.byteLength,
      pageShift: layout.unpackHeader(i32[layout.HDR_PAGE_SHIFT]!),
      maxNetmems: layout.unpackHeader(i32[layout.HDR_MAX_NETMEMS]!),
      maxOwners: layout.unpackHeader(i32[layout.HDR_MAX_OWNERS]!),
      nodes: layout.unpackHeader(i32[layout.HDR_NODES]!),
    },
    params,
    null,
  );
}
