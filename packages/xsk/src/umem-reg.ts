import { failParam, NetmemError } from "@netmem/core";
import { UmemFlag, XDP_PACKET_HEADROOM } from "./abi.ts";

/** What a UMEM is registered with (kernel: `xdp_umem_reg`). Bytes. */
export interface UmemReg {
  /** Where it starts; a multiple of the page size. */
  readonly addr: number;
  readonly bytes: number;
  readonly chunkSizeBytes: number;
  /** Kept free in front of every received packet, beyond the kernel's own 256 bytes. */
  readonly headroomBytes: number;
  /** `UmemFlag`. */
  readonly flags: number;
  /** Metadata in front of transmitted data. Looked at with `UmemFlag.TxMetadataLen` only. */
  readonly txMetadataBytes: number;
}

/** What the kernel compares a registration with. */
export interface UmemLimits {
  readonly pageSizeBytes: number;
  /** How much memory may be locked (`RLIMIT_MEMLOCK`). Default: no limit. */
  readonly maxLockedBytes?: number;
}

export const MIN_CHUNK_BYTES = 2048;
const KNOWN_FLAGS = UmemFlag.UnalignedChunk | UmemFlag.TxSwCsum | UmemFlag.TxMetadataLen;
const U32_MAX = 2 ** 32 - 1;
/** What must be left of a chunk: the kernel's headroom, a shared info, and 128 bytes of packet. */
const SHARED_INFO_BYTES = 320;
const LEAST_FRAME_BYTES = 128;
const MIN_TX_METADATA_BYTES = 16;
const MAX_TX_METADATA_BYTES = 255;

/** Chunks of a UMEM: a rest is allowed where chunks need no alignment. */
export function chunkCountOf(reg: UmemReg): number {
  return Math.floor(reg.bytes / reg.chunkSizeBytes);
}

/** Largest headroom for a chunk size. */
export function maxHeadroomBytes(chunkSizeBytes: number): number {
  return chunkSizeBytes - XDP_PACKET_HEADROOM - SHARED_INFO_BYTES - LEAST_FRAME_BYTES;
}

/**
 * Everything that the kernel checks when a UMEM is registered, in its order.
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) naming what is wrong; `ERR_NETMEM_XSK_MEMLOCK` (ENOBUFS).
 */
export function checkUmemReg(reg: UmemReg, limits: UmemLimits): void {
  checkChunkSize(reg, limits.pageSizeBytes);
  checkRange(reg, limits.pageSizeBytes);
  checkRoom(reg);
  const max = limits.maxLockedBytes ?? Infinity;
  if (reg.bytes > max) failLocked(reg.bytes, max);
}

function checkChunkSize(reg: UmemReg, pageSizeBytes: number): void {
  const { chunkSizeBytes, flags } = reg;
  const isInteger = Number.isInteger(chunkSizeBytes);
  if (!isInteger || chunkSizeBytes < MIN_CHUNK_BYTES || chunkSizeBytes > pageSizeBytes) {
    const expected = `${MIN_CHUNK_BYTES} to ${pageSizeBytes}`;
    failParam("chunkSizeBytes", chunkSizeBytes, expected, "A chunk is at most a page.");
  }
  if ((flags & ~KNOWN_FLAGS) !== 0) failParam("flags", flags, "bits of UmemFlag", "Clear the others.");
  const isPowerOfTwo = (chunkSizeBytes & (chunkSizeBytes - 1)) === 0;
  if ((flags & UmemFlag.UnalignedChunk) === 0 && !isPowerOfTwo) {
    failParam("chunkSizeBytes", chunkSizeBytes, "a power of two", "Or set UmemFlag.UnalignedChunk.");
  }
}

function checkRange(reg: UmemReg, pageSizeBytes: number): void {
  const { addr, bytes, flags } = reg;
  if (!Number.isInteger(addr) || addr < 0 || addr % pageSizeBytes !== 0) {
    failParam("addr", addr, `a multiple of ${pageSizeBytes}`, "Start the UMEM on a page.");
  }
  if (!Number.isInteger(bytes) || bytes < 0 || addr + bytes > 2 ** 64) {
    failParam("bytes", bytes, "a size that does not wrap", "Pass the length in bytes.");
  }
  const chunks = chunkCountOf(reg);
  if (bytes / pageSizeBytes > U32_MAX || chunks > U32_MAX || chunks === 0) {
    failParam("bytes", bytes, "1 to 2^32 - 1 chunks and pages", "Pass at least one chunk.");
  }
  if ((flags & UmemFlag.UnalignedChunk) === 0 && bytes % reg.chunkSizeBytes !== 0) {
    failParam("bytes", bytes, "a multiple of the chunk size", "Round it down to whole chunks.");
  }
}

function checkRoom(reg: UmemReg): void {
  const { headroomBytes, txMetadataBytes, flags } = reg;
  const max = maxHeadroomBytes(reg.chunkSizeBytes);
  if (!Number.isInteger(headroomBytes) || headroomBytes < 0 || headroomBytes > max) {
    failParam("headroomBytes", headroomBytes, `0 to ${max}`, "Leave room for the packet in the chunk.");
  }
  if ((flags & UmemFlag.TxMetadataLen) === 0) return;
  const isSized = txMetadataBytes >= MIN_TX_METADATA_BYTES && txMetadataBytes <= MAX_TX_METADATA_BYTES;
  if (!isSized || txMetadataBytes % 8 !== 0) {
    failParam("txMetadataBytes", txMetadataBytes, "a multiple of 8 from 16 to 248", "Or clear UmemFlag.TxMetadataLen.");
  }
}

function failLocked(bytes: number, max: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_XSK_MEMLOCK",
    errno: "ENOBUFS",
    reason: `a UMEM of ${bytes} bytes is more than the ${max} bytes that may be locked`,
    remedy: "Make the UMEM smaller, raise RLIMIT_MEMLOCK, or run with CAP_IPC_LOCK.",
    param: "bytes",
    value: bytes,
  });
}
