/*
 * data path
 *
 *  dataHardStart          dataMeta   data            dataEnd                 dataHardStart + frameSz
 *  |                      |          |               |                       |
 *  +--------------+-------+----------+---------------+------------+----------+
 *  | frame record | head- | metadata | packet        | tailroom   | shared   |
 *  | 40 bytes     | room  | <= 252   |               |            | info 320 |
 *  +--------------+-------+----------+---------------+------------+----------+
 *
 * All positions are arena byte offsets.
 */
import {
  type Host,
  IDX_MASK as IDX_MASK_,
  META_SHARED,
  type NetmemRef,
  type ReadableRef,
  returnNetmemRxNapi as returnNetmemRxNapi_,
  type XdpRxqInfo,
} from "@netmem/core";
import { fragFlags as fragFlags_ } from "./buffer-type.ts";
import {
  FRAG_LEN as FRAG_LEN_,
  FRAG_OFFSET as FRAG_OFFSET_,
  FRAG_REF as FRAG_REF_,
  FRAG_TRUESIZE as FRAG_TRUESIZE_,
  fragAt as fragAt_,
  MAX_SKB_FRAGS,
  returnFragsRxNapi as returnFragsRxNapi_,
  SHARED_INFO_BYTES,
  SHINFO_NR_FRAGS,
  SHINFO_XDP_FRAGS_SIZE,
  SHINFO_XDP_FRAGS_TRUESIZE,
  sharedInfoAt as sharedInfoAt_,
  writeFrag as writeFrag_,
} from "./shared-info.ts";
import { FRAME_BYTES } from "./frame-record.ts";
import { XdpFlag } from "./xdp-flags.ts";
import { flagsOfFrags, growLastFrag, shrinkFrags } from "./xdp-tail.ts";

const returnNetmemRxNapi = returnNetmemRxNapi_;
const fragFlags = fragFlags_;
const fragAt = fragAt_;
const returnFragsRxNapi = returnFragsRxNapi_;
const sharedInfoAt = sharedInfoAt_;
const writeFrag = writeFrag_;
const IDX_MASK = IDX_MASK_;
const SHARED = META_SHARED;
const FRAG_REF = FRAG_REF_;
const FRAG_OFFSET = FRAG_OFFSET_;
const FRAG_LEN = FRAG_LEN_;
const FRAG_TRUESIZE = FRAG_TRUESIZE_;
const TAIL_BYTES = SHARED_INFO_BYTES;
const RECORD_BYTES = FRAME_BYTES;
const NR_FRAGS = SHINFO_NR_FRAGS;
const FRAGS_SIZE = SHINFO_XDP_FRAGS_SIZE;
const FRAGS_TRUESIZE = SHINFO_XDP_FRAGS_TRUESIZE;
const MAX_FRAGS = MAX_SKB_FRAGS;
const HAS_FRAGS = XdpFlag.HasFrags;

/** Metadata in front of a packet: a multiple of 4 bytes, at most this many. */
export const MAX_METADATA_BYTES = 252;
/** What every packet keeps: an Ethernet header. */
const MIN_LINEAR_BYTES = 14;

export interface XdpBuffOptions {
  /**
   * Frames of this queue are the kernel's: one memory type for head and fragments, the queue's. Packets that mix types
   * do not become frames then. Default false: every buffer of a frame has its own type.
   */
  readonly kernelFrames?: boolean;
}

/**
 * The packet that a queue's poll looks at (kernel: `xdp_buff`). One per queue, reused: fields are valid between
 * {@link prepare} and the verdict. Programs may read the bytes `[data, dataEnd)` of `host.u8` and move `data` and
 * `dataEnd` by the `adjust` methods only.
 */
export class XdpBuff {
  declare readonly host: Host;
  declare private readonly i32: Int32Array;
  declare dataHardStart: number;
  declare data: number;
  declare dataEnd: number;
  /** Equal to `data` while there is no metadata; `data + 1` for a queue without metadata. */
  declare dataMeta: number;
  /** {@link XdpFlag}. */
  declare flags: number;
  /** Bytes of the head buffer, shared info included; a multiple of 4. The queue's, or that of a frame's buffer. */
  declare frameSz: number;
  /** The head buffer. Belongs to whoever holds the xdp_buff until a verdict moves it on. */
  declare headRef: ReadableRef;
  /** Receive-side scaling hash as the hardware computed it, 0 when it had none. */
  declare hash: number;
  /** Where a program that answers REDIRECT wants the packet to go. */
  declare redirectIfindex: number;
  declare readonly rxq: XdpRxqInfo;
  declare readonly kernelFrames: boolean;

  /** `frameSz` is the size of the queue's head buffers in bytes (kernel: `xdp_init_buff`). */
  constructor(host: Host, rxq: XdpRxqInfo, frameSz: number, options: XdpBuffOptions = {}) {
    this.host = host;
    this.i32 = host.i32;
    this.dataHardStart = 0;
    this.data = 0;
    this.dataEnd = 0;
    this.dataMeta = 0;
    this.flags = 0;
    this.frameSz = frameSz;
    this.headRef = 0 as ReadableRef;
    this.hash = 0;
    this.redirectIfindex = 0;
    this.rxq = rxq;
    this.kernelFrames = options.kernelFrames ?? false;
  }

  /**
   * Looks at a new packet: `len` bytes at `hardStart + headroom` of head buffer `ref` (kernel: `xdp_prepare_buff`).
   * `hardStart` is an arena byte offset, a multiple of 4.
   */
  prepare(ref: ReadableRef, hardStart: number, headroom: number, len: number): void {
    const data = hardStart + headroom;
    this.headRef = ref;
    this.dataHardStart = hardStart;
    this.data = data;
    this.dataMeta = data;
    this.dataEnd = data + len;
    this.flags = 0;
  }

  /** After {@link prepare}: this packet can have no metadata (kernel: `xdp_set_data_meta_invalid`). */
  refuseMetadata(): void {
    this.dataMeta = this.data + 1;
  }

  /** Bytes of metadata, 0 when there can be none. */
  get metaLen(): number {
    const bytes = this.data - this.dataMeta;
    return bytes > 0 ? bytes : 0;
  }

  /** Bytes of the whole packet, fragments included. */
  get len(): number {
    const linear = this.dataEnd - this.data;
    return (this.flags & HAS_FRAGS) === 0 ? linear : linear + this.i32[this.sharedInfoAt() + FRAGS_SIZE]!;
  }

  get nrFrags(): number {
    return (this.flags & HAS_FRAGS) === 0 ? 0 : this.i32[this.sharedInfoAt() + NR_FRAGS]!;
  }

  /** Word offset of the head buffer's shared info. */
  sharedInfoAt(): number {
    return sharedInfoAt(this.dataHardStart, this.frameSz);
  }

  /**
   * Appends `len` bytes at `offset` of netmem `ref`; `truesize` is what they occupy. A piece that continues the previous
   * one in the same shared netmem is merged with it, and its reference dropped. False when 17 fragments are there:
   * the reference stays with the caller. Kernel: `xdp_buff_add_frag`.
   */
  addFrag(ref: NetmemRef, offset: number, len: number, truesize: number): boolean {
    const i32 = this.i32;
    const at = this.sharedInfoAt();
    if ((this.flags & HAS_FRAGS) === 0) this.startFrags(at);
    const count = i32[at + NR_FRAGS]!;
    const meta = i32[(ref >>> 1) & IDX_MASK]!;
    const merged =
      count > 0 && (meta & SHARED) !== 0 && this.mergeFrag(fragAt(at, count - 1), ref, offset, len, truesize);
    if (!merged) {
      if (count === MAX_FRAGS) return false;
      writeFrag(i32, at, count, ref, offset, len, truesize);
      i32[at + NR_FRAGS] = count + 1;
      this.flags |= fragFlags(this.host, ref, meta);
    }
    i32[at + FRAGS_SIZE] = i32[at + FRAGS_SIZE]! + len;
    i32[at + FRAGS_TRUESIZE] = i32[at + FRAGS_TRUESIZE]! + truesize;
    return true;
  }

  /**
   * Moves the packet's start by `delta` bytes, metadata with it; negative grows into the headroom. False, and nothing
   * changed, when the frame record would be overwritten or less than an Ethernet header be left.
   */
  adjustHead(delta: number): boolean {
    const metaBytes = this.metaLen;
    const data = this.data + delta;
    if (data - metaBytes < this.dataHardStart + RECORD_BYTES || data > this.dataEnd - MIN_LINEAR_BYTES) return false;
    if (metaBytes > 0) this.host.u8.copyWithin(data - metaBytes, this.dataMeta, this.data);
    this.data = data;
    this.dataMeta = this.dataMeta + delta;
    return true;
  }

  /**
   * Moves the end of the packet by `delta` bytes; new bytes are zero. Fragments that become empty go home. False, and
   * nothing changed, when less than an Ethernet header would be left, when the shared info would be reached, or, with
   * fragments, when the last one has no room: it grows within the queue's `rxq.fragSizeBytes`, if that is set.
   */
  adjustTail(delta: number): boolean {
    if ((this.flags & HAS_FRAGS) !== 0) return delta < 0 ? this.shrinkTail(-delta) : this.growTail(delta);
    const end = this.dataEnd + delta;
    if (end < this.data + MIN_LINEAR_BYTES) return false;
    if (end > this.dataHardStart + this.frameSz - TAIL_BYTES) return false;
    if (delta > 0) this.host.u8.fill(0, this.dataEnd, end);
    this.dataEnd = end;
    return true;
  }

  /**
   * Moves the start of the metadata by `delta` bytes (negative: more metadata). False, and nothing changed, unless the
   * result is 0 to 252 bytes, a multiple of 4, and leaves the frame record alone; always after {@link refuseMetadata}.
   */
  adjustMeta(delta: number): boolean {
    if (this.dataMeta > this.data) return false;
    const meta = this.dataMeta + delta;
    const metaBytes = this.data - meta;
    if (meta < this.dataHardStart + RECORD_BYTES || !isMetadataLength(metaBytes)) return false;
    this.dataMeta = meta;
    return true;
  }

  /** Gives fragments, in order, and head back to their owners (kernel: `xdp_return_buff`). Poll of the queue's NAPI only. */
  returnBuff(): void {
    if ((this.flags & HAS_FRAGS) !== 0) returnFragsRxNapi(this.host, this.sharedInfoAt());
    returnNetmemRxNapi(this.host, this.headRef);
  }

  private startFrags(at: number): void {
    this.i32[at + NR_FRAGS] = 0;
    this.i32[at + FRAGS_SIZE] = 0;
    this.i32[at + FRAGS_TRUESIZE] = 0;
    this.flags |= HAS_FRAGS;
  }

  /** Only a shared netmem can come twice: with an exclusive one there is no second reference to drop. */
  private mergeFrag(prevAt: number, ref: NetmemRef, offset: number, len: number, truesize: number): boolean {
    const i32 = this.i32;
    const prevLen = i32[prevAt + FRAG_LEN]!;
    if (i32[prevAt + FRAG_REF] !== ref || i32[prevAt + FRAG_OFFSET]! + prevLen !== offset) return false;
    returnNetmemRxNapi(this.host, ref);
    i32[prevAt + FRAG_LEN] = prevLen + len;
    i32[prevAt + FRAG_TRUESIZE] = i32[prevAt + FRAG_TRUESIZE]! + truesize;
    return true;
  }

  private shrinkTail(bytes: number): boolean {
    if (bytes > this.len - MIN_LINEAR_BYTES) return false;
    const at = this.sharedInfoAt();
    this.dataEnd -= shrinkFrags(this.host, at, bytes);
    this.flags = flagsOfFrags(this.host, at);
    return true;
  }

  private growTail(bytes: number): boolean {
    const fragSize = this.rxq.fragSizeBytes;
    if (fragSize <= 0 || fragSize > this.frameSz || this.nrFrags === 0) return false;
    return growLastFrag(this.host, this.sharedInfoAt(), fragSize, bytes);
  }
}

/** Whether a packet may carry that many bytes of metadata (kernel: `xdp_metalen_invalid`, negated). */
export function isMetadataLength(bytes: number): boolean {
  return bytes >= 0 && bytes <= MAX_METADATA_BYTES && (bytes & 3) === 0;
}
