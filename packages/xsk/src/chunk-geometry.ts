/*
 * data path
 *
 * Which part of the arena a UMEM is, how it is cut, and what the kernel accepts as an address in it. Offsets count from
 * the UMEM's first byte; the arena has at most 2 GiB, so a valid one is a small integer and its high word tells nothing
 * but, for unaligned chunks, where in the chunk the data begins.
 */
import { DescOption, UmemFlag } from "./abi.ts";
import { chunkCountOf, type UmemReg } from "./umem-reg.ts";

const KNOWN_OPTIONS = DescOption.PktContd | DescOption.TxMetadata;

export class ChunkGeometry {
  declare readonly isAligned: boolean;
  /** log2 of the chunk size; of aligned chunks only. */
  declare readonly shift: number;
  declare readonly chunkSizeBytes: number;
  declare readonly bytes: number;
  declare readonly chunkCount: number;
  /** Arena byte offset of address 0. */
  declare readonly offset: number;
  declare readonly headroomBytes: number;
  declare readonly txMetadataBytes: number;
  declare readonly flags: number;

  /** `reg` has passed `checkUmemReg`; its `addr` is an arena byte offset. */
  constructor(reg: UmemReg) {
    this.isAligned = (reg.flags & UmemFlag.UnalignedChunk) === 0;
    this.shift = 31 - Math.clz32(reg.chunkSizeBytes);
    this.chunkSizeBytes = reg.chunkSizeBytes | 0;
    this.bytes = reg.bytes | 0;
    this.chunkCount = chunkCountOf(reg) | 0;
    this.offset = reg.addr | 0;
    this.headroomBytes = reg.headroomBytes | 0;
    this.txMetadataBytes = (reg.flags & UmemFlag.TxMetadataLen) === 0 ? 0 : reg.txMetadataBytes | 0;
    this.flags = reg.flags;
  }

  /** Chunk that the byte at `offset` lies in, not checked. */
  chunkOf(offset: number): number {
    return this.isAligned ? offset >>> this.shift : (offset / this.chunkSizeBytes) | 0;
  }

  /** Offset of a chunk's first byte. */
  startOf(chunk: number): number {
    return this.isAligned ? chunk << this.shift : (chunk * this.chunkSizeBytes) | 0;
  }

  /**
   * Offset that a fill address means to the kernel, -1 for one that it skips: outside the UMEM, or a chunk that would
   * leave it (`xp_check_aligned`, `xp_check_unaligned` without the question of contiguous pages).
   */
  fillOffset(low: number, high: number): number {
    if (!this.isAligned) {
      if ((high & 0xffff) !== 0 || low < 0 || low > this.bytes - this.chunkSizeBytes) return -1;
      return low;
    }
    if (high !== 0 || low < 0 || low >= this.bytes) return -1;
    return low & -this.chunkSizeBytes;
  }

  /**
   * Offset of the bytes that a TX descriptor names, -1 for one that the kernel does not send
   * (`xp_aligned_validate_desc`, `xp_unaligned_validate_desc` without the question of contiguous pages).
   */
  txOffset(low: number, high: number, lenBytes: number, options: number): number {
    if (lenBytes === 0 || (options & ~KNOWN_OPTIONS) !== 0) return -1;
    const metadata = this.txMetadataBytes;
    const size = this.chunkSizeBytes;
    if (lenBytes < 0 || lenBytes > size - metadata || low < 0) return -1;
    if (this.isAligned) {
      const from = low - metadata;
      if (high !== 0 || from < 0 || from >= this.bytes) return -1;
      return (from & (size - 1)) + lenBytes + metadata > size ? -1 : low;
    }
    if ((high & 0xffff) !== 0) return -1;
    // A double for a moment, where the sum passes 2^31; what is compared with `bytes` is exact.
    const data = low + (high >>> 16);
    if (data - metadata < 0 || data + lenBytes > this.bytes) return -1;
    return data | 0;
  }
}

/** Payload bytes of a received descriptor at most, in copy mode. */
export function copyFrameBytes(geometry: ChunkGeometry): number {
  return geometry.chunkSizeBytes - geometry.headroomBytes - 256;
}

/** The same as a zero-copy driver sees it: whole 128 bytes, and room for the shared info when packets have fragments. */
export function zeroCopyFrameBytes(geometry: ChunkGeometry, hasFrags: boolean): number {
  return (copyFrameBytes(geometry) & ~127) - (hasFrags ? 320 : 0);
}
