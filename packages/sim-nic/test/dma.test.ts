import { createHost, DmaDir, type Host } from "@netmem/core";
import { createBounceDevice, createIommuDevice } from "@netmem/dma";
import { createPageAllocator } from "@netmem/mm";
import { VirtualClock } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import { SimNic } from "../src/index.ts";
import { makeHost, takePage } from "./fixture.ts";

const devices = {
  iommu: createIommuDevice,
  bounce: (host: Host) => createBounceDevice(host),
};

describe.for(Object.entries(devices))("%s", ([, dma]) => {
  function setUp(): { host: Host; nic: SimNic; map: (dir: DmaDir) => { pfn: number; at: number } } {
    const host = createHost({
      arenaBytes: 16 * 2 ** 20,
      clock: new VirtualClock(),
      pageAllocator: createPageAllocator,
      dma,
    });
    const nic = new SimNic(host, { queueCount: 1 });
    const map = (dir: DmaDir): { pfn: number; at: number } => {
      const page = takePage(host);
      return { pfn: host.dma?.map(page, 0, dir) ?? 0, at: host.offsetOf(page) };
    };
    return { host, nic, map };
  }

  test("a write through a mapping that the device may only read faults: the packet is lost and counted", () => {
    const { host, nic, map } = setUp();
    const { rx } = nic.queue(0);
    const wrong = map(DmaDir.ToDevice);
    rx.post(wrong.pfn, 0, 2048, 0);
    rx.post(map(DmaDir.FromDevice).pfn, 0, 2048, 0);
    rx.post(map(DmaDir.Bidirectional).pfn, 0, 2048, 0);
    const frame = new Uint8Array(64).fill(0x77);
    expect([1, 2, 3].map(() => nic.receive(frame, 0, 64))).toEqual([false, true, true]);
    expect(nic.getStats()).toMatchObject({ rxPackets: 2, rxNoDesc: 0, dmaFaults: 1 });
    host.dma?.unmap(wrong.pfn, 0, DmaDir.ToDevice);
    expect(host.u8.subarray(wrong.at, wrong.at + 64)).toEqual(new Uint8Array(64));
  });

  test("a read through a mapping that the device may only write faults: nothing is sent", () => {
    const { nic, map } = setUp();
    const { tx, txEngine } = nic.queue(0);
    let sent = 0;
    nic.setWire((_bytes, _offsets, _lengths, count) => {
      sent += count;
    });
    const good = map(DmaDir.ToDevice).pfn;
    const wrong = map(DmaDir.FromDevice).pfn;
    tx.post(wrong, 0, 64, 1);
    tx.post(good, 0, 64, 0);
    tx.post(wrong, 0, 64, 1);
    tx.post(good, 0, 64, 0);
    tx.post(map(DmaDir.Bidirectional).pfn, 0, 64, 1);
    txEngine.doorbell();
    expect([sent, tx.completed - tx.cleaned]).toEqual([1, 5]);
    expect(nic.getStats()).toMatchObject({ txPackets: 1, dmaFaults: 2 });
  });
});

test("a NIC may have a device of its own for each queue", () => {
  const host = makeHost();
  const iommu = createIommuDevice(host);
  const nic = new SimNic(host, { queueCount: 2, dma: (queueIdx) => (queueIdx === 0 ? null : iommu) });
  expect([nic.queue(0).dma, nic.queue(1).dma]).toEqual([null, iommu]);
});
