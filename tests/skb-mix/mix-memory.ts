import {
  createHost,
  type Host,
  idxOf,
  metaOwner,
  type Napi,
  type NetmemRef,
  type QueueAllocator,
  returnNetmem,
} from "@netmem/core";
import { createDevmemAllocator, type DevmemAllocator } from "@netmem/devmem";
import { createHugeProvider, createModelBacking, type HugeProvider } from "@netmem/hugepage";
import { createPageAllocator, createPageFrag, createPageShared, type PageFrag, type PageShared } from "@netmem/mm";
import { checkPoolInvariants, createPagePool, type PagePool } from "@netmem/page-pool";
import { SkbSlab } from "@netmem/skb";
import { VirtualClock } from "@netmem/testing";
import { createUmem, type Umem, type XskBuffPool } from "@netmem/xsk";
import { type Span, sourceByte } from "./content.ts";
import { bindDeviceMemory, createProviderPool, createUserArea } from "./memory.ts";

/** A buffer, or a piece of one, that the caller holds one reference of. */
export interface Piece {
  readonly ref: NetmemRef;
  readonly offset: number;
  readonly size: number;
}

/** Kinds of memory that the CPU reads. */
export const READABLE_KINDS = [
  "poolA",
  "poolB",
  "pageFrag",
  "plain",
  "shared",
  "huge",
  "userArea",
  "xsk",
  "poolFrag",
] as const;
/** All of them; the last two are unreadable. */
export const KINDS = [...READABLE_KINDS, "devmemPool", "devmem"] as const;
export type Kind = (typeof KINDS)[number];

const XSK_CHUNK_BYTES = 2048;

/** Every kind of memory that a packet can be made of, on one host. */
export class MixMemory {
  readonly host: Host = createHost({
    arenaBytes: 32 * 2 ** 20,
    maxNetmems: 2 ** 13 + 1024,
    clock: new VirtualClock(),
    pageAllocator: createPageAllocator,
  });
  readonly slab: SkbSlab = new SkbSlab(this.host, { skbCount: 1024 });
  readonly napi: Napi = { id: 1, listOwner: -1 };
  readonly poolA: PagePool = createPagePool(this.host, {
    name: "A",
    poolSize: 64,
    napi: this.napi,
    directRecycle: "napi",
  });
  readonly poolB: PagePool = createPagePool(this.host, { name: "B", poolSize: 16 });
  readonly pageFrag: PageFrag = createPageFrag(this.host, { fragBytes: 2048 });
  readonly shared: PageShared = createPageShared(this.host);
  private readonly hugeProvider: HugeProvider = createHugeProvider(this.host, {
    backing: createModelBacking(this.host),
    chunks: 1,
  });
  readonly huge: PagePool = createProviderPool(this.host, "huge", this.hugeProvider);
  private readonly area = createUserArea(this.host, this.slab);
  readonly userArea: PagePool = createProviderPool(this.host, "user area", this.area.zcrx.provider);
  private readonly device = bindDeviceMemory(this.host);
  readonly devmemPool: PagePool = createProviderPool(this.host, "device memory", this.device.binding.provider);
  readonly devmem: DevmemAllocator = createDevmemAllocator(this.host, this.device.binding);
  private readonly umem: Umem = createUmem(this.host, { ownBytes: 2 ** 18, chunkSizeBytes: XSK_CHUNK_BYTES });
  /** Frames of a UMEM, two to a page. */
  readonly xsk: XskBuffPool = this.umem.frames!;
  /** Allocators that copies are made into. */
  readonly copyTargets: readonly QueueAllocator[] = [this.poolA, this.poolB, this.pageFrag, this.huge];
  private readonly pools: readonly PagePool[] = [this.poolA, this.poolB, this.huge, this.userArea, this.devmemPool];
  private readonly freeAtStart: number;
  private seeds = 0;

  constructor() {
    this.freeAtStart = this.host.pages.freePageCount();
  }

  /** One reference, null when exhausted. */
  take(kind: Kind): Piece | null {
    const { poolA, pageFrag } = this;
    if (kind === "poolFrag") return pieceOf(poolA.allocFrag(1024), poolA.lastOffset, 1024);
    if (kind === "pageFrag") return pieceOf(pageFrag.alloc(2048), pageFrag.lastOffset, 2048);
    return pieceOf(this.takeWhole(kind), 0, kind === "xsk" ? XSK_CHUNK_BYTES : 4096);
  }

  /** Gives back what nobody wanted. */
  giveBack(piece: Piece): void {
    returnNetmem(this.host, piece.ref);
  }

  /** Writes `len` bytes of a new source at `start` of the piece; unreadable memory is its own source. */
  fill({ ref, offset }: Piece, start: number, len: number): Span {
    if (!this.host.isReadable(ref)) return { seed: this.nameOf(ref), from: offset + start, len };
    const seed = ++this.seeds;
    const at = this.host.offsetOf(ref) + offset + start;
    for (let n = 0; n < len; n++) this.host.u8[at + n] = sourceByte(seed, n);
    return { seed, from: 0, len };
  }

  /** Source number of an unreadable buffer: one for each time that it goes out. */
  nameOf(ref: NetmemRef): number {
    return -ref;
  }

  /** References of a live buffer that no packet has: a huge page that came home while it was held is its provider's too. */
  ownHolders(ref: NetmemRef): number {
    const { host } = this;
    const isPlain = host.isPlainOwner(metaOwner(host.i32[idxOf(ref)] ?? 0));
    return isPlain && this.hugeProvider.owns(ref) ? 1 : 0;
  }

  checkPools(): void {
    for (const pool of this.pools) checkPoolInvariants(pool);
  }

  /** Everything is home: throws what is not. Ends the world. */
  finish(): void {
    const { host, pools, xsk, devmem, area, device } = this;
    this.slab.dispose();
    this.pageFrag.destroy();
    for (const pool of pools) {
      pool.destroy();
      if (pool.inflight() !== 0) throw new Error(`${pool.inflight()} buffers of ${pool.params.name} are out`);
    }
    if (xsk.outCount !== 0 || devmem.inflight() !== 0) {
      throw new Error(`${xsk.outCount} frames of the UMEM and ${devmem.inflight()} of device memory are out`);
    }
    devmem.destroy();
    this.umem.dispose();
    area.zcrx.unregister();
    device.devmem.unbind(device.binding);
    const { chunks, leakedChunks } = this.hugeProvider.stats();
    if (!area.zcrx.isFreed || !device.binding.isFreed) throw new Error("the user area or the device memory is in use");
    if (chunks + leakedChunks > 0) throw new Error(`${chunks} huge pages are in use, ${leakedChunks} are lost`);
    if (host.areas.list().length > 0) throw new Error("areas of the netmem table are left");
    host.pages.freePage(area.block);
    // What pools and slab have put aside counts as free at the start only for the arena's heap.
    this.lostPages = this.freeAtStart - host.pages.freePageCount();
  }
  /** Pages that did not come home, known after {@link finish}. */
  lostPages = 0;

  private takeWhole(kind: Exclude<Kind, "poolFrag" | "pageFrag">): NetmemRef | 0 {
    if (kind === "plain") return this.host.pages.allocPages(0);
    if (kind === "shared") return this.shared.alloc();
    return this[kind].allocNetmem();
  }
}

function pieceOf(ref: NetmemRef | 0, offset: number, size: number): Piece | null {
  return ref === 0 ? null : { ref, offset, size };
}
