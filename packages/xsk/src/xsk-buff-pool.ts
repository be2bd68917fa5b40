/*
 * data path
 *
 * Buffers of a UMEM as readable net_iovs, one per chunk (kernel: `xsk_buff_pool`). The free list is the owner record's
 * return stack with a spill behind it, so buffers come home through the table-driven return like any other.
 *
 *  with a fill ring     a kernel's pool: chunks come from the ring, go to the user with `deliver`, and stay with the
 *                       kernel when they are freed
 *  without              a user's frames: all chunks are in the free list to begin with
 *
 * Words of a buffer, four of them:  0 data  1 end of the data  2 start of the metadata  3 flags     (arena byte offsets)
 */
import {
  failReturn,
  GEN_ONE as GEN_ONE_,
  GEN_SHIFT as GEN_SHIFT_,
  type Host,
  IDX_MASK as IDX_MASK_,
  META_FREE,
  META_GEN_MASK,
  META_SHARED,
  MemType,
  type NetIovArea,
  type NetmemRef,
  NetmemState,
  OWN_HOLD as OWN_HOLD_,
  OWN_LIMIT,
  OWN_RELEASE as OWN_RELEASE_,
  OWNER_STACK_SIZE,
  ownerTag,
  REF_MASK as REF_MASK_,
  unrefNetmem,
} from "@netmem/core";
import { XDP_PACKET_HEADROOM } from "./abi.ts";
import type { AddrConsumer } from "./addr-ring.ts";
import type { ChunkGeometry } from "./chunk-geometry.ts";
import { FillSource } from "./fill-source.ts";
import type { UmemDma } from "./umem-dma.ts";
import { XskFreeList } from "./xsk-free-list.ts";
import { claimPool, type PoolHome, releaseHome } from "./xsk-pool-home.ts";

const GEN_ONE = GEN_ONE_;
const GEN_SHIFT = GEN_SHIFT_;
const IDX_MASK = IDX_MASK_;
const REF_MASK = REF_MASK_;
const HOLD = OWN_HOLD_;
const RELEASE = OWN_RELEASE_;
const STACK_SIZE = OWNER_STACK_SIZE;
const HEADROOM = XDP_PACKET_HEADROOM;
const FREE = META_FREE;
const SHARED = META_SHARED;
const GEN_MASK = META_GEN_MASK;
const MAX_FRAGS = 64;
const DATA = 0;
const END = 1;
const META = 2;
const FLAGS = 3;

/** Flags of a buffer: it is the first of a packet whose others are on the pool's fragment list. */
export const XSK_BUFF_HAS_FRAGS = 1;

export interface XskBuffPoolParams {
  readonly name: string;
  readonly geometry: ChunkGeometry;
  /** Where a kernel's pool takes chunks from; null for a user's frames. */
  readonly fill: AddrConsumer | null;
  /** The UMEM as the pool's device sees it. */
  readonly dma?: UmemDma | null;
}

/** What a pool counted, and where its buffers are. */
export interface XskBuffPoolStats {
  /** Allocations that found neither a free buffer nor a fill entry (`fq.queue_empty_descs`). */
  readonly queueEmptyDescs: number;
  /** Fill entries that name no chunk (`fq.invalid_descs`). */
  readonly invalidDescs: number;
  /** Fill entries that name a chunk the pool has already; the kernel hands it out twice. */
  readonly aliasedDescs: number;
  /** Second frees of a buffer in the free list: nothing happened. */
  readonly doubleFrees: number;
  readonly free: number;
  /** With the driver, the stack or, of a user's frames, posted. */
  readonly out: number;
}

/** One thread: its owner's. */
export class XskBuffPool {
  declare readonly i32: Int32Array;
  /** @internal Word offset of the owner record. */
  declare readonly at: number;
  declare private readonly outTag: number;
  declare private readonly pooledTag: number;
  declare private readonly firstIdx: number;
  /** Arena byte offset of every buffer. */
  declare private readonly offsetsAt: number;
  declare private readonly headsAt: number;
  declare private readonly list: XskFreeList;
  declare private readonly source: FillSource | null;
  declare readonly fill: AddrConsumer | null;
  declare readonly geometry: ChunkGeometry;
  declare readonly dma: UmemDma | null;
  declare private readonly needsSync: boolean;
  /** Fragments of the packet that the driver is putting together. */
  declare private readonly frags: Int32Array;
  declare private fragCount: number;
  declare private doubleFrees: number;
  declare readonly host: Host;
  declare readonly name: string;
  declare readonly memType: number;
  declare readonly ownerId: number;
  declare readonly area: NetIovArea;
  declare private readonly home: PoolHome;

  /** @internal Use `createXskBuffPool`. */
  constructor(host: Host, params: XskBuffPoolParams) {
    const { geometry } = params;
    this.memType = MemType.XskBuffPool;
    this.name = params.name;
    const home = claimPool(host, geometry, this);
    this.i32 = host.i32;
    this.at = host.owners.recordAt(home.ownerId);
    this.outTag = ownerTag(home.ownerId, NetmemState.Out);
    this.pooledTag = ownerTag(home.ownerId, NetmemState.Pooled);
    this.firstIdx = home.area.firstIdx;
    this.offsetsAt = home.offsetsAt;
    this.headsAt = home.headsAt;
    this.list = new XskFreeList(host.i32, this.at, home.spillAt, this.outTag);
    this.dma = params.dma ?? null;
    this.source = this.createSource(params, home);
    this.fill = params.fill;
    this.geometry = geometry;
    this.needsSync = params.dma?.device.needsSync ?? false;
    this.frags = new Int32Array(MAX_FRAGS);
    this.fragCount = 0;
    this.doubleFrees = 0;
    this.host = host;
    this.ownerId = home.ownerId;
    this.area = home.area;
    this.home = home;
    this.i32[this.at + OWN_LIMIT] = STACK_SIZE;
    if (params.fill === null) this.takeAll();
  }

  /** Buffers in the free list. */
  get freeCount(): number {
    return this.list.count;
  }

  /** Buffers that left the free list and are neither back nor delivered. */
  get outCount(): number {
    return ((this.i32[this.at + HOLD]! - this.i32[this.at + RELEASE]!) | 0) - this.freeCount;
  }

  /** Arena byte offset of the buffer's first byte. */
  startOf(ref: NetmemRef): number {
    return this.i32[this.offsetsAt + ((ref >>> 1) & IDX_MASK) - this.firstIdx]!;
  }

  /** Arena byte offset where the packet begins. */
  dataOf(ref: NetmemRef): number {
    return this.i32[this.wordsOf(ref) + DATA]!;
  }

  /** Bytes of packet in the buffer. */
  lenOf(ref: NetmemRef): number {
    const at = this.wordsOf(ref);
    return this.i32[at + END]! - this.i32[at + DATA]!;
  }

  /** Arena byte offset where the metadata begins; that of the packet while there is none. */
  metaOf(ref: NetmemRef): number {
    return this.i32[this.wordsOf(ref) + META]!;
  }

  flagsOf(ref: NetmemRef): number {
    return this.i32[this.wordsOf(ref) + FLAGS]!;
  }

  /** Says what the driver received: `lenBytes` bytes at arena byte offset `data`, `metaBytes` in front of them. */
  setData(ref: NetmemRef, data: number, lenBytes: number, metaBytes: number): void {
    const at = this.wordsOf(ref);
    this.i32[at + DATA] = data;
    this.i32[at + END] = data + lenBytes;
    this.i32[at + META] = data - metaBytes;
  }

  /** The packet begins where the kernel puts it, has `lenBytes` bytes and no fragments so far (`xsk_buff_set_size`). */
  setSize(ref: NetmemRef, lenBytes: number): void {
    this.i32[this.wordsOf(ref) + FLAGS] = 0;
    this.setData(ref, this.startOf(ref) + this.geometry.headroomBytes + HEADROOM, lenBytes, 0);
  }

  /** Device page frame number of the buffer's packet; the page offset is that of {@link dataOf}. */
  pfnOf(ref: NetmemRef): number {
    const data = this.startOf(ref) + this.geometry.headroomBytes + HEADROOM;
    return this.dma === null ? data >>> this.host.pageShift : this.dma.pfnAt(data - this.geometry.offset);
  }

  /** One buffer with fresh data and flags, 0 when there is none (`xp_alloc`). 3 ns from the free list. */
  allocNetmem(): NetmemRef | 0 {
    let ref = this.list.pop();
    if (ref === 0 && this.source !== null && !this.home.isDead) ref = this.source.takeOne();
    if (ref !== 0) this.reset(ref);
    return ref;
  }

  /**
   * Up to `max` buffers into `out[0..n)`; returns n (`xp_alloc_batch`). Data and flags are those of the last use, unless the
   * device needs syncs. Fill entries that are no chunks are consumed and not replaced, so n may be short.
   */
  allocBulk(out: Int32Array, max: number): number {
    if (this.needsSync) return this.allocOneByOne(out, max);
    const n = this.list.popMany(out, max);
    return n >= max || this.source === null || this.home.isDead ? n : this.source.takeMany(out, n, max);
  }

  /** Whether `count` allocations could succeed; addresses are not looked at (`xp_can_alloc`). */
  canAlloc(count: number): boolean {
    const missing = count - this.list.count;
    return missing <= 0 || (this.source !== null && !this.home.isDead && this.source.has(missing));
  }

  /**
   * Puts a buffer into the free list (`xp_free`); one that is there already stays, and is counted. It does not go back to
   * the fill ring.
   * @throws a misuse error for anything but a live buffer of this pool; nothing has changed then.
   */
  free(ref: NetmemRef): void {
    const idx = (ref >>> 1) & IDX_MASK;
    if (this.i32[idx] === (this.outTag | (ref >> GEN_SHIFT))) return this.push(this.arm(ref));
    const next = (ref + GEN_ONE) & REF_MASK;
    if (ref > 0 && this.i32[idx] === (this.pooledTag | (next >>> GEN_SHIFT))) {
      this.doubleFrees = (this.doubleFrees + 1) | 0;
      return;
    }
    this.returnSlow(ref);
  }

  /** Appends a buffer to the packet that starts with `head` (`xsk_buff_add_frag`). False when it has 64 already. */
  addFrag(head: NetmemRef, ref: NetmemRef): boolean {
    if (this.fragCount === MAX_FRAGS) return false;
    this.frags[this.fragCount++] = ref;
    this.i32[this.wordsOf(head) + FLAGS] = XSK_BUFF_HAS_FRAGS;
    return true;
  }

  /** Takes the next fragment off the list, 0 when there is none (`xsk_buff_get_frag`). The list is one per pool. */
  takeFrag(): NetmemRef | 0 {
    if (this.fragCount === 0) return 0;
    const ref = this.frags[0]! as NetmemRef;
    this.frags.copyWithin(0, 1, this.fragCount--);
    return ref;
  }

  /** Fragments on the list. */
  get pendingFrags(): number {
    return this.fragCount;
  }

  /** Frees a packet: with fragments everything on the list, then the head (`xsk_buff_free`). */
  freePacket(head: NetmemRef): void {
    const at = this.wordsOf(head);
    if ((this.i32[at + FLAGS]! & XSK_BUFF_HAS_FRAGS) !== 0) {
      for (let n = 0; n < this.fragCount; n++) this.free(this.frags[n]! as NetmemRef);
      this.fragCount = 0;
      this.i32[at + FLAGS] = 0;
    }
    this.free(head);
  }

  /** The user has the chunk from now on: the reference is dead, the buffer not the pool's any more. */
  deliver(ref: NetmemRef): void {
    this.checkExclusive(ref);
    this.forget((ref + GEN_ONE) & REF_MASK);
  }

  /** @throws a misuse error unless all of the packet that starts with `head` can be delivered: nobody else holds a piece. */
  checkDeliverable(head: NetmemRef): void {
    this.checkExclusive(head);
    for (let n = 0; n < this.fragCount; n++) this.checkExclusive(this.frags[n]! as NetmemRef);
  }

  /** As {@link free}, for `QueueAllocator`: syncs happen at the allocation. */
  put(ref: NetmemRef, _dmaSyncSize: number, _allowDirect: boolean): void {
    this.returnSlow(ref);
  }

  /** Slow path of the return dispatch: shared, the stack is full, or the pool is on its way out. */
  returnSlow(ref: NetmemRef): void {
    const meta = this.i32[(ref >>> 1) & IDX_MASK]!;
    if ((meta & ~SHARED) !== (this.outTag | (ref >>> GEN_SHIFT)) || ref <= 0) failReturn(this.host, ref, this.ownerId);
    if ((meta & SHARED) !== 0) {
      const left = unrefNetmem(this.host, ref, 1);
      if (left > 0) return;
      if (left < 0) failReturn(this.host, ref, this.ownerId);
    }
    this.push(this.arm(ref));
  }

  /** Takes references that came home re-armed (`MemModel.drain`). */
  takeHome(refs: Int32Array, count: number): void {
    for (let n = 0; n < count; n++) this.push(refs[n]!);
  }

  stats(): XskBuffPoolStats {
    return {
      queueEmptyDescs: (this.source?.queueEmptyDescs ?? 0) >>> 0,
      invalidDescs: (this.source?.invalidDescs ?? 0) >>> 0,
      aliasedDescs: (this.source?.aliasedDescs ?? 0) >>> 0,
      doubleFrees: this.doubleFrees >>> 0,
      free: this.freeCount,
      out: this.outCount,
    };
  }

  /** Called by the memory registry: one more user, and whom to tell at the end. Control path. */
  useMem(_memId: number, disconnect: () => void): void {
    this.home.users++;
    this.home.onGone.push(disconnect);
  }

  /** Calls `done` when the last buffer is home after the pool was destroyed. Control path. */
  onGone(done: () => void): void {
    this.home.onGone.push(done);
  }

  /**
   * Drops a user; the last one empties the free list. The pool is gone once the driver and the stack have returned
   * everything else. Control path.
   */
  destroy(): void {
    if (--this.home.users > 0 || this.home.isDead) return;
    this.home.isDead = true;
    this.i32[this.at + OWN_LIMIT] = 0;
    for (let next = this.list.takeArmed(); next !== 0; next = this.list.takeArmed()) this.forget(next);
    this.finish();
  }

  private checkExclusive(ref: NetmemRef): void {
    const meta = this.i32[(ref >>> 1) & IDX_MASK];
    if (meta !== (this.outTag | (ref >> GEN_SHIFT))) failReturn(this.host, ref, this.ownerId);
  }

  private finish(): void {
    if (this.i32[this.at + HOLD] === this.i32[this.at + RELEASE]) releaseHome(this.host, this.home);
  }

  private wordsOf(ref: NetmemRef): number {
    return this.headsAt + ((((ref >>> 1) & IDX_MASK) - this.firstIdx) << 2);
  }

  private reset(ref: NetmemRef): void {
    const { i32 } = this;
    const at = this.wordsOf(ref);
    const data = this.startOf(ref) + this.geometry.headroomBytes + HEADROOM;
    i32[at + DATA] = data;
    i32[at + END] = data;
    i32[at + META] = data;
    i32[at + FLAGS] = 0;
    if (this.needsSync) this.dma!.syncForDevice(this.startOf(ref) - this.geometry.offset, this.geometry.chunkSizeBytes);
  }

  /** The reference's successor, marked as being in the pool. */
  private arm(ref: NetmemRef): number {
    const next = (ref + GEN_ONE) & REF_MASK;
    this.i32[(ref >>> 1) & IDX_MASK] = this.pooledTag | (next >>> GEN_SHIFT);
    return next;
  }

  private push(next: number): void {
    if (!this.home.isDead) return this.list.push(next);
    this.forget(next);
    this.finish();
  }

  /** Takes an armed reference off the pool's books. */
  private forget(next: number): void {
    const { i32 } = this;
    const idx = (next >>> 1) & IDX_MASK;
    i32[idx] = FREE | (next >>> GEN_SHIFT);
    i32[this.at + RELEASE] = (i32[this.at + RELEASE]! + 1) | 0;
    if (this.source !== null) this.source.unbind(idx - this.firstIdx);
  }

  private allocOneByOne(out: Int32Array, max: number): number {
    for (let n = 0; n < max; n++) {
      const ref = this.allocNetmem();
      if (ref === 0) return n;
      out[n] = ref;
    }
    return max;
  }

  /** Control path. */
  private createSource(params: XskBuffPoolParams, home: PoolHome): FillSource | null {
    if (params.fill === null) return null;
    return new FillSource(this.i32, params.fill, params.geometry, this.dma, home, this.at, this.outTag);
  }

  /** All chunks are the user's, the first one on top. Control path. */
  private takeAll(): void {
    const { i32, at, geometry } = this;
    for (let n = geometry.chunkCount - 1; n >= 0; n--) {
      const idx = this.firstIdx + n;
      const gen = i32[idx]! & GEN_MASK;
      i32[idx] = this.pooledTag | gen;
      this.list.pushOld((gen << GEN_SHIFT) | (idx << 1) | 1);
    }
    i32[at + HOLD] = geometry.chunkCount;
  }
}
