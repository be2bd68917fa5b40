/* data path */
import { type Host, IDX_MASK as IDX_MASK_, type NetmemRef, NetmemError } from "@netmem/core";
import type { PagePool } from "@netmem/page-pool";
import { DESC_FLAGS, DESC_HASH, DESC_LENGTH, type DescriptorRing } from "@netmem/sim-nic";

const IDX_MASK = IDX_MASK_;
const LENGTH = DESC_LENGTH;
const FLAGS = DESC_FLAGS;
const HASH = DESC_HASH;

/** One descriptor ring, the pool that feeds it, and what is posted. */
export class BufferRing {
  declare private readonly i32: Int32Array;
  declare private readonly ring: DescriptorRing;
  /** Buffer that a slot's descriptor points at. */
  declare private readonly refs: Int32Array;
  /** Buffers that were read and are posted again as they are. */
  declare private readonly again: Int32Array;
  declare private againCount: number;
  /** Where the device writes in each buffer, and how many bytes. */
  declare private readonly offset: number;
  declare private readonly room: number;
  declare private readonly isMapped: boolean;
  /** Of the last {@link take}. */
  declare length: number;
  declare flags: number;
  declare hash: number;
  declare readonly pool: PagePool;

  constructor(host: Host, ring: DescriptorRing, pool: PagePool, offset: number, isMapped: boolean) {
    this.i32 = host.i32;
    this.ring = ring;
    this.refs = new Int32Array(ring.size);
    this.again = new Int32Array(ring.size);
    this.againCount = 0;
    this.offset = offset;
    this.room = pool.params.maxLenBytes;
    this.isMapped = isMapped;
    this.length = 0;
    this.flags = 0;
    this.hash = 0;
    this.pool = pool;
  }

  /** Completed descriptors that were not taken. */
  get count(): number {
    return (this.ring.completed - this.ring.cleaned) | 0;
  }

  /** Takes the next completed buffer. */
  take(): NetmemRef {
    const { ring, i32 } = this;
    const at = ring.cleaned;
    const d = ring.descAt(at);
    this.length = i32[d + LENGTH]!;
    this.flags = i32[d + FLAGS]!;
    this.hash = i32[d + HASH]!;
    ring.cleaned = (at + 1) | 0;
    return this.refs[at & ring.mask]! as NetmemRef;
  }

  /** Has a buffer posted again without a way through the pool. */
  reuse(ref: NetmemRef): void {
    this.again[this.againCount++] = ref;
  }

  /** Posts buffers as far as there is room; false when the pool had too few. */
  refill(): boolean {
    const { ring } = this;
    for (let room = ring.room; room > 0; room--) {
      const ref = this.againCount > 0 ? (this.again[--this.againCount]! as NetmemRef) : this.pool.allocNetmem();
      if (ref === 0) return false;
      this.post(ref);
    }
    return true;
  }

  /**
   * Control path: takes so many buffers out of the pool that the first refill needs no more.
   * @throws `ERR_EXAMPLE_NO_BUFFERS` (ENOMEM); {@link giveBack} then.
   */
  prefill(): void {
    while (this.againCount < this.ring.size) {
      const ref = this.pool.allocNetmem();
      if (ref === 0) failBuffers(this.ring.size);
      this.reuse(ref);
    }
    // In the order in which the pool gave them: pages of device memory are landed best in a row.
    this.again.reverse();
  }

  /** Control path: the device is stopped; what it has not completed is to be posted again, or given back. */
  takeBack(): void {
    const { ring } = this;
    for (let at = ring.cleaned; at !== ring.producer; at = (at + 1) | 0) {
      this.reuse(this.refs[at & ring.mask]! as NetmemRef);
    }
  }

  /** Control path: returns every buffer that is not posted, and ends the pool. */
  giveBack(): void {
    while (this.againCount > 0) this.pool.put(this.again[--this.againCount]! as NetmemRef, -1, true);
    this.pool.destroy();
  }

  private post(ref: NetmemRef): void {
    const { ring } = this;
    this.refs[ring.producer & ring.mask] = ref;
    // A net_iov has no page number; its provider wrote an address for it.
    const pfn = this.isMapped || (ref & 1) !== 0 ? this.pool.getDmaAddr(ref) : (ref >>> 1) & IDX_MASK;
    ring.post(pfn, this.offset, this.room, 0);
  }
}

function failBuffers(wanted: number): never {
  throw new NetmemError({
    code: "ERR_EXAMPLE_NO_BUFFERS",
    errno: "ENOMEM",
    reason: `the pool has fewer than the ${wanted} buffers of a ring`,
    remedy: "Bind more memory, or use smaller rings.",
    param: "size",
    value: wanted,
  });
}
