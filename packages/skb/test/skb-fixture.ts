import {
  asNetmemRef,
  type Host,
  META_STATE_MASK,
  MemType,
  type NetIovArea,
  type NetmemRef,
  NetmemState,
  OWNER_NONE,
  ownerTag,
  type PageRef,
  idxOf,
  GEN_MASK,
  genOf,
} from "@netmem/core";
import {
  addSkbFrag,
  appendFragList,
  buildSkb,
  copyBits,
  FRAG_REF,
  FRAG_TRUESIZE,
  fragAt,
  markForRecycle,
  putSkb,
  SKB_NEXT,
  SKB_SHINFO,
  SKB_TRUESIZE,
  SHINFO_FRAG_LIST,
  SHINFO_NR_FRAGS,
  type SkbRef,
  SkbSlab,
  SkbView,
} from "../src/index.ts";
import { headBytesAt } from "../src/skb-head.ts";
import { makeHost, NotingOwner, wordAt } from "./fixture.ts";

/** One host, two pools, device memory, and short ways to make skbs over them. */
export class Stand {
  readonly host: Host = makeHost();
  readonly slab: SkbSlab = new SkbSlab(this.host, { skbCount: 64 });
  readonly view: SkbView = new SkbView(this.slab);
  /** Every return, in order. */
  readonly log: number[] = [];
  readonly poolH: NotingOwner = new NotingOwner(this.host, "pool H", this.log);
  readonly poolD: NotingOwner = new NotingOwner(this.host, "pool D", this.log, MemType.Devmem);
  readonly area: NetIovArea;
  /** Page-level references on the area: a binding's count. */
  bindingRefs = 0;
  readonly freeAtStart: number;
  private iovs = 0;

  constructor() {
    this.area = this.host.areas.add({
      name: "gpu",
      count: 32,
      pageShift: 12,
      getRef: () => this.bindingRefs++,
      putRef: () => this.bindingRefs--,
    });
    this.freeAtStart = this.host.pages.freePageCount();
  }

  plainPage(): PageRef {
    return need(this.host.pages.allocPages(0));
  }

  /** An unreadable buffer of pool D. */
  iov(): NetmemRef {
    return this.poolD.claimIov(this.area, this.iovs++);
  }

  /** Takes an unreadable buffer away from its pool, as device memory for transmission is. */
  disown(iov: NetmemRef): void {
    this.host.i32[idxOf(iov)] = ownerTag(OWNER_NONE, NetmemState.Out) | genOf(iov);
  }

  /** An skb with `len` bytes, `seed`, `seed + 1`, ... in a page of pool H, or a plain page that is a fragment. */
  skb(len: number, seed = 0, head: PageRef = this.poolH.allocPage()): SkbRef {
    const skb = need(buildSkb(this.slab, head, 0, 4096, 256));
    const at = putSkb(this.slab, skb, len);
    for (let n = 0; n < len; n++) this.host.u8[at + n] = seed + n;
    return skb;
  }

  /** Appends a page of pool H with `len` bytes at 64, `seed`, `seed + 1`, ... */
  addPage(skb: SkbRef, len: number, seed = 0, page: PageRef = this.poolH.allocPage()): PageRef {
    const at = this.host.offsetOf(page) + 64;
    for (let n = 0; n < len; n++) this.host.u8[at + n] = seed + n;
    if (!addSkbFrag(this.slab, skb, page, 64, len, 4096)) throw new Error("17 fragments are there");
    return page;
  }

  /** Appends an unreadable buffer and marks the skb. */
  addIov(skb: SkbRef, len: number): NetmemRef {
    const iov = this.iov();
    addSkbFrag(this.slab, skb, iov, 0, len, 4096);
    markForRecycle(this.slab, skb);
    return iov;
  }

  /** 10 linear bytes, fragments of 20 and 30, a list of an skb with 5 + 6 bytes and one of 8: 79 bytes that count up. */
  mixed(): SkbRef {
    const skb = this.skb(10, 0);
    this.addPage(skb, 20, 10);
    this.addPage(skb, 30, 30, this.plainPage());
    const child = this.skb(5, 60);
    this.addPage(child, 6, 65);
    appendFragList(this.slab, skb, child);
    appendFragList(this.slab, skb, this.skb(8, 71));
    return skb;
  }

  /** Skbs that are live, and pages that are neither free nor back with pool H: {@link NOTHING} when all is given back. */
  lost(): [number, number] {
    return [this.slab.liveCount, this.freeAtStart - this.host.pages.freePageCount() - this.poolH.returned.length];
  }

  bytes(skb: SkbRef): number[] {
    const dst = new Uint8Array(this.view.of(skb).len);
    copyBits(this.slab, skb, 0, dst, dst.length);
    return [...dst];
  }

  fragRefs(skb: SkbRef): NetmemRef[] {
    const view = this.view.of(skb);
    return Array.from({ length: view.nrFrags }, (_, n) => view.fragRef(n));
  }

  isLive(ref: NetmemRef): boolean {
    const meta = wordAt(this.host, idxOf(ref));
    return (meta & META_STATE_MASK) === NetmemState.Out << 9 && (meta & GEN_MASK) === genOf(ref);
  }

  /** Whether `truesize` is what head, fragments and fragment list add up to, all the way down. */
  isTruesizeRight(skb: SkbRef): boolean {
    const { slab, host } = this;
    const at = slab.check(skb);
    const shinfo = wordAt(host, at + SKB_SHINFO);
    let sum = headBytesAt(slab, at);
    for (let n = 0; n < wordAt(host, shinfo + SHINFO_NR_FRAGS); n++) {
      sum += wordAt(host, fragAt(shinfo, n) + FRAG_TRUESIZE);
      if (asNetmemRef(wordAt(host, fragAt(shinfo, n) + FRAG_REF)) === 0) return false;
    }
    for (let child = wordAt(host, shinfo + SHINFO_FRAG_LIST); child !== 0;) {
      if (!this.isTruesizeRight(child as SkbRef)) return false;
      const childAt = slab.check(child as SkbRef);
      sum += wordAt(host, childAt + SKB_TRUESIZE);
      child = wordAt(host, childAt + SKB_NEXT);
    }
    return sum === wordAt(host, at + SKB_TRUESIZE);
  }
}

/** What {@link Stand.lost} says at the end of a test that gave everything back. */
export const NOTHING: [number, number] = [0, 0];

/** The value, which is not 0. */
export function need<T extends number>(value: T | 0): T {
  if (value === 0) throw new Error("exhausted");
  return value;
}

/** `seed`, `seed + 1`, ... modulo 256. */
export function ramp(len: number, seed = 0): number[] {
  return Array.from({ length: len }, (_, n) => (seed + n) & 0xff);
}
