import type { DmaDevice } from "@netmem/core";
import { makeStand } from "@netmem-examples/driver-stand";
import { asSkbRef, consumeSkb, SKB_LEN } from "@netmem/skb";
import { expect, test } from "vitest";
import { PagePoolDriver } from "../driver.ts";

const SHIFT = 7000;

/** Page frame numbers are page indices plus 7000. */
function makeDma(): DmaDevice & { mapped: number } {
  return {
    name: "shifted",
    needsSync: false,
    mapped: 0,
    map(ref) {
      this.mapped++;
      return ((ref >>> 1) & 0xfffff) + SHIFT;
    },
    unmap() {
      this.mapped--;
    },
    syncForDevice() {},
    syncForCpu() {},
    translateMany(pfns, n) {
      for (let k = 0; k < n; k++) pfns[k] = ((pfns[k] ?? 0) - SHIFT) << 12;
    },
  };
}

test("behind a device that translates, buffers are mapped while the pool has them", () => {
  const dma = makeDma();
  const { nic, device, scheduler, skbs, driver } = makeStand((host, queue, hw) => new PagePoolDriver(host, queue, hw), {
    dma,
  });
  const lens: number[] = [];
  device.setReceiver((received, count) => {
    for (const skb of received.subarray(0, count)) {
      lens.push(skbs.host.i32[skbs.check(asSkbRef(skb)) + SKB_LEN] ?? 0);
      consumeSkb(skbs, asSkbRef(skb));
    }
  });
  device.open();
  expect(dma.mapped).toBeGreaterThanOrEqual(256);
  for (const len of [60, 4000, 9000]) nic.receive(new Uint8Array(len), 0, len);
  scheduler.runUntilIdle();
  expect([lens, nic.getStats().dmaFaults]).toEqual([[60, 4000, 9000], 0]);
  device.close();
  expect([dma.mapped, driver.inflight()]).toEqual([0, 0]);
});
