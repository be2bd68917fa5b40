import { createPageShared } from "@netmem/mm";
import { XdpVerdict } from "@netmem/netdev";
import { makeStand } from "@netmem-examples/driver-stand";
import { asSkbRef, consumeSkb } from "@netmem/skb";
import { expect, test } from "vitest";
import { SplitPageDriver } from "../driver.ts";

const PACKETS = 5000;

function receiveMany(hold: number): { fast: number; slow: number; released: number } {
  const stand = makeStand((host, queue, hw) => new SplitPageDriver(host, createPageShared(host), queue, hw));
  const { nic, device, scheduler, skbs, driver } = stand;
  const held: number[] = [];
  device.setProgram(() => (hold === 0 ? XdpVerdict.Drop : XdpVerdict.Pass));
  device.setReceiver((received, count) => held.push(...received.subarray(0, count)));
  device.open();
  const frame = new Uint8Array(64);
  for (let n = 0; n < PACKETS; n++) {
    nic.receive(frame, 0, 64);
    scheduler.runUntilIdle();
    while (held.length > hold) consumeSkb(skbs, asSkbRef(held.shift() ?? 0));
  }
  for (const skb of held) consumeSkb(skbs, asSkbRef(skb));
  device.close();
  const { alloc, recycle } = driver.getStats();
  return { fast: alloc.fast, slow: alloc.slow, released: recycle.released };
}

test("halves of dropped packets are used again: no page beyond the first ring", () => {
  expect(receiveMany(0)).toMatchObject({ slow: 256, released: 0 });
});

test("a page is let go of when both halves are held", () => {
  const { slow, released } = receiveMany(1000);
  expect(released).toBeGreaterThan(1000);
  // Every page let go of was replaced, but for less than a batch of empty slots.
  expect(256 + released - slow).toBeGreaterThanOrEqual(0);
  expect(256 + released - slow).toBeLessThan(32);
});
