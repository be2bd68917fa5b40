import { asSkbRef, cloneSkb, consumeSkb, copySkb, dropSkb, type SkbRef } from "@netmem/skb";
import { seqOf, wishOf } from "./frame-source.ts";
import { Wish } from "./ledger.ts";
import type { World } from "./world.ts";

const MAX_HELD = 600;

/** The network stack: holds, clones and copies readable packets, and looks at each when it lets go of it. */
export class Stack {
  private readonly world: World;
  private readonly held: SkbRef[] = [];

  constructor(world: World) {
    this.world = world;
  }

  get heldCount(): number {
    return this.held.length;
  }

  /** Takes a readable packet. */
  take(skb: SkbRef): void {
    const { host, bytes, ledger, slab } = this.world;
    const { data } = bytes.view.of(skb);
    const wish = wishOf(host.u8, data);
    const seq = seqOf(host.u8, data);
    if (wish === Wish.Discard) {
      ledger.drop(seq);
      dropSkb(slab, skb, 0);
      return;
    }
    if (wish === Wish.Clone || wish === Wish.Copy) {
      const more = wish === Wish.Clone ? cloneSkb(slab, skb) : copySkb(slab, skb);
      if (more !== 0) {
        ledger.fork(seq);
        this.hold(more);
      }
    }
    if (wish === Wish.Hold) this.hold(skb);
    else this.end(skb);
  }

  /** Keeps a packet for a while, clones of unreadable ones too. */
  hold(skb: SkbRef): void {
    if (this.held.length >= MAX_HELD) this.release(1);
    this.held.push(skb);
  }

  /** Lets go of any `count` packets. */
  release(count: number): void {
    for (let n = Math.min(count, this.held.length); n > 0; n--) {
      const at = this.world.prng.below(this.held.length);
      const skb = this.held[at]!;
      const last = this.held.pop()!;
      if (at < this.held.length) this.held[at] = last;
      this.end(skb);
    }
  }

  /** Looks at all bytes that can be seen, and gives them back. */
  private end(skb: SkbRef): void {
    const { host, bytes, ledger, slab, prng } = this.world;
    const view = bytes.view.of(skb);
    const seq = seqOf(host.u8, view.data);
    if (view.unreadable) ledger.drop(seq);
    else ledger.verify(seq, bytes.crcOf(skb), bytes.lenOf(skb));
    if (prng.bool(0.5)) consumeSkb(slab, asSkbRef(skb));
    else dropSkb(slab, asSkbRef(skb), 0);
  }
}
