import type { Host, PageAllocator } from "@netmem/core";
import { createIommuDevice, withBalance, withMapFaults } from "@netmem/dma";
import { createPageAllocatorWith } from "@netmem/mm";
import { DeviceRegistry, NapiScheduler, NetDevice, type QueueDriver, type RxQueue } from "@netmem/netdev";
import { type NicQueue, SimNic } from "@netmem/sim-nic";
import { asSkbRef, consumeSkb, SkbSlab } from "@netmem/skb";
import { buildPacket, type FaultInjector, ipv4Address, macAddress, VirtualClock } from "@netmem/testing";
import { createHost } from "netmem";

export type MakeDriver = (host: Host, queue: RxQueue, hw: NicQueue) => QueueDriver;

const FRAME_SIZES = [64, 1514, 6000];
const SLOT_BYTES = 8192;
const RELEASE_MS = 3000;
/** Pages that may be out at a time; the arena has more. */
export const LIMIT_PAGES = 1500;

/** Asks the injector of the current run, when there is one. */
class Gate {
  injector: FaultInjector | null = null;

  fails(point: string): boolean {
    return this.injector?.shouldFail(point) ?? false;
  }
}

/** The page allocator with three ways to be short: no page, no batch, half a batch. */
function faultyPages(host: Host, gate: Gate): PageAllocator {
  const real = createPageAllocatorWith({ limitPages: LIMIT_PAGES })(host);
  return {
    name: real.name,
    totalPageCount: real.totalPageCount,
    allocPages: (order, nid, strict) => (gate.fails("page") ? 0 : real.allocPages(order, nid, strict)),
    allocBulk: (out, max, nid, strict) => {
      if (gate.fails("batch")) return 0;
      return real.allocBulk(out, gate.fails("half batch") ? max >> 1 : max, nid, strict);
    },
    freePage: (ref) => real.freePage(ref),
    freeBulk: (refs, count) => real.freeBulk(refs, count),
    freePageCount: (nid) => real.freePageCount(nid),
  };
}

/** A NIC behind an IOMMU and one queue with a driver; memory and mappings can be refused. */
export class RxRig {
  readonly gate: Gate = new Gate();
  readonly host: Host;
  readonly device: NetDevice;
  passed = 0;
  sent = 0;
  private readonly clock = new VirtualClock();
  private readonly nic: SimNic;
  private readonly scheduler: NapiScheduler;
  private readonly skbs: SkbSlab;
  private readonly frame = new Uint8Array(SLOT_BYTES);
  private balance: { assertBalanced(): void } | null = null;

  constructor(makeDriver: MakeDriver) {
    this.host = createHost({
      arenaBytes: 8 * 2 ** 20,
      clock: this.clock,
      pageAllocator: (host) => faultyPages(host, this.gate),
      dma: (host) => {
        const device = withBalance(withMapFaults(createIommuDevice(host), () => this.gate.fails("map")));
        this.balance = device;
        return device;
      },
    });
    const { host } = this;
    this.nic = new SimNic(host, { queueCount: 1, rxDescCount: 32, txDescCount: 8 });
    this.scheduler = new NapiScheduler(host);
    this.skbs = new SkbSlab(host, { skbCount: 64 });
    const { scheduler, skbs, nic } = this;
    this.device = new NetDevice({ host, registry: new DeviceRegistry(), scheduler, skbs, name: "sim0" });
    this.device.addQueue({ driver: (queue) => makeDriver(host, queue, nic.queue(0)) });
    this.device.setReceiver((refs, count) => {
      for (let n = 0; n < count; n++) consumeSkb(skbs, asSkbRef(refs[n]!));
      this.passed += count;
    });
  }

  /** Sends packets of several sizes, in bursts of four. */
  send(packets: number): void {
    for (let n = 0; n < packets; n++) {
      const lenBytes = buildPacket(this.frame, 0, {
        ethernet: { srcMac: macAddress("02:00:00:00:00:01"), dstMac: macAddress("02:00:00:00:00:02") },
        network: { kind: "ipv4", src: ipv4Address("10.0.0.1"), dst: ipv4Address("10.0.0.2") },
        transport: { kind: "udp", srcPort: 1024 + n, dstPort: 9 },
        frameBytes: FRAME_SIZES[n % FRAME_SIZES.length]!,
      });
      this.nic.receive(this.frame, 0, lenBytes);
      this.sent++;
      if (n % 4 === 3) this.scheduler.runUntilIdle();
    }
    this.scheduler.runUntilIdle();
  }

  /** Packets that were neither received nor counted as dropped. */
  unaccounted(): number {
    const { rxPackets, rxNoDesc, dmaFaults } = this.nic.getStats();
    return this.sent - rxPackets - rxNoDesc - dmaFaults;
  }

  /** Closes the device and lets a pool with buffers outside go. Throws when a mapping is left. */
  close(): void {
    this.device.close();
    this.clock.advance(RELEASE_MS);
    this.balance?.assertBalanced();
  }
}
