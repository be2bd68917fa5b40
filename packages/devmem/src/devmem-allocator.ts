/*
 * data path
 *
 * Device memory as a memory type of its own: a queue's allocator straight over a binding's pages, without a page pool. The
 * owner record's return stack is its cache; the pages themselves are the store behind it. It has no ring, no statistics
 * of twelve kinds and no DMA hooks, and buffers come home through the table-driven return like any other.
 */
import {
  failReturn,
  GEN_ONE as GEN_ONE_,
  GEN_SHIFT as GEN_SHIFT_,
  type Host,
  IDX_MASK as IDX_MASK_,
  type MemAllocator,
  MemType,
  META_FREE,
  META_SHARED,
  type NetmemRef,
  NetmemError,
  NetmemState,
  OWN_HOLD as OWN_HOLD_,
  OWN_LIMIT,
  OWN_RELEASE as OWN_RELEASE_,
  OWN_STACK as OWN_STACK_,
  OWNER_NONE,
  OWNER_STACK_SIZE,
  ownerTag,
  type QueueAllocator,
  REF_MASK as REF_MASK_,
  unrefNetmem as unrefNetmem_,
} from "@netmem/core";
import type { DevmemBinding } from "./devmem-binding.ts";
import type { GenPool } from "./gen-pool.ts";

const GEN_ONE = GEN_ONE_;
const GEN_SHIFT = GEN_SHIFT_;
const IDX_MASK = IDX_MASK_;
const REF_MASK = REF_MASK_;
const HOLD = OWN_HOLD_;
const RELEASE = OWN_RELEASE_;
const STACK = OWN_STACK_;
const STACK_SIZE = OWNER_STACK_SIZE;
const SHARED = META_SHARED;
const FREE = META_FREE;
const unrefNetmem = unrefNetmem_;
/** Pages that move between the stack and the binding at a time. */
const BATCH = 64;

/** Buffers of an allocator. Counts run freely through 2^32. */
export interface DevmemAllocatorStats {
  /** In the return stack. */
  readonly cached: number;
  readonly out: number;
  /** Batches taken from the binding, and given back. */
  readonly refills: number;
  readonly spills: number;
  /** Allocations that found nothing. */
  readonly exhausted: number;
}

/** One thread: its owner's. */
export class DevmemAllocator implements QueueAllocator, MemAllocator {
  declare private readonly i32: Int32Array;
  /** Word offset of the owner record; that of nobody once the allocator is gone. */
  declare private at: number;
  declare private outTag: number;
  declare private readonly pooledTag: number;
  declare private readonly pages: GenPool;
  declare private readonly scratch: Int32Array;
  declare private refills: number;
  declare private spills: number;
  declare private exhausted: number;
  declare private isDead: boolean;
  declare private isGone: boolean;
  declare private users: number;
  declare readonly host: Host;
  declare readonly name: string;
  declare readonly memType: number;
  declare readonly ownerId: number;
  declare readonly binding: DevmemBinding;
  declare private readonly onGone: (() => void)[];

  /** @internal Use {@link createDevmemAllocator}. */
  constructor(binding: DevmemBinding, host: Host) {
    this.memType = MemType.Devmem;
    this.name = `devmem ${binding.id}`;
    this.i32 = host.i32;
    this.ownerId = host.owners.claim(this);
    this.at = host.owners.recordAt(this.ownerId);
    this.outTag = ownerTag(this.ownerId, NetmemState.Out);
    this.pooledTag = ownerTag(this.ownerId, NetmemState.Pooled);
    this.pages = binding.pages;
    this.scratch = new Int32Array(BATCH);
    this.refills = 0;
    this.spills = 0;
    this.exhausted = 0;
    this.isDead = false;
    this.isGone = false;
    this.users = 1;
    this.host = host;
    this.binding = binding;
    this.onGone = [];
    this.i32[this.at + OWN_LIMIT] = STACK_SIZE;
    binding.refs.get();
  }

  /** One page, 0 when the binding has none. 3 ns from the stack. */
  allocNetmem(): NetmemRef | 0 {
    const { i32, at } = this;
    const count = i32[at]!;
    if (count === 0) return this.allocSlow();
    i32[at] = count - 1;
    const ref = i32[at + (STACK - 1) + count]! as NetmemRef;
    i32[(ref >>> 1) & IDX_MASK] = this.outTag | (ref >>> GEN_SHIFT);
    return ref;
  }

  /** Up to `max` pages into `out[0..n)`; returns n. */
  allocBulk(out: Int32Array, max: number): number {
    const { i32, at, outTag } = this;
    let n = 0;
    while (n < max) {
      const count = i32[at]!;
      if (count === 0) {
        if (!this.refill()) break;
        continue;
      }
      const take = count < max - n ? count : max - n;
      for (let from = at + (STACK - 1) + count, end = from - take; from > end; from--) {
        const ref = i32[from]!;
        i32[(ref >>> 1) & IDX_MASK] = outTag | (ref >>> GEN_SHIFT);
        out[n++] = ref;
      }
      i32[at] = count - take;
    }
    return n;
  }

  /** Gives a page back; device memory needs no sync, and the owner's thread may always use the stack. */
  put(ref: NetmemRef, _dmaSyncSize: number, _allowDirect: boolean): void {
    const { i32, at } = this;
    const count = i32[at]!;
    const idx = (ref >>> 1) & IDX_MASK;
    if (i32[idx] !== (this.outTag | (ref >> GEN_SHIFT)) || count >= STACK_SIZE || this.isDead)
      return this.returnSlow(ref);
    const next = (ref + GEN_ONE) & REF_MASK;
    i32[at + STACK + count] = next;
    i32[at] = count + 1;
    i32[idx] = this.pooledTag | (next >>> GEN_SHIFT);
  }

  /** Slow path of the return dispatch: shared, the stack is full, or the allocator is on its way out. */
  returnSlow(ref: NetmemRef): void {
    const idx = (ref >>> 1) & IDX_MASK;
    const meta = this.i32[idx]!;
    if ((meta & ~SHARED) !== (this.outTag | (ref >>> GEN_SHIFT)) || ref <= 0) failReturn(this.host, ref, this.ownerId);
    if ((meta & SHARED) !== 0) {
      const left = unrefNetmem(this.host, ref, 1);
      if (left > 0) return;
      if (left < 0) failReturn(this.host, ref, this.ownerId);
    }
    const next = ((ref + GEN_ONE) & REF_MASK) as NetmemRef;
    this.i32[idx] = this.pooledTag | (next >>> GEN_SHIFT);
    this.takeOne(next);
  }

  /** Takes references that came home re-armed (`MemModel.drain`). */
  takeHome(refs: Int32Array, count: number): void {
    for (let n = 0; n < count; n++) this.takeOne(refs[n]! as NetmemRef);
  }

  /** Buffers that are neither here nor with the binding. */
  inflight(): number {
    const { i32, at } = this;
    return ((i32[at + HOLD]! - i32[at + RELEASE]!) | 0) - i32[at]!;
  }

  stats(): DevmemAllocatorStats {
    return {
      cached: this.i32[this.at]!,
      out: this.inflight(),
      refills: this.refills >>> 0,
      spills: this.spills >>> 0,
      exhausted: this.exhausted >>> 0,
    };
  }

  /** Called by the memory registry: one more user, and whom to tell at the end. Control path. */
  useMem(_memId: number, disconnect: () => void): void {
    this.users++;
    this.onGone.push(disconnect);
  }

  /**
   * Drops a user. With the last one the pages of the stack go back to the binding; the allocator is gone, and lets go of the
   * binding, once everything else is home. Control path.
   */
  destroy(): void {
    if (--this.users > 0 || this.isDead) return;
    this.isDead = true;
    this.i32[this.at + OWN_LIMIT] = 0;
    this.spill(this.i32[this.at]!);
    this.finish();
  }

  private allocSlow(): NetmemRef | 0 {
    if (this.refill()) return this.allocNetmem();
    this.exhausted = (this.exhausted + 1) | 0;
    return 0;
  }

  /** Fills the empty stack; false when there is nothing. */
  private refill(): boolean {
    const { i32, at, scratch, host, pooledTag } = this;
    if (host.drainInbox() > 0 && i32[at]! > 0) return true;
    if (this.isDead) return false;
    const count = this.pages.take(scratch, BATCH);
    for (let n = 0; n < count; n++) {
      const ref = scratch[n]!;
      i32[(ref >>> 1) & IDX_MASK] = pooledTag | (ref >>> GEN_SHIFT);
      i32[at + STACK + n] = ref;
    }
    i32[at] = count;
    i32[at + HOLD] = (i32[at + HOLD]! + count) | 0;
    if (count === 0) return false;
    this.refills = (this.refills + 1) | 0;
    return true;
  }

  private takeOne(next: NetmemRef): void {
    const { i32, at } = this;
    if (i32[at]! >= STACK_SIZE) this.spill(BATCH);
    const count = i32[at]!;
    i32[at + STACK + count] = next;
    i32[at] = count + 1;
    if (!this.isDead) return;
    this.spill(1);
    this.finish();
  }

  /** Gives the `count` pages that are longest in the stack back to the binding. */
  private spill(count: number): void {
    if (count === 0) return;
    const { i32, at, host } = this;
    for (let n = 0; n < count; n++) {
      const ref = i32[at + STACK + n]! as NetmemRef;
      const idx = (ref >>> 1) & IDX_MASK;
      i32[idx] = FREE | (ref >>> GEN_SHIFT);
      i32[host.ppRefAt + idx] = 0;
      this.pages.put(ref);
    }
    i32.copyWithin(at + STACK, at + STACK + count, at + STACK + i32[at]!);
    i32[at] = i32[at]! - count;
    i32[at + RELEASE] = (i32[at + RELEASE]! + count) | 0;
    this.spills = (this.spills + 1) | 0;
  }

  /** Control path. */
  private finish(): void {
    if (this.isGone || this.i32[this.at + HOLD] !== this.i32[this.at + RELEASE]) return;
    this.isGone = true;
    this.host.owners.release(this.ownerId);
    // The record is somebody else's from here on; late calls must not find it.
    this.at = this.host.owners.recordAt(OWNER_NONE);
    this.outTag = -1;
    for (const done of this.onGone.splice(0)) done();
    this.binding.refs.put();
  }
}

/** Lets buffers of the type be registered and returned on this host; a second time does nothing. Control path. */
function installModel(host: Host): void {
  if (host.memTypes.modelOf(MemType.Devmem) !== null) return;
  host.memTypes.install({
    type: MemType.Devmem,
    name: "devmem",
    drain: (ownerId, refs, count) => {
      const owner = host.owners.get(ownerId);
      if (owner instanceof DevmemAllocator) owner.takeHome(refs, count);
    },
  });
}

/**
 * An allocator over the pages of a binding, for a queue that needs no page pool: `regMemModel(info, MemType.Devmem,
 * allocator)`. Several of them and page pools may share a binding. It holds the binding until it is destroyed and its last
 * buffer is home.
 *
 * @throws `ERR_NETMEM_OWNERS_EXHAUSTED` (ENOSPC), `ERR_NETMEM_UNBOUND` (EINVAL) for a binding whose memory is gone.
 */
export function createDevmemAllocator(host: Host, binding: DevmemBinding): DevmemAllocator {
  if (binding.isFreed) failFreed(binding.id);
  installModel(host);
  return new DevmemAllocator(binding, host);
}

function failFreed(id: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_UNBOUND",
    errno: "EINVAL",
    reason: `devmem ${id} is gone`,
    remedy: "Allocate from bindings that are live.",
    param: "binding",
    value: id,
  });
}
