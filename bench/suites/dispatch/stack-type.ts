import {
  asNetmemRef,
  failReturn,
  GEN_MASK,
  GEN_ONE,
  GEN_SHIFT,
  type Host,
  idxOf,
  type MemOwner,
  type NetmemRef,
  NetmemState,
  OWN_LIMIT,
  OWN_STACK,
  OWNER_STACK_SIZE,
  ownerTag,
  type QueueAllocator,
  REF_MASK,
} from "@netmem/core";

/** The least that a memory type is: net_iovs that live on the return stack of their owner. */
export class StackType implements MemOwner, QueueAllocator {
  readonly name: string;
  readonly memType: number;
  private readonly host: Host;
  private readonly i32: Int32Array;
  private readonly at: number;
  private readonly outTag: number;
  private readonly ownerId: number;

  constructor(host: Host, name: string, count: number) {
    this.name = name;
    this.memType = host.memTypes.numberOf(name);
    if (!host.memTypes.isSupported(this.memType)) host.memTypes.install({ type: this.memType, name, drain: () => {} });
    this.host = host;
    this.i32 = host.i32;
    this.ownerId = host.owners.claim(this);
    this.at = host.owners.recordAt(this.ownerId);
    this.outTag = ownerTag(this.ownerId, NetmemState.Out);
    const area = host.areas.add({ name, count, pageShift: 12 });
    for (let n = 0; n < count; n++) {
      const ref = host.areas.refAt(area, n);
      this.i32[idxOf(ref)] = ownerTag(this.ownerId, NetmemState.Pooled) | (ref >>> GEN_SHIFT);
      this.i32[this.at + OWN_STACK + n] = ref;
    }
    this.i32[this.at] = count;
    this.i32[this.at + OWN_LIMIT] = OWNER_STACK_SIZE;
  }

  allocNetmem(): NetmemRef | 0 {
    const { i32, at } = this;
    const count = i32[at]!;
    if (count === 0) return 0;
    i32[at] = count - 1;
    const ref = i32[at + OWN_STACK - 1 + count]!;
    i32[idxOf(asNetmemRef(ref))] = this.outTag | (ref >>> GEN_SHIFT);
    return asNetmemRef(ref);
  }

  allocBulk(out: Int32Array, max: number): number {
    for (let n = 0; n < max; n++) out[n] = this.allocNetmem();
    return max;
  }

  /** By the owner itself, which checks what the dispatch checks. */
  put(ref: NetmemRef, _dmaSyncSize: number, _allowDirect: boolean): void {
    const { i32, at } = this;
    const idx = idxOf(ref);
    if (i32[idx] !== (this.outTag | (ref >>> GEN_SHIFT))) failReturn(this.host, ref, this.ownerId);
    const next = (ref + GEN_ONE) & REF_MASK;
    const count = i32[at]!;
    i32[idx] = ownerTag(this.ownerId, NetmemState.Pooled) | ((next >>> GEN_SHIFT) & GEN_MASK);
    i32[at + OWN_STACK + count] = next;
    i32[at] = count + 1;
  }

  /** Nothing here is shared, and the stack has room for all. */
  returnSlow(ref: NetmemRef): void {
    failReturn(this.host, ref, this.ownerId);
  }
}
