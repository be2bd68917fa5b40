/* data path */
import { type Host, IDX_MASK as IDX_MASK_, type NetmemRef, NetmemError } from "@netmem/core";
import type { PagePool } from "@netmem/page-pool";
import { DESC_FLAGS, DESC_HASH, DESC_LENGTH, type DescriptorRing } from "@netmem/sim-nic";

const IDX_MASK = IDX_MASK_;
const LENGTH = DESC_LENGTH;
const FLAGS = DESC_FLAGS;
const HASH = DESC_HASH;

/** Where the device writes: pieces of a buffer, and the part of a piece that it may use. Bytes. */
export interface Layout {
  /** A power of two. */
  readonly piecesPerBuffer: number;
  readonly pieceBytes: number;
  readonly headroomBytes: number;
  readonly roomBytes: number;
}

/** A buffer queue with the pool of its own that feeds it. Pieces of one buffer are posted one after the other. */
export class SubQueue {
  declare private readonly i32: Int32Array;
  declare private readonly ring: DescriptorRing;
  /** Buffer and first byte of the piece that a slot's descriptor points at. */
  declare private readonly refs: Int32Array;
  declare private readonly starts: Int32Array;
  /** Buffers that are to be posted before the pool is asked: each with all its pieces. */
  declare private readonly stock: Int32Array;
  declare private stockCount: number;
  declare private readonly layout: Layout;
  declare private readonly isMapped: boolean;
  /** Of the last {@link take}: first byte of the piece in its buffer, and what the device said. */
  declare start: number;
  declare length: number;
  declare flags: number;
  declare hash: number;
  declare readonly pool: PagePool;

  constructor(host: Host, ring: DescriptorRing, pool: PagePool, layout: Layout, isMapped: boolean) {
    this.i32 = host.i32;
    this.ring = ring;
    this.refs = new Int32Array(ring.size);
    this.starts = new Int32Array(ring.size);
    this.stock = new Int32Array(ring.size);
    this.stockCount = 0;
    this.layout = layout;
    this.isMapped = isMapped;
    this.start = 0;
    this.length = 0;
    this.flags = 0;
    this.hash = 0;
    this.pool = pool;
  }

  /** Completed descriptors that were not taken. */
  get count(): number {
    return (this.ring.completed - this.ring.cleaned) | 0;
  }

  /** Takes the next completed piece, with its reference. */
  take(): NetmemRef {
    const { ring, i32 } = this;
    const at = ring.cleaned;
    const d = ring.descAt(at);
    this.start = this.starts[at & ring.mask]!;
    this.length = i32[d + LENGTH]!;
    this.flags = i32[d + FLAGS]!;
    this.hash = i32[d + HASH]!;
    ring.cleaned = (at + 1) | 0;
    return this.refs[at & ring.mask]! as NetmemRef;
  }

  /** Posts whole buffers as far as there is room; false when the pool had too few. */
  refill(): boolean {
    const { ring, layout } = this;
    for (let room = ring.room; room >= layout.piecesPerBuffer; room -= layout.piecesPerBuffer) {
      const ref = this.stockCount > 0 ? (this.stock[--this.stockCount]! as NetmemRef) : this.pool.allocNetmem();
      if (ref === 0) return false;
      if (layout.piecesPerBuffer > 1) this.pool.fragmentNetmem(ref, layout.piecesPerBuffer);
      for (let n = 0; n < layout.piecesPerBuffer; n++) this.post(ref, n * layout.pieceBytes);
    }
    return true;
  }

  /**
   * Control path: takes so many buffers out of the pool that the first refill needs no more.
   * @throws `ERR_EXAMPLE_NO_BUFFERS` (ENOMEM); {@link giveBack} then.
   */
  prefill(): void {
    if (!this.stockUp()) failBuffers(this.ring.size / this.layout.piecesPerBuffer);
  }

  /** Control path: as {@link prefill}, as far as the pool has buffers; false when it had too few. */
  stockUp(): boolean {
    const wanted = this.ring.size / this.layout.piecesPerBuffer;
    while (this.stockCount < wanted) {
      const ref = this.pool.allocNetmem();
      if (ref === 0) return false;
      this.stock[this.stockCount++] = ref;
    }
    // In the order in which the pool gave them: pages of device memory are landed best in a row.
    this.stock.subarray(0, this.stockCount).reverse();
    return true;
  }

  /** Control path: the device is stopped; returns what it has not completed. */
  takeBack(): void {
    const { ring } = this;
    for (let at = ring.cleaned; at !== ring.producer; at = (at + 1) | 0) {
      this.pool.put(this.refs[at & ring.mask]! as NetmemRef, -1, true);
    }
  }

  /** Control path: returns what is not posted, and ends the pool. */
  giveBack(): void {
    while (this.stockCount > 0) this.pool.put(this.stock[--this.stockCount]! as NetmemRef, -1, true);
    this.pool.destroy();
  }

  private post(ref: NetmemRef, start: number): void {
    const { ring, layout } = this;
    const slot = ring.producer & ring.mask;
    this.refs[slot] = ref;
    this.starts[slot] = start;
    // A net_iov has no page number; its provider wrote an address for it.
    const pfn = this.isMapped || (ref & 1) !== 0 ? this.pool.getDmaAddr(ref) : (ref >>> 1) & IDX_MASK;
    ring.post(pfn, start + layout.headroomBytes, layout.roomBytes, 0);
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
