import type { DmaDevice, Host } from "@netmem/core";
import {
  type BalancedDevice,
  createBounceDevice,
  createDirectDevice,
  createIommuDevice,
  withBalance,
} from "@netmem/dma";
import { XdpVerdict } from "@netmem/netdev";
import { driverSuite } from "@netmem/netdev/conformance";
import { asSkbRef, consumeSkb } from "@netmem/skb";
import { check, checkEqual, Prng, runSuite, VirtualClock } from "@netmem/testing";
import { type MakeDriver, makeStand, makeSubject } from "./stand.ts";

/** Devices of `@netmem/dma` that a driver may find itself behind. */
export const dmaDevices: Readonly<Record<string, (host: Host) => DmaDevice>> = {
  direct: createDirectDevice,
  iommu: createIommuDevice,
  bounce: (host) => createBounceDevice(host, { skipCpuSync: true }),
};

const JUST_BELOW_WRAP = 0xfffffff0;

/**
 * The driver conformance suite without a DMA device and behind each one of `@netmem/dma`, where every mapping must be
 * gone afterwards; half of the times with ring indices that wrap.
 */
export function registerDriverTests(
  makeDriver: MakeDriver,
  bufferBytes: number,
  register: (name: string, run: () => void | Promise<void>) => void,
): void {
  for (const startIndex of [0, JUST_BELOW_WRAP]) {
    const make = (): ReturnType<typeof makeSubject> => makeSubject(makeDriver, bufferBytes, { startIndex });
    runSuite(driverSuite, make, (name, run) => register(`${name} (indices from ${startIndex})`, run));
  }
  for (const [n, [name, makeDma]] of Object.entries(dmaDevices).entries()) {
    const startIndex = n % 2 === 0 ? JUST_BELOW_WRAP : 0;
    registerBehind(makeDriver, bufferBytes, startIndex, makeDma, (title, run) => register(`${title} (${name})`, run));
  }
  register("faults of the device lose packets, not buffers", () => losesNoBuffers(makeDriver, bufferBytes));
}

/** Every twentieth address faults, on receive and on transmit. */
function losesNoBuffers(makeDriver: MakeDriver, bufferBytes: number): void {
  const prng = new Prng(5);
  const clock = new VirtualClock();
  let balance: BalancedDevice | null = null;
  const dma = (host: Host): DmaDevice => {
    balance = withBalance(createIommuDevice(host));
    const translate = balance.translateMany.bind(balance);
    balance.translateMany = (pfns, n, access) => {
      translate(pfns, n, access);
      for (let k = 0; k < n; k++) if (prng.below(20) === 0) pfns[k] = -1;
    };
    return balance;
  };
  const { host, nic, device, scheduler, skbs, driver } = makeStand(makeDriver, { dma, clock });
  let seen = 0;
  let sent = 0;
  let passed = 0;
  device.setProgram(() => [XdpVerdict.Drop, XdpVerdict.Pass, XdpVerdict.Tx][seen++ % 3]!);
  device.setReceiver((received, count) => {
    for (const skb of received.subarray(0, count)) consumeSkb(skbs, asSkbRef(skb));
    passed += count;
  });
  nic.setWire((_bytes, _offsets, _lengths, count) => {
    sent += count;
  });
  device.open();
  device.close();
  clock.advance(5000);
  const free = host.pages.freePageCount();
  device.open();
  for (let n = 0; n < 3000; n++) {
    nic.receive(new Uint8Array(9000), 0, n % 3 === 0 ? 2 * bufferBytes : 64);
    if (n % 16 === 0) scheduler.runUntilIdle();
  }
  scheduler.runUntilIdle();
  const stats = device.getStats()[0]!;
  const { dmaFaults, rxNoDesc } = nic.getStats();
  check(stats.rxBroken > 100 && stats.txPackets - sent > 10, "too few faults to tell");
  checkEqual(dmaFaults, stats.rxBroken + stats.txPackets - sent, "packets that the device lost");
  checkEqual([rxNoDesc, seen, passed], [0, 3000 - stats.rxBroken, stats.xdpPass], "dropped, judged, passed");
  device.close();
  clock.advance(5000);
  checkEqual(
    [driver.inflight(), skbs.liveCount, host.pages.freePageCount()],
    [0, 0, free],
    "in flight, skbs, free pages",
  );
  (balance as unknown as BalancedDevice).assertBalanced();
}

function registerBehind(
  makeDriver: MakeDriver,
  bufferBytes: number,
  startIndex: number,
  makeDma: (host: Host) => DmaDevice,
  register: (name: string, run: () => Promise<void>) => void,
): void {
  let balance: BalancedDevice | null = null;
  const dma = (host: Host): DmaDevice => (balance = withBalance(makeDma(host)));
  const make = (): ReturnType<typeof makeSubject> => makeSubject(makeDriver, bufferBytes, { startIndex, dma });
  runSuite(driverSuite, make, (name, run) =>
    register(name, async () => {
      await run();
      balance?.assertBalanced();
    }),
  );
}
