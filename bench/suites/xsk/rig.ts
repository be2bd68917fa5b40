/** A user's end of four rings, and an other end that does the least there is to do: it sends back what it gets. */

import type { Host } from "@netmem/core";
import {
  AddrConsumer,
  AddrProducer,
  createUmem,
  DescConsumer,
  DescProducer,
  type Umem,
  XSK_RING_OFFSETS,
  xskRingBytes,
  type XskRingLayout,
  xskRingLayout,
  XskRings,
} from "@netmem/xsk";
import { createHost } from "netmem";

export const BURST = 64;
const ENTRIES = 256;
const FRAMES = 256;
const PACKET_BYTES = 64;

function makeRing(host: Host, entryBytes: number): XskRingLayout {
  return xskRingLayout(host.heap.allocWords(xskRingBytes(ENTRIES, entryBytes) >>> 2), ENTRIES, XSK_RING_OFFSETS);
}

export class XskRig {
  readonly host: Host = createHost({ arenaBytes: 64 * 2 ** 20 });
  readonly umem: Umem = createUmem(this.host, { ownBytes: FRAMES * 4096 });
  readonly layouts: Record<"fill" | "completion" | "rx" | "tx", XskRingLayout> = {
    fill: makeRing(this.host, 8),
    completion: makeRing(this.host, 8),
    rx: makeRing(this.host, 16),
    tx: makeRing(this.host, 16),
  };
  readonly refs: Int32Array = new Int32Array(BURST);
  private readonly fill: AddrConsumer = new AddrConsumer(this.host.i32, this.layouts.fill);
  private readonly rx: DescProducer = new DescProducer(this.host.i32, this.layouts.rx);
  private readonly tx: DescConsumer = new DescConsumer(this.host.i32, this.layouts.tx);
  private readonly completion: AddrProducer = new AddrProducer(this.host.i32, this.layouts.completion);

  /** What was posted is received. */
  echoRx(): void {
    const { fill, rx } = this;
    const n = fill.peek(BURST);
    if (rx.room(n) < n) return;
    for (let k = 0; k < n; k++) rx.put(fill.low(k) + 256, 0, PACKET_BYTES, 0);
    rx.submit();
    fill.release(n);
  }

  /** What was sent is completed. */
  echoTx(): void {
    const { tx, completion } = this;
    const { i32 } = this.host;
    const n = tx.peek(BURST);
    if (completion.room(n) < n) return;
    for (let k = 0; k < n; k++) completion.put(i32[tx.at(k)]!, 0);
    completion.submit();
    tx.release(n);
  }
}

/** Checked ends: references in, references out. */
export class RingsRig extends XskRig {
  readonly rings: XskRings = new XskRings(this.umem, this.layouts);
}

/** The rings alone: addresses in, addresses out, as libxdp does it. */
export class RawRig extends XskRig {
  readonly fillEnd: AddrProducer = new AddrProducer(this.host.i32, this.layouts.fill);
  readonly rxEnd: DescConsumer = new DescConsumer(this.host.i32, this.layouts.rx);
}
