import { asSkbRef, consumeSkb, copyBits, SkbView } from "@netmem/skb";
import { XdpVerdict } from "@netmem/netdev";
import { fillPattern, findPatternMismatch, VirtualClock } from "@netmem/testing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { makeMixedNic } from "../mixed-nic.ts";

const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);
console.log(`mixed nic: NETMEM_SEED=${seed}`);

const frame = fc.record({
  len: fc.oneof(fc.integer({ min: 60, max: 300 }), fc.integer({ min: 1100, max: 9100 })),
  verdict: fc.constantFrom(XdpVerdict.Drop, XdpVerdict.Pass, XdpVerdict.Pass, XdpVerdict.Tx),
});
const bursts = fc.array(fc.array(frame, { minLength: 1, maxLength: 40 }), { minLength: 1, maxLength: 40 });
type Bursts = typeof bursts extends fc.Arbitrary<infer T> ? T : never;

/** A packet on its way: its bytes follow from its seed. */
interface Sample {
  readonly seed: number;
  readonly len: number;
}

function expectBytes(bytes: Uint8Array, at: number, len: number, of: Sample | undefined): void {
  expect(len).toBe(of?.len);
  expect(findPatternMismatch(bytes, at, len, of?.seed ?? 0), "first wrong byte").toBe(-1);
}

/** Runs bursts through one queue; every packet is verified where the program, the stack and the wire see it. */
function verify(queueIdx: number, all: Bursts): void {
  const { host, nic, skbs, scheduler, device } = makeMixedNic({ clock: new VirtualClock(), dma: "bounce" });
  const view = new SkbView(skbs);
  const arriving: (Sample & { verdict: number })[] = [];
  const passing: Sample[] = [];
  const sending: Sample[] = [];
  device.setProgram((xdp) => {
    const sample = arriving.shift();
    expectBytes(host.u8, xdp.data, xdp.dataEnd - xdp.data, sample && { ...sample, len: xdp.dataEnd - xdp.data });
    return sample?.verdict ?? XdpVerdict.Aborted;
  });
  device.setReceiver((received, count) => {
    for (const raw of received.subarray(0, count)) {
      const skb = asSkbRef(raw);
      const { len } = view.of(skb);
      const copy = new Uint8Array(len);
      copyBits(skbs, skb, 0, copy, len);
      expectBytes(copy, 0, len, passing.shift());
      consumeSkb(skbs, skb);
    }
  });
  nic.setWire((bytes, offsets, lengths, count) => {
    for (let n = 0; n < count; n++) expectBytes(bytes, offsets[n] ?? 0, lengths[n] ?? 0, sending.shift());
  });
  nic.rss.setTable(Array.from({ length: 128 }, () => queueIdx));
  device.open();
  const bytes = new Uint8Array(9200);
  // Patterns repeat with 256 seeds: what a buffer held before must not look like what it holds now.
  let seed = 0;
  for (const burst of all) {
    for (const { len, verdict } of burst) {
      const sample = { seed: seed++ % 251, len, verdict };
      fillPattern(bytes, 0, len, sample.seed);
      expect(nic.receive(bytes, 0, len)).toBe(true);
      arriving.push(sample);
      if (verdict === XdpVerdict.Pass) passing.push(sample);
      if (verdict === XdpVerdict.Tx) sending.push(sample);
    }
    scheduler.runUntilIdle();
  }
  expect([arriving, passing, sending]).toEqual([[], [], []]);
  device.close();
}

test("page_pool: every packet arrives byte for byte behind a device that works on copies", () => {
  fc.assert(
    fc.property(bursts, (all) => verify(0, all)),
    { seed, numRuns: 20 },
  );
});

test("page_shared: every packet arrives byte for byte behind a device that works on copies", () => {
  fc.assert(
    fc.property(bursts, (all) => verify(1, all)),
    { seed, numRuns: 20 },
  );
});

test("page_order0: every packet arrives byte for byte behind a device that works on copies", () => {
  fc.assert(
    fc.property(bursts, (all) => verify(2, all)),
    { seed, numRuns: 20 },
  );
});
