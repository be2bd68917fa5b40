import { asSkbRef, consumeSkb, dropSkb, SKB_DATA } from "@netmem/skb";
import { XdpVerdict } from "@netmem/netdev";
import { VirtualClock } from "@netmem/testing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { DMA_KINDS, makeMixedNic, QUEUE_COUNT } from "../mixed-nic.ts";

const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);
console.log(`mixed nic: NETMEM_SEED=${seed}`);

const VERDICTS = [
  XdpVerdict.Aborted,
  XdpVerdict.Drop,
  XdpVerdict.Pass,
  XdpVerdict.Pass,
  XdpVerdict.Tx,
  XdpVerdict.Redirect,
  99,
] as const;

const frame = fc.record({
  len: fc.oneof(fc.integer({ min: 60, max: 300 }), fc.integer({ min: 1400, max: 9100 })),
  queue: fc.nat(QUEUE_COUNT - 1),
  verdict: fc.nat(VERDICTS.length - 1),
  hold: fc.boolean(),
});
const step = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({ kind: fc.constant("frames" as const), frames: fc.array(frame, { maxLength: 80 }) }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("release" as const), share: fc.nat(100) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("pause" as const), paused: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const) }) },
);

/** Byte offsets in a test frame, in the IP header's id: what becomes of it. Payload may be where nobody can read it. */
const VERDICT_AT = 18;
const HOLD_AT = 19;

test.for(DMA_KINDS)(
  "random frames, verdicts, holders, pauses and restarts over all drivers: everything comes home (dma: %s)",
  async (dma) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
        const clock = new VirtualClock();
        const { host, nic, skbs, scheduler, device, drivers, binding } = makeMixedNic({ clock, dma });
        device.setProgram((xdp) => {
          xdp.redirectIfindex = device.ifindex;
          return VERDICTS[host.u8[xdp.data + VERDICT_AT] ?? 0] ?? 0;
        });
        const held: number[] = [];
        device.setReceiver((received, count) => {
          for (const skb of received.subarray(0, count)) {
            const data = host.i32[skbs.check(asSkbRef(skb)) + SKB_DATA] ?? 0;
            if (host.u8[data + HOLD_AT] === 1 && held.length < 500) held.push(skb);
            else consumeSkb(skbs, asSkbRef(skb));
          }
        });
        device.open();
        device.close();
        const free = host.pages.freePageCount();
        device.open();
        // UDP over IPv4, so that the table chooses the queue.
        const bytes = new Uint8Array(9200);
        bytes.set([0x08, 0x00, 0x45], 12);
        bytes[23] = 17;
        for (const one of steps) {
          if (one.kind === "frames") {
            for (const { len, queue, verdict, hold } of one.frames) {
              bytes.set([verdict, hold ? 1 : 0], VERDICT_AT);
              nic.rss.setTable(Array.from({ length: 128 }, () => queue));
              nic.receive(bytes, 0, len);
            }
            scheduler.runUntilIdle();
          } else if (one.kind === "release") {
            for (const skb of held.splice(0, (held.length * one.share) / 100)) dropSkb(skbs, asSkbRef(skb), 0);
          } else if (one.kind === "pause") nic.pauseTx(one.paused);
          else {
            device.close();
            device.open();
          }
        }
        device.close();
        for (const skb of held) consumeSkb(skbs, asSkbRef(skb));
        // A buffer stays out until its bytes have landed.
        await binding.landing.settled();
        // Pools that were closed with packets outside look again once a second.
        clock.advance(5000);
        expect(skbs.liveCount).toBe(0);
        expect(drivers.map((driver) => driver.inflight())).toEqual(drivers.map(() => 0));
        expect(host.pages.freePageCount()).toBe(free);
      }),
      { seed, numRuns: 30 },
    );
  },
);
