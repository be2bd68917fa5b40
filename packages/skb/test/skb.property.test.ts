import { createHost, MemType, type PageRef } from "@netmem/core";
import { createPageAllocator, createPageShared } from "@netmem/mm";
import { VirtualClock } from "@netmem/testing";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  buildSkbFromFrame,
  buildSkbFromXdp,
  consumeSkb,
  convertBuffToFrame,
  dropSkb,
  type FrameRef,
  returnFrame,
  returnFrameRxNapi,
  type SkbRef,
  SkbSlab,
  XdpBuff,
} from "../src/index.ts";
import { makeRxq, NotingOwner } from "./fixture.ts";

/** NETMEM_SEED replays a run; without it every run has a seed of its own. */
const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);

const packet = fc.record({
  head: fc.nat(2),
  frags: fc.array(fc.nat(3), { maxLength: 20 }),
  ending: fc.constantFrom("drop", "frame", "frameNapi", "skb", "frameSkb", "dropSkb"),
  hold: fc.boolean(),
});

test("whatever becomes of random mixed packets, every buffer comes home exactly once", () => {
  console.log(`skbs: NETMEM_SEED=${seed}`);
  fc.assert(
    fc.property(fc.array(packet, { maxLength: 30 }), (packets) => {
      const host = createHost({
        arenaBytes: 8 * 2 ** 20,
        clock: new VirtualClock(),
        pageAllocator: createPageAllocator,
      });
      const shared = createPageShared(host);
      const slab = new SkbSlab(host, { skbCount: 16 });
      const pools = [new NotingOwner(host, "A"), new NotingOwner(host, "B", [], MemType.XskBuffPool)] as const;
      const freeAtStart = host.pages.freePageCount();
      let pooled = 0;
      const take = (kind: number): PageRef => {
        if (kind < 2) pooled++;
        return kind < 2
          ? pools[kind as 0 | 1].allocPage()
          : kind === 2
            ? (host.pages.allocPages(0) as PageRef)
            : (shared.alloc() as PageRef);
      };
      const xdp = new XdpBuff(host, makeRxq(MemType.PagePool), 4096);
      const held: (() => void)[] = [];
      for (const { head, frags, ending, hold } of packets) {
        const ref = take(head);
        xdp.prepare(ref, host.offsetOf(ref), 256, 60);
        for (const kind of frags) {
          const frag = take(kind);
          if (!xdp.addFrag(frag, 0, 100, 4096)) {
            // The 18th stays with us; a packet of its own is one way to get rid of it.
            const single = new XdpBuff(host, makeRxq(MemType.PagePool), 4096);
            single.prepare(frag, host.offsetOf(frag), 256, 60);
            single.returnBuff();
          }
        }
        const end = finish(ending);
        if (hold) held.push(end);
        else end();
      }
      function finish(ending: string): () => void {
        if (ending === "drop") {
          xdp.returnBuff();
          return () => {};
        }
        if (ending === "skb" || ending === "dropSkb") return skbEnd(buildSkbFromXdp(slab, xdp), ending);
        const frame = convertBuffToFrame(xdp) as FrameRef;
        if (ending === "frameSkb") {
          const skb = buildSkbFromFrame(slab, frame);
          return skb === 0 ? () => returnFrame(host, frame) : () => consumeSkb(slab, skb);
        }
        return () => (ending === "frame" ? returnFrame(host, frame) : returnFrameRxNapi(host, frame));
      }
      function skbEnd(skb: SkbRef | 0, ending: string): () => void {
        if (skb === 0) {
          xdp.returnBuff();
          return () => {};
        }
        return () => (ending === "skb" ? consumeSkb(slab, skb) : dropSkb(slab, skb, 3));
      }
      for (const end of held) end();
      expect(pools[0].returned.length + pools[1].returned.length).toBe(pooled);
      expect(host.pages.freePageCount()).toBe(freeAtStart - pooled);
      expect(slab.liveCount).toBe(0);
    }),
    { seed, numRuns: 200 },
  );
});
