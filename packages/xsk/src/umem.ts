import { type DmaDevice, type Host, NetmemError } from "@netmem/core";
import type { ChunkGeometry } from "./chunk-geometry.ts";
import { UmemDma } from "./umem-dma.ts";
import type { XskBuffPool } from "./xsk-buff-pool.ts";

/** What the books of a queue leave for its number. */
const MAX_QUEUES = 0x7fff;

/** Where the frames of a UMEM are, one state each. */
export interface UmemCensus {
  readonly total: number;
  /** With the application, its pools or the page allocator. */
  readonly user: number;
  /** In a fill ring, with the kernel, or in an RX ring. */
  readonly fillPosted: number;
  /** In a TX ring, with the kernel, or in a completion ring. */
  readonly txPosted: number;
}

/** What {@link Umem} is made of; see `createUmem`. */
export interface UmemParts {
  readonly geometry: ChunkGeometry;
  /** Index of chunk 0 in the netmem table. */
  readonly firstIdx: number;
  /** 1 when chunks are net_iovs, 0 when they are pages. */
  readonly tag: 0 | 1;
  readonly frames: XskBuffPool | null;
  /** Gives the memory back, when it is the UMEM's own. */
  readonly releaseMemory: () => void;
}

/**
 * Memory that is shared with the kernel, and who has each chunk of it. Two words per chunk:
 *
 *   state   0 user, < 0 posted to the fill ring of queue -state, > 0 sent: queue << 16 | descriptors
 *   tx ref  whose bytes a sent chunk's are; valid while state > 0
 *
 * Fields are for data-path code; do not assign them.
 */
export class Umem {
  declare readonly host: Host;
  declare readonly geometry: ChunkGeometry;
  declare readonly firstIdx: number;
  declare readonly tag: 0 | 1;
  /** Word offset of the states. */
  declare readonly statesAt: number;
  /** Word offset of the references of sent chunks. */
  declare readonly txRefsAt: number;
  /** The chunks as buffers of `MemType.XskBuffPool`; null where a chunk is a page of the host. */
  declare readonly frames: XskBuffPool | null;
  declare private readonly releaseMemory: () => void;
  /** @internal User ends over it that are open. */
  declare openEnds: number;
  declare private nextQueueId: number;
  declare private readonly freeQueueIds: number[];
  declare private readonly dmaMaps: Map<DmaDevice, UmemDma>;

  /** @internal Use `createUmem`. */
  constructor(host: Host, parts: UmemParts) {
    const { chunkCount } = parts.geometry;
    this.host = host;
    this.geometry = parts.geometry;
    this.firstIdx = parts.firstIdx;
    this.tag = parts.tag;
    this.statesAt = host.heap.allocWords(2 * chunkCount);
    this.txRefsAt = this.statesAt + chunkCount;
    this.frames = parts.frames;
    this.releaseMemory = parts.releaseMemory;
    this.openEnds = 0;
    this.nextQueueId = 1;
    this.freeQueueIds = [];
    this.dmaMaps = new Map();
  }

  /** Arena byte offset of the UMEM's first byte, where address 0 is. */
  get offset(): number {
    return this.geometry.offset;
  }

  get bytes(): number {
    return this.geometry.bytes;
  }

  get chunkSizeBytes(): number {
    return this.geometry.chunkSizeBytes;
  }

  get chunkCount(): number {
    return this.geometry.chunkCount;
  }

  get headroomBytes(): number {
    return this.geometry.headroomBytes;
  }

  get txMetadataBytes(): number {
    return this.geometry.txMetadataBytes;
  }

  get flags(): number {
    return this.geometry.flags;
  }

  /** Counts the frames by state. Walks all of them: control path. */
  census(): UmemCensus {
    const { i32 } = this.host;
    const total = this.chunkCount;
    let fillPosted = 0;
    let txPosted = 0;
    for (let chunk = 0; chunk < total; chunk++) {
      const state = i32[this.statesAt + chunk]!;
      if (state < 0) fillPosted++;
      else if (state > 0) txPosted++;
    }
    return { total, user: total - fillPosted - txPosted, fillPosted, txPosted };
  }

  /** @internal A number for the books of a queue, 1 to 32767; used ones again only when there are no others. */
  takeQueueId(): number {
    if (this.nextQueueId <= MAX_QUEUES) return this.nextQueueId++;
    return this.freeQueueIds.shift() ?? failQueues();
  }

  /** @internal No state has it any more. */
  giveQueueId(queueId: number): void {
    this.freeQueueIds.push(queueId);
  }

  /**
   * The UMEM mapped for `device`, once for all who ask; each calls {@link unmapDma}. Kernel: `xp_dma_map`.
   * @throws `ERR_NETMEM_DMA_REFUSED` (ENOMEM)
   */
  mapDma(device: DmaDevice): UmemDma {
    const known = this.dmaMaps.get(device);
    if (known !== undefined) {
      known.users++;
      return known;
    }
    const made = new UmemDma(this.host, this.geometry, device);
    this.dmaMaps.set(device, made);
    return made;
  }

  /** Drops one user of a mapping; the last one unmaps. */
  unmapDma(dma: UmemDma): void {
    if (--dma.users > 0) return;
    this.dmaMaps.delete(dma.device);
    dma.unmap();
  }

  /**
   * Gives up the UMEM. Frames of its own that users still hold keep its memory until they are home.
   * @throws `ERR_NETMEM_XSK_UMEM_BUSY` (EBUSY) while rings over it are open or the kernel has a frame; nothing has changed
   * then.
   */
  dispose(): void {
    const { fillPosted, txPosted } = this.census();
    const maps = this.dmaMaps.size;
    if (fillPosted + txPosted + maps + this.openEnds > 0) failBusy(fillPosted + txPosted, maps, this.openEnds);
    this.host.heap.freeWords(this.statesAt, 2 * this.chunkCount);
    if (this.frames === null) this.releaseMemory();
    else {
      this.frames.onGone(this.releaseMemory);
      this.frames.destroy();
    }
  }
}

function failBusy(frames: number, maps: number, ends: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_XSK_UMEM_BUSY",
    errno: "EBUSY",
    reason: `${frames} frames of the UMEM are posted, ${ends} user ends are open and ${maps} devices have it mapped`,
    remedy: "Close every socket and its rings, and call released() on those first.",
    param: "umem",
    value: frames,
  });
}

function failQueues(): never {
  throw new NetmemError({
    code: "ERR_NETMEM_XSK_QUEUES_EXHAUSTED",
    errno: "ENOSPC",
    reason: `${MAX_QUEUES} queues over this UMEM are open, or closed and not released`,
    remedy: "Close queues, and call released() on their rings.",
    param: "umem",
    value: MAX_QUEUES,
  });
}
