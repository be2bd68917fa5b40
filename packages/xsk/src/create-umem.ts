import { failParam, type Host } from "@netmem/core";
import { UmemFlag } from "./abi.ts";
import { ChunkGeometry } from "./chunk-geometry.ts";
import { createXskBuffPool } from "./create-xsk-buff-pool.ts";
import { Umem } from "./umem.ts";
import { checkUmemReg, type UmemReg } from "./umem-reg.ts";

/** Part of the arena, in bytes. */
export interface ArenaWindow {
  readonly offset: number;
  readonly bytes: number;
}

export interface UmemParams {
  /**
   * Which part of the arena it is, on page boundaries; the caller answers for the memory unless chunks are pages.
   * Default: every packet page.
   */
  readonly window?: ArenaWindow;
  /** Takes so many bytes from the host's heap instead, at most 4 MiB; chunks are the UMEM's own frames then. */
  readonly ownBytes?: number;
  /** Bytes of a chunk, 2048 to a page. Default: a page. */
  readonly chunkSizeBytes?: number;
  /** Kept free in front of received packets, beyond the kernel's 256 bytes. Default 0. */
  readonly headroomBytes?: number;
  /** `UmemFlag`. Default 0. */
  readonly flags?: number;
  /** Bytes of TX metadata, with `UmemFlag.TxMetadataLen`. Default 0. */
  readonly txMetadataBytes?: number;
  /** How much memory the kernel would lock (`RLIMIT_MEMLOCK`). Default: not looked at. */
  readonly maxLockedBytes?: number;
}

/**
 * A UMEM over arena memory, checked as `XDP_UMEM_REG` would. With chunks of a page and no memory of its own, a chunk *is*
 * a page of the host: rings are fed from any page pool, and a reference and an address differ by a shift. Otherwise the
 * chunks are readable net_iovs and `umem.frames` hands them out.
 *
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL), `ERR_NETMEM_XSK_MEMLOCK` (ENOBUFS), and what {@link createXskBuffPool} says.
 */
export function createUmem(host: Host, params: UmemParams = {}): Umem {
  const window = windowOf(host, params);
  const reg: UmemReg = {
    addr: window.offset,
    bytes: window.bytes,
    chunkSizeBytes: params.chunkSizeBytes ?? host.pageSizeBytes,
    headroomBytes: params.headroomBytes ?? 0,
    flags: params.flags ?? 0,
    txMetadataBytes: params.txMetadataBytes ?? 0,
  };
  checkInside(host, reg, params.ownBytes !== undefined);
  checkUmemReg(reg, {
    pageSizeBytes: host.pageSizeBytes,
    ...(params.maxLockedBytes === undefined ? {} : { maxLockedBytes: params.maxLockedBytes }),
  });
  if (params.ownBytes !== undefined) return createOwn(host, reg);
  const isPages = reg.chunkSizeBytes === host.pageSizeBytes && (reg.flags & UmemFlag.UnalignedChunk) === 0;
  return isPages ? createOverPages(host, reg) : createOverFrames(host, reg, () => {});
}

function windowOf(host: Host, { window, ownBytes }: UmemParams): ArenaWindow {
  if (ownBytes !== undefined) {
    if (window !== undefined) failParam("ownBytes", ownBytes, "absent beside a window", "Pass one of the two.");
    return { offset: 0, bytes: ownBytes };
  }
  if (window !== undefined) return window;
  const { firstPageIdx, pageShift, pageCount } = host.layout;
  return { offset: firstPageIdx * 2 ** pageShift, bytes: (pageCount - firstPageIdx) * 2 ** pageShift };
}

function checkInside(host: Host, { addr, bytes }: UmemReg, isOwn: boolean): void {
  const { firstPageIdx, pageShift, arenaBytes } = host.layout;
  if (isOwn || (addr >= firstPageIdx * 2 ** pageShift && addr + bytes <= arenaBytes)) return;
  failParam("window", `${addr} + ${bytes}`, "inside the packet pages of the arena", "Pass arena byte offsets.");
}

function createOverPages(host: Host, reg: UmemReg): Umem {
  const geometry = new ChunkGeometry(reg);
  return new Umem(host, {
    geometry,
    firstIdx: reg.addr >>> host.pageShift,
    tag: 0,
    frames: null,
    releaseMemory: () => {},
  });
}

function createOverFrames(host: Host, reg: UmemReg, releaseMemory: () => void): Umem {
  const geometry = new ChunkGeometry(reg);
  const frames = createXskBuffPool(host, { name: "umem frames", geometry, fill: null });
  try {
    return new Umem(host, { geometry, firstIdx: frames.area.firstIdx, tag: 1, frames, releaseMemory });
  } catch (error) {
    frames.destroy();
    throw error;
  }
}

function createOwn(host: Host, reg: UmemReg): Umem {
  // At least a page, so that the block starts on one.
  const words = Math.ceil(Math.max(reg.bytes, host.pageSizeBytes) / 4);
  const at = host.heap.allocWords(words);
  const releaseMemory = (): void => host.heap.freeWords(at, words);
  try {
    return createOverFrames(host, { ...reg, addr: at * 4 }, releaseMemory);
  } catch (error) {
    releaseMemory();
    throw error;
  }
}
