import { createHost } from "@netmem/core";
import { createPageAllocator } from "@netmem/mm";
import { DeviceRegistry, NapiScheduler, NetDevice } from "@netmem/netdev";
import { type DriverSubject, driverSuite, queueMgmtSuite } from "@netmem/netdev/conformance";
import { SimNic } from "@netmem/sim-nic";
import { SHARED_INFO_BYTES, SkbSlab } from "@netmem/skb";
import { runSuite, VirtualClock } from "@netmem/testing";
import { test } from "vitest";
import { SplitDriver } from "./split-driver.ts";

const RING = 256;

function makeSubject(): DriverSubject {
  const clock = new VirtualClock();
  const host = createHost({ arenaBytes: 32 * 2 ** 20, clock, pageAllocator: createPageAllocator });
  const nic = new SimNic(host, {
    queueCount: 1,
    rxDescCount: RING,
    txDescCount: 64,
    dataDescCount: RING,
    maxFrameBytes: 16_384,
  });
  const skbs = new SkbSlab(host);
  const scheduler = new NapiScheduler(host);
  const device = new NetDevice({ host, registry: new DeviceRegistry(), scheduler, skbs, name: "nic0" });
  device.addQueue({ driver: (queue) => new SplitDriver(host, queue, nic.queue(0)) });
  device.setHeaderSplit({ tcpDataSplit: "enabled" });
  const sent: Uint8Array[] = [];
  nic.setWire((bytes, offsets, lengths, count) => {
    for (let n = 0; n < count; n++) sent.push(bytes.slice(offsets[n], offsets[n]! + lengths[n]!));
  });
  return {
    host,
    skbs,
    scheduler,
    device,
    bufferBytes: 4096 - 256 - SHARED_INFO_BYTES,
    ringSize: RING,
    inject: (frame) => nic.receive(frame, 0, frame.length),
    takeSent: () => sent.splice(0),
    pauseWire: (paused) => nic.pauseTx(paused),
    passTime: (ms) => clock.advance(ms),
  };
}

runSuite(driverSuite, makeSubject, test);
runSuite(queueMgmtSuite, makeSubject, test);
