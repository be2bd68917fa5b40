/*
 * A memory type: buffers of 2 KiB, cut from one block of the arena and described by an area.
 *
 * Returns arrive by themselves on the stack of the owner record, checked and re-armed. What is left to do is to take
 * from that stack, to make room when it is full, and to look closer at buffers with several holders.
 */
import {
  failReturn,
  GEN_MASK,
  GEN_ONE,
  GEN_SHIFT,
  type Host,
  idxOf,
  type MemAllocator,
  type MemModel,
  type MemOwner,
  metaOwner,
  META_SHARED,
  type NetIovArea,
  type NetmemRef,
  NetmemState,
  OWN_LIMIT,
  OWN_STACK,
  OWNER_STACK_SIZE,
  ownerTag,
  type QueueAllocator,
  REF_MASK,
  unrefNetmem,
} from "@netmem/core";

const NAME = "scratch";
const BUFFER_SHIFT = 11;

export class ScratchAllocator implements MemOwner, QueueAllocator, MemAllocator {
  readonly name = NAME;
  readonly memType: number;
  readonly capacity: number;
  protected readonly host: Host;
  protected readonly area: NetIovArea;
  private readonly at: number;
  protected readonly outTag: number;
  private readonly pooledTag: number;
  /** Armed references that the stack had no room for. */
  private readonly spare: Int32Array;
  private spareCount = 0;
  private users = 1;
  private readonly disconnects: (() => void)[] = [];

  constructor(host: Host, order: number) {
    const block = host.pages.allocPages(order);
    if (block === 0) throw new Error("no block of that order is free");
    this.host = host;
    this.memType = host.memTypes.numberOf(NAME);
    this.capacity = 2 ** (host.pageShift + order - BUFFER_SHIFT);
    const params = { name: NAME, count: this.capacity, pageShift: BUFFER_SHIFT, baseOffset: host.offsetOf(block) };
    this.area = host.areas.add(params);
    const ownerId = host.owners.claim(this);
    this.at = host.owners.recordAt(ownerId);
    this.outTag = ownerTag(ownerId, NetmemState.Out);
    this.pooledTag = ownerTag(ownerId, NetmemState.Pooled);
    this.spare = new Int32Array(this.capacity);
    for (let n = 0; n < this.capacity; n++) this.keep(this.arm(host.areas.refAt(this.area, n)));
    host.i32[this.at + OWN_LIMIT] = OWNER_STACK_SIZE;
  }

  /** Buffers that somebody has. */
  get outCount(): number {
    return this.capacity - this.spareCount - this.stackCount;
  }

  allocNetmem(): NetmemRef | 0 {
    const { i32 } = this.host;
    let ref: number;
    if (this.stackCount > 0) {
      const count = this.stackCount - 1;
      i32[this.at] = count;
      ref = i32[this.at + OWN_STACK + count]!;
    } else if (this.spareCount > 0) ref = this.spare[--this.spareCount]!;
    else return 0;
    i32[idxOf(ref as NetmemRef)] = this.outTag | (ref >>> GEN_SHIFT);
    return ref as NetmemRef;
  }

  allocBulk(out: Int32Array, max: number): number {
    for (let n = 0; n < max; n++) {
      const ref = this.allocNetmem();
      if (ref === 0) return n;
      out[n] = ref;
    }
    return max;
  }

  put(ref: NetmemRef, _dmaSyncSize: number, _allowDirect: boolean): void {
    this.returnSlow(ref);
  }

  returnSlow(ref: NetmemRef): void {
    const { host } = this;
    const meta = host.i32[idxOf(ref)]!;
    if (ref <= 0 || (meta & ~META_SHARED) !== (this.outTag | (ref >>> GEN_SHIFT)))
      failReturn(host, ref, metaOwner(meta));
    if ((meta & META_SHARED) !== 0) {
      const left = unrefNetmem(host, ref, 1);
      if (left < 0) failReturn(host, ref, metaOwner(meta));
      if (left > 0) return;
    }
    this.keep(this.arm(((ref + GEN_ONE) & REF_MASK) as NetmemRef));
    this.settle();
  }

  /** What {@link scratchModel} is for: a batch of buffers that came home. */
  drain(refs: Int32Array, count: number): void {
    for (let n = 0; n < count; n++) this.keep(refs[n]!);
  }

  useMem(_memId: number, disconnect: () => void): void {
    this.users++;
    this.disconnects.push(disconnect);
  }

  /** The last buffer's return ends it; until then each takes the slow path, which notices. */
  destroy(): void {
    this.users--;
    if (this.users > 0) return;
    this.host.i32[this.at + OWN_LIMIT] = 0;
    this.settle();
  }

  private get stackCount(): number {
    return this.host.i32[this.at]!;
  }

  protected arm(ref: NetmemRef): number {
    this.host.i32[idxOf(ref)] = this.pooledTag | ((ref >>> GEN_SHIFT) & GEN_MASK);
    return ref;
  }

  protected keep(ref: number): void {
    this.spare[this.spareCount++] = ref;
  }

  private settle(): void {
    if (this.users > 0 || this.outCount > 0) return;
    for (const disconnect of this.disconnects.splice(0)) disconnect();
  }
}

/** Installs the type on a host and makes its allocator, of a block of 2^order pages. */
export function createScratch(host: Host, order: number): ScratchAllocator {
  const allocator = new ScratchAllocator(host, order);
  const model: MemModel = {
    type: allocator.memType,
    name: NAME,
    drain: (_ownerId, refs, count) => allocator.drain(refs, count),
  };
  host.memTypes.install(model);
  return allocator;
}
