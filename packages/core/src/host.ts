import { Areas } from "./areas.ts";
import type { Clock } from "./clock.ts";
import { Context } from "./context.ts";
import type { DmaDevice } from "./dma.ts";
import { checkInt, NetmemError } from "./errors.ts";
import { failWrongThread } from "./misuse.ts";
import { SharedNames } from "./name-table.ts";
import { ArenaHeap } from "./heap.ts";
import { InboxWatch } from "./inbox-watch.ts";
import * as layout from "./layout.ts";
import { MemRegistry } from "./mem-registry.ts";
import { builtinTypeNames, MemTypeRegistry } from "./mem-type.ts";
import { ProviderRegistry } from "./memory-provider.ts";
import { NodeMap } from "./nodes.ts";
import { IDX_MASK, type NetmemRef, type ReadableRef } from "./netmem-ref.ts";
import { OWNER_ORDER0, OWNER_SHARED, Owners } from "./owners.ts";
import type { PageAllocator } from "./page-allocator.ts";
import { type ArenaMemory, createMemory } from "./platform.ts";
import { PoolDirectory } from "./pool-directory.ts";
import { reclaimWorker, type ReclaimReport } from "./reclaim.ts";
import type { RemoteReturns, ReturnCounts } from "./remote-returns.ts";
import { Shrinkers } from "./shrinkers.ts";
import { Workers } from "./workers.ts";

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
  /**
   * Makes this thread's end of the returns between threads, e.g. `createReturns` of `@netmem/ring`. Absent: buffers are
   * returned on their owner's thread only.
   */
  readonly returns?: (host: Host) => RemoteReturns;
  /** What the creating thread is called in reports. Default "creator". */
  readonly name?: string;
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
  /** Joins the host's page allocator, e.g. `attachPageAllocator` of `@netmem/mm`. Default: pages are out of reach. */
  readonly pageAllocator?: (host: Host) => PageAllocator;
  /** As in {@link HostParams}. */
  readonly returns?: (host: Host) => RemoteReturns;
  /** What this thread is called in reports, the thread's id for instance. Default "worker". */
  readonly name?: string;
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
  /** Word offset of the record that this thread pushes returned buffers onto, by owner id: see `Owners.homes`. */
  declare readonly homes: Int32Array;
  /** 1 on a thread that attached. */
  declare readonly attached: 0 | 1;
  /** 1 once the arena may be seen by another thread. */
  declare threaded: 0 | 1;
  /** This thread among those of the host: 0 is the creator, the others are 1 to 31. */
  declare readonly workerId: number;
  /** Buffers between threads; null: none are returned away from home. */
  declare readonly returns: RemoteReturns | null;
  /** Depth of `holdReturns`. */
  declare returnsHeld: number;
  declare readonly returnCounts: ReturnCounts;
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
  declare readonly workers: Workers;
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
  declare private readonly inboxWatch: InboxWatch;
  declare private readonly onWarning: ((warning: NetmemWarning) => void) | null;

  /** @internal Use {@link createHost} or {@link attachHost}. */
  constructor(memory: ArenaMemory, geometry: layout.ArenaGeometry, params: AttachParams, workerId: number) {
    const places = layout.layoutArena(geometry);
    this.i32 = new Int32Array(memory.buffer);
    this.owners = new Owners(this.i32, places, workerId, (id) => this.closeThread(id));
    this.homes = this.owners.homes;
    this.attached = workerId === 0 ? 0 : 1;
    this.threaded = this.attached;
    this.workerId = workerId;
    this.returnsHeld = 0;
    this.returnCounts = { delivered: 0, refused: 0 };
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
    this.workers = new Workers(this.i32, places);
    this.areas = new Areas(this);
    this.memTypes = new MemTypeRegistry(typeNames(this));
    this.mem = new MemRegistry(this.memTypes);
    this.providers = new ProviderRegistry(providerNames(this));
    this.pools = new PoolDirectory(this.i32, places.commonAt + layout.COMMON_POOL_ID, (error) =>
      this.throwLater(error),
    );
    this.nodes = new NodeMap(places);
    this.shrinkers = new Shrinkers(this);
    this.pages = params.pageAllocator?.(this) ?? new ForeignPages();
    this.heap = new ArenaHeap(this);
    this.inboxWatch = new InboxWatch(this);
    try {
      this.returns = params.returns?.(this) ?? null;
      this.dma = typeof params.dma === "function" ? params.dma(this) : (params.dma ?? null);
    } catch (error) {
      this.leavePages();
      throw error;
    }
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
    if (area !== null) return area.scattered?.bufferBytes ?? 2 ** area.pageShift;
    return 2 ** (this.pageShift + (this.i32[this.infoAt + idx]! & layout.INFO_ORDER_MASK));
  }

  /** True for owners whose buffers are plain pages: nothing but the page refcount decides about them. */
  isPlainOwner(ownerId: number): boolean {
    return ownerId === OWNER_ORDER0 || ownerId === OWNER_SHARED;
  }

  /**
   * Reports something wrong that does not stop the caller, who may be in the middle of a change: what `onWarning` throws is
   * thrown from a timer.
   */
  warn(code: string, message: string): void {
    try {
      this.onWarning?.({ code, message });
    } catch (error) {
      this.throwLater(error);
    }
  }

  private throwLater(error: unknown): void {
    this.clock.setTimer(() => {
      throw error;
    }, 0);
  }

  /** Marks the arena as shared and returns what a worker needs for {@link attachHost}. Call before posting. */
  share(): SharedHost {
    this.threaded = 1;
    this.inboxWatch.arm();
    return { memory: this.memory };
  }

  /**
   * Brings home what other threads returned to owners of this one: for the end of a poll, and for loops that wait. Pools
   * call it themselves before they ask their provider. Returns how many buffers came. One atomic load when there are none,
   * nothing on a host that was never shared.
   */
  drainInbox(): number {
    if (this.threaded === 0 || this.returns === null || this.context.hardirq) return 0;
    return this.returns.drain();
  }

  /**
   * Empties the inbox whenever something comes, while this thread sits in its event loop; until the returned function is
   * called. For somebody who waits for a buffer: meanwhile a return from another thread may have to wake this one.
   */
  watchInbox(): () => void {
    return this.inboxWatch.start();
  }

  /**
   * Gives this thread's number back. Nothing of the host may be used on this thread afterwards.
   * @throws `ERR_NETMEM_BUSY` (EBUSY) while owners of this thread are live, or dead workers' that it took over;
   * `ERR_NETMEM_WRONG_THREAD` on the thread that created the host.
   */
  detach(): void {
    if (this.attached === 0) failWrongThread("detach");
    this.returns?.flush();
    this.drainInbox();
    const left = [this.workerId, ...this.workers.heldBy(this.workerId)]
      .flatMap((id) => this.owners.list(id))
      .filter(({ ownerId }) => this.owners.partOf(ownerId) === 0);
    if (left.length > 0) failBusy(left.map(({ name }) => name));
    this.inboxWatch.close();
    this.leavePages();
    this.workers.release(this.workerId);
  }

  /** Ends this thread's parts of the page allocator and of what else all threads share. */
  private leavePages(): void {
    if (this.attached === 0) return;
    this.pages.detach?.();
    for (const { ownerId } of this.owners.list(this.workerId)) this.owners.releaseShared(this.owners.partOf(ownerId));
  }

  /**
   * Takes over from a worker whose thread has ended, however it ended: locks that it held, pages on its list, its owners,
   * what was on its way to it and from it, and what it held through a channel. Returns what was found. Time proportional
   * to the netmem table.
   *
   * @throws `ERR_NETMEM_WORKER_UNKNOWN` (ESRCH) for a number that no thread has, or that was reclaimed already;
   * `ERR_NETMEM_INVALID_PARAM` (EINVAL) for the caller's own.
   */
  reclaim(workerId: number): ReclaimReport {
    return reclaimWorker(this, workerId);
  }

  /** @internal Frees the number of a dead worker whose last owner is gone: nothing can be on its way to it any more. */
  closeThread(workerId: number): void {
    if (!this.workers.isTakenOver(workerId) || this.owners.list(workerId).length > 0) return;
    this.returns?.disown(workerId);
    this.workers.release(workerId);
  }
}

function typeNames(host: Host): SharedNames {
  const { typeNamesAt, commonAt } = host.layout;
  const place = { at: typeNamesAt, max: layout.TYPE_NAMES, words: layout.TYPE_NAME_WORDS };
  return new SharedNames(host, { ...place, lockAt: commonAt + layout.COMMON_LOCK }, builtinTypeNames);
}

function providerNames(host: Host): SharedNames {
  const { providerNamesAt, commonAt } = host.layout;
  const place = { at: providerNamesAt, max: layout.PROVIDER_NAMES, words: layout.PROVIDER_NAME_WORDS };
  return new SharedNames(host, { ...place, lockAt: commonAt + layout.COMMON_LOCK }, []);
}

/** The page allocator of a thread that attached without one: out of reach. */
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

function failBusy(names: readonly string[]): never {
  throw new NetmemError({
    code: "ERR_NETMEM_BUSY",
    errno: "EBUSY",
    reason: `this thread still has ${names.length} owners: ${names.join(", ")}`,
    remedy: "Destroy its pools and wait for their buffers, or end the thread and reclaim it elsewhere.",
    param: "owners",
    value: names.length,
  });
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
  const workers = new Workers(i32, places);
  return new Host(memory, geometry, params, workers.claim(0, params.name ?? "creator"));
}

/**
 * The same host on another thread: same arena, table, references, areas, type and provider numbers. The thread gets a
 * number of its own, which {@link Host.detach} gives back. It may make owners of its own, and return any buffer.
 *
 * @throws `ERR_NETMEM_WORKERS_EXHAUSTED` (ENOSPC) beyond 31 threads; `ERR_NETMEM_LAYOUT_MISMATCH` when the
 * memory is no netmem arena, or of another layout version.
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
  const geometry = {
    arenaBytes: shared.memory.buffer.byteLength,
    pageShift: layout.unpackHeader(i32[layout.HDR_PAGE_SHIFT]!),
    maxNetmems: layout.unpackHeader(i32[layout.HDR_MAX_NETMEMS]!),
    maxOwners: layout.unpackHeader(i32[layout.HDR_MAX_OWNERS]!),
    nodes: layout.unpackHeader(i32[layout.HDR_NODES]!),
  };
  const workers = new Workers(i32, layout.layoutArena(geometry));
  const workerId = workers.claim(1, params.name ?? "worker");
  try {
    return new Host(shared.memory, geometry, params, workerId);
  } catch (error) {
    workers.release(workerId);
    throw error;
  }
}
