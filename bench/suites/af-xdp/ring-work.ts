/*
 * What rings cost without a kernel: 64 descriptors off the RX ring, 64 buffers onto the fill ring. The other end is two
 * stores, as in the C program.
 */
import { asPageRef, type Host } from "@netmem/core";
import { createPagePool, type PagePool } from "@netmem/page-pool";
import {
  ADDR_BYTES,
  AddrProducer,
  createUmem,
  DESC_BYTES,
  DescConsumer,
  type XskRingLayout,
  xskRingBytes,
  xskRingLayout,
  XskRings,
} from "@netmem/xsk";
import { createHost } from "netmem";
import { loopRow } from "../../measure.ts";
import type { ScriptRow } from "../../suite.ts";

const BATCH = 64;
const RING = 2048;
const CHUNK_MASK = 4095;
const HEADROOM_BYTES = 256;

function layoutOf(host: Host, entryBytes: number): XskRingLayout {
  return xskRingLayout(host.heap.allocWords(xskRingBytes(RING, entryBytes) / 4), RING);
}

/** The two ring ends as they are: addresses are numbers, nothing is checked. As the C program. */
class BareRings {
  readonly i32: Int32Array;
  readonly rxLayout: XskRingLayout;
  readonly fillLayout: XskRingLayout;
  readonly rx: DescConsumer;
  readonly fill: AddrProducer;
  taken = 0;

  constructor() {
    const host = createHost({ arenaBytes: 16 * 2 ** 20 });
    this.i32 = host.i32;
    this.rxLayout = layoutOf(host, DESC_BYTES);
    this.fillLayout = layoutOf(host, ADDR_BYTES);
    for (let n = 0; n < RING; n++) {
      this.i32.set([n * (CHUNK_MASK + 1) + HEADROOM_BYTES, 0, 64, 0], this.rxLayout.descsAt + 4 * n);
    }
    this.rx = new DescConsumer(host.i32, this.rxLayout);
    this.fill = new AddrProducer(host.i32, this.fillLayout);
  }

  burst(): number {
    const { i32, rx, fill } = this;
    let sum = 0;
    i32[this.rxLayout.producerAt] = (this.taken + BATCH) | 0;
    i32[this.fillLayout.consumerAt] = this.taken;
    const count = rx.peek(BATCH);
    if (fill.room(count) < count) return -1;
    for (let k = 0; k < count; k++) {
      const d = rx.at(k);
      sum = (sum + i32[d + 2]!) | 0;
      // The high word of a fill entry is 0 from the start, and stays so.
      i32[fill.at(k)] = i32[d]! & ~CHUNK_MASK;
    }
    fill.advance(count);
    fill.submit();
    rx.release(count);
    this.taken = (this.taken + count) | 0;
    return sum;
  }
}

/** The same by the checked user end: addresses become references, references addresses, through a page pool. */
class CheckedRings {
  readonly i32: Int32Array;
  readonly rxLayout: XskRingLayout;
  readonly fillLayout: XskRingLayout;
  readonly rings: XskRings;
  readonly pool: PagePool;
  readonly base: number;
  readonly batch = new Int32Array(BATCH);
  taken = 0;

  constructor() {
    const host = createHost({ arenaBytes: 32 * 2 ** 20 });
    const umem = createUmem(host);
    this.i32 = host.i32;
    this.base = umem.offset;
    this.rxLayout = layoutOf(host, DESC_BYTES);
    this.fillLayout = layoutOf(host, ADDR_BYTES);
    this.rings = new XskRings(umem, { rx: this.rxLayout, fill: this.fillLayout, tx: null, completion: null });
    this.pool = createPagePool(host, { poolSize: RING });
    this.refill();
  }

  burst(): number {
    const { i32, rings } = this;
    let sum = 0;
    this.deliver();
    const n = rings.receive(BATCH);
    for (let k = 0; k < n; k++) {
      sum = (sum + i32[rings.offsets[k]! >> 2]!) | 0;
      this.pool.recycleDirect(asPageRef(rings.refs[k]!));
    }
    this.refill();
    return sum;
  }

  /** The other end moves 64 buffers from the fill ring to the RX ring. */
  private deliver(): void {
    const { i32, rxLayout, fillLayout, taken } = this;
    for (let k = 0; k < BATCH; k++) {
      const slot = (taken + k) & (RING - 1);
      const d = rxLayout.descsAt + 4 * slot;
      i32[d] = i32[fillLayout.descsAt + 2 * slot]! + HEADROOM_BYTES;
      i32[d + 2] = 64;
    }
    this.taken = (taken + BATCH) | 0;
    i32[fillLayout.consumerAt] = this.taken;
    i32[rxLayout.producerAt] = this.taken;
  }

  private refill(): void {
    const { rings, pool, batch } = this;
    while (rings.fillRoom(BATCH) >= BATCH && pool.allocBulk(batch, BATCH) === BATCH) rings.post(batch, BATCH);
  }
}

function ringRow(name: string, setup: () => BareRings | CheckedRings): ScriptRow {
  return loopRow({
    name,
    unit: "ns/packet",
    opsPerTurn: BATCH,
    setup,
    run: (rings, turns) => {
      let sum = 0;
      for (let i = 0; i < turns; i++) sum = (sum + rings.burst()) | 0;
      return sum;
    },
  });
}

export const ringWorkRows: readonly ScriptRow[] = [
  ringRow("ring_work_batch64", () => new BareRings()),
  ringRow("ring_work_checked_batch64", () => new CheckedRings()),
];
