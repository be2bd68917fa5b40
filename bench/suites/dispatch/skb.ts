/** What an skb costs beside its buffers: building one of mixed memory, cloning one. */

import type { Host, NetmemRef, PageRef } from "@netmem/core";
import { XdpRxqInfo } from "@netmem/core";
import { buildSkbFromXdp, cloneSkb, consumeSkb, type SkbRef, SkbSlab, XdpBuff } from "@netmem/skb";
import { createHost, createPagePool, type PagePool } from "netmem";
import { loopRow } from "../../measure.ts";
import type { Ratio, Row } from "../../suite.ts";

const ARENA_BYTES = 64 * 2 ** 20;
const BURST = 64;
const FRAME_BYTES = 4096;
const HEADROOM = 256;

function warmPool(host: Host): PagePool {
  const pool = createPagePool(host, {});
  const refs = new Int32Array(BURST);
  const count = pool.allocBulk(refs, BURST);
  for (let n = 0; n < count; n++) pool.putFullPage(refs[n]! as NetmemRef);
  return pool;
}

/** A head of one pool and fragments of two others and of the page allocator, with the slab that their skbs live in. */
class MixedRig {
  readonly host: Host = createHost({ arenaBytes: ARENA_BYTES });
  readonly heads: PagePool = warmPool(this.host);
  readonly first: PagePool = warmPool(this.host);
  readonly second: PagePool = warmPool(this.host);
  readonly slab: SkbSlab = new SkbSlab(this.host);
  readonly xdp: XdpBuff = new XdpBuff(this.host, new XdpRxqInfo(), FRAME_BYTES);

  build(): SkbRef {
    const { host, xdp } = this;
    const head = this.heads.allocPages();
    const a = this.first.allocNetmem();
    const b = host.pages.allocPages(0);
    const c = this.second.allocNetmem();
    if (head === 0 || a === 0 || b === 0 || c === 0) throw new Error("out of memory");
    xdp.prepare(head, host.offsetOf(head), HEADROOM, 64);
    xdp.addFrag(a, 0, 1000, FRAME_BYTES);
    xdp.addFrag(b, 0, 1000, FRAME_BYTES);
    xdp.addFrag(c, 0, 1000, FRAME_BYTES);
    const skb = buildSkbFromXdp(this.slab, xdp);
    if (skb === 0) throw new Error("the slab is full");
    return skb;
  }
}

const direct1 = loopRow({
  name: "direct1",
  setup: () => warmPool(createHost({ arenaBytes: ARENA_BYTES })),
  run: (pool, turns) => {
    let sum = 0;
    for (let n = 0; n < turns; n++) {
      const ref = pool.allocNetmem();
      sum = (sum + ref) | 0;
      if (ref !== 0) pool.recycleDirect(ref);
    }
    return sum;
  },
});

/** The same four buffers as {@link mixed4}, taken and returned by those who know whose they are. */
const direct4 = loopRow({
  name: "direct4",
  unit: "ns/packet",
  setup: () => new MixedRig(),
  run: ({ host, heads, first, second }, turns) => {
    let sum = 0;
    for (let n = 0; n < turns; n++) {
      const head = heads.allocPages();
      const a = first.allocNetmem();
      const b = host.pages.allocPages(0);
      const c = second.allocNetmem();
      sum = (sum + head + b) | 0;
      first.recycleDirect(a as NetmemRef);
      host.pages.freePage(b as PageRef);
      second.recycleDirect(c as NetmemRef);
      heads.recycleDirect(head as PageRef);
    }
    return sum;
  },
});

const mixed4 = loopRow({
  name: "mixed4_build_free",
  unit: "ns/packet",
  setup: () => new MixedRig(),
  run: (rig, turns) => {
    let sum = 0;
    for (let n = 0; n < turns; n++) {
      const skb = rig.build();
      sum = (sum + skb) | 0;
      consumeSkb(rig.slab, skb);
    }
    return sum;
  },
});

const clone = loopRow({
  name: "clone_free",
  setup: () => {
    const rig = new MixedRig();
    return { slab: rig.slab, skb: rig.build() };
  },
  run: ({ slab, skb }, turns) => {
    let sum = 0;
    for (let n = 0; n < turns; n++) {
      const copy = cloneSkb(slab, skb);
      sum = (sum + copy) | 0;
      if (copy !== 0) consumeSkb(slab, copy);
    }
    return sum;
  },
});

export const skbRows: readonly Row[] = [direct1, direct4, mixed4, clone];

export const skbRatios: readonly Ratio[] = [
  { name: "mixed4_build_free_vs_4direct", of: ["mixed4_build_free", "direct4"], bar: "<=4.5" },
  { name: "clone_free_vs_direct", of: ["clone_free", "direct1"], bar: "<=3.5" },
];
