import { asPageRef, type Host, type PageRef } from "@netmem/core";
import type { PagePool } from "@netmem/page-pool";
import {
  addSkbFrag,
  asSkbRef,
  buildSkb,
  cloneSkb,
  consumeSkb,
  copyBitsWithin,
  expandHead,
  GroTable,
  mayPull,
  pullSkb,
  putSkb,
  SKB_FLAGS,
  SkbFlag,
  type SkbRef,
  SkbSeq,
  SkbSlab,
  splitSkb,
  trimSkb,
  tryCoalesce,
} from "@netmem/skb";
import { buildPacket, ipv4Address, macAddress } from "@netmem/testing";
import { createHost, createPagePool } from "netmem";

const HEADER_BYTES = 54;
const LINEAR_BYTES = 60;
const FRAG_BYTES = 100;
const SEGMENTS = 8;
const PAYLOAD_BYTES = LINEAR_BYTES - HEADER_BYTES + FRAG_BYTES;
const ROW_BYTES = SEGMENTS * PAYLOAD_BYTES;
const TCP_SEQ = 38;

/** TCP segments that are merged, cloned, read, pulled, cut, coalesced and consumed. */
export class SkbLoop {
  private readonly host: Host = createHost({ arenaBytes: 64 * 2 ** 20 });
  private readonly pool: PagePool = createPagePool(this.host);
  private readonly slab: SkbSlab = new SkbSlab(this.host);
  private readonly seq: SkbSeq = new SkbSeq(this.slab);
  private readonly gro: GroTable;
  private readonly templateAt: number;
  private readonly copyAt: number;
  private bytes = 0;

  constructor() {
    this.gro = new GroTable(this.slab, (skbs, count) => this.take(skbs, count));
    this.templateAt = this.host.offsetOf(this.page());
    this.copyAt = this.host.offsetOf(this.page());
    buildPacket(this.host.u8, this.templateAt, {
      ethernet: { srcMac: macAddress("02:00:00:00:00:01"), dstMac: macAddress("02:00:00:00:00:02") },
      network: { kind: "ipv4", src: ipv4Address("10.0.0.1"), dst: ipv4Address("10.0.0.2"), dontFragment: true },
      transport: { kind: "tcp", srcPort: 1, dstPort: 2 },
      payloadBytes: PAYLOAD_BYTES,
    });
  }

  /** At least that many packets, in whole rows. */
  run(packets: number): void {
    const rows = Math.ceil(packets / SEGMENTS);
    for (let row = 0; row < rows; row++) {
      for (let n = 0; n < SEGMENTS; n++) this.gro.receive(this.segment(n));
      this.gro.flush();
    }
    const expected = rows * ROW_BYTES;
    if (this.bytes !== expected) throw new Error(`${this.bytes} bytes were read, not ${expected}`);
    this.bytes = 0;
  }

  private segment(n: number): SkbRef {
    const { slab, host } = this;
    const skb = buildSkb(slab, this.page(), 0, host.pageSizeBytes, 64);
    if (skb === 0) throw new Error("the slab is full");
    const at = putSkb(slab, skb, LINEAR_BYTES);
    host.u8.copyWithin(at, this.templateAt, this.templateAt + LINEAR_BYTES);
    host.u8[at + TCP_SEQ + 2] = (n * PAYLOAD_BYTES) >>> 8;
    host.u8[at + TCP_SEQ + 3] = n * PAYLOAD_BYTES;
    addSkbFrag(slab, skb, this.page(), 0, FRAG_BYTES, host.pageSizeBytes);
    slab.i32[slab.check(skb) + SKB_FLAGS]! |= SkbFlag.CsumValid;
    return skb;
  }

  private take(skbs: Int32Array, count: number): void {
    for (let n = 0; n < count; n++) {
      const skb = asSkbRef(skbs[n]!);
      this.read(skb);
      this.change(skb);
    }
  }

  private read(skb: SkbRef): void {
    const { seq, slab } = this;
    seq.start(skb, HEADER_BYTES, ROW_BYTES);
    while (seq.next()) this.bytes += seq.len;
    copyBitsWithin(slab, skb, 0, this.copyAt, 900);
  }

  /** Every way to share and to change, and everything given back. */
  private change(skb: SkbRef): void {
    const { slab } = this;
    const clone = cloneSkb(slab, skb);
    const rest = splitSkb(slab, skb, 400);
    if (clone === 0 || rest === 0) throw new Error("exhausted");
    mayPull(slab, skb, 200);
    pullSkb(slab, skb, HEADER_BYTES);
    trimSkb(slab, rest, 300);
    expandHead(slab, rest, 64, 0);
    tryCoalesce(slab, skb, rest);
    consumeSkb(slab, clone);
    consumeSkb(slab, rest);
    consumeSkb(slab, skb);
  }

  private page(): PageRef {
    return asPageRef(this.pool.allocNetmem());
  }
}
