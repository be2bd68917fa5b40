import type { Host, ReadableRef } from "@netmem/core";
import { asSkbRef, type SkbRef, type SkbSlab, SkbView } from "@netmem/skb";
import { crc32 } from "node:zlib";

/** Reads the bytes of readable skbs. */
export class PacketBytes {
  readonly view: SkbView;
  private readonly host: Host;

  constructor(slab: SkbSlab) {
    this.view = new SkbView(slab);
    this.host = slab.host;
  }

  /** Checksum over all of it, wherever it lies. */
  crcOf(skb: number): number {
    const view = this.view.of(asSkbRef(skb));
    let crc = this.crc(view.data, view.headLen, 0);
    for (let n = 0; n < view.nrFrags; n++) {
      const start = this.host.offsetOf(view.fragRef(n) as ReadableRef) + view.fragOffset(n);
      crc = this.crc(start, view.fragLen(n), crc);
    }
    return crc;
  }

  lenOf(skb: SkbRef): number {
    return this.view.of(skb).len;
  }

  crc(at: number, len: number, before: number): number {
    return crc32(this.host.u8.subarray(at, at + len), before);
  }
}
