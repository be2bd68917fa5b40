import { PagePoolDriver } from "@netmem-examples/driver-page-pool";
import type { Host } from "@netmem/core";
import { createIommuDevice } from "@netmem/dma";
import { DeviceRegistry, NapiScheduler, NetDevice } from "@netmem/netdev";
import { SimNic } from "@netmem/sim-nic";
import { asSkbRef, consumeSkb, SkbSlab, SkbView } from "@netmem/skb";
import { buildPacket, ipv4Address, macAddress } from "@netmem/testing";
import { createHost } from "netmem";

const BURST = 32;
const FRAME_BYTES = 64;
const SLOT_BYTES = 2048;
const TOP_BYTES = 2 ** 25;
const TOP_ORDER = 10;

/** Takes every page but those of the last 32 MiB, so that the pools live at the end of the arena. */
function takeLowPages(host: Host, arenaBytes: number): void {
  for (const order of [TOP_ORDER, 0]) {
    for (;;) {
      const block = host.pages.allocPages(order);
      if (block === 0) break;
      if (host.offsetOf(block) < arenaBytes - TOP_BYTES) continue;
      host.pages.freePage(block);
      break;
    }
  }
}

/** Packets from a NIC model through the page-pool driver, headers read by a program, skbs consumed. */
export class RxLoop {
  private readonly nic: SimNic;
  private readonly scheduler: NapiScheduler;
  private readonly skbs: SkbSlab;
  private readonly view: SkbView;
  private readonly frames: Uint8Array = new Uint8Array(BURST * SLOT_BYTES);
  private readonly offsets: Int32Array = new Int32Array(BURST);
  private readonly lengths: Int32Array = new Int32Array(BURST);
  private readonly leak: boolean;
  private leaked: object | null = null;
  private bytes = 0;
  private readonly arenaBytes: number;
  /** Arena offset of the last packet that the program saw. */
  private lastData = 0;

  constructor(arenaBytes: number, verdict: number, leak: boolean, iommu = false) {
    const host = createHost({ arenaBytes, ...(iommu ? { dma: (owner: Host) => createIommuDevice(owner) } : {}) });
    if (arenaBytes === 2 ** 31) takeLowPages(host, arenaBytes);
    this.arenaBytes = arenaBytes;
    this.leak = leak;
    this.nic = new SimNic(host, { queueCount: 1 });
    this.scheduler = new NapiScheduler(host);
    this.skbs = new SkbSlab(host);
    this.view = new SkbView(this.skbs);
    const { nic, scheduler, skbs } = this;
    const device = new NetDevice({ host, registry: new DeviceRegistry(), scheduler, skbs, name: "sim0" });
    device.addQueue({ driver: (queue) => new PagePoolDriver(host, queue, nic.queue(0)) });
    device.setReceiver((refs, count) => this.consume(refs, count));
    device.setProgram((xdp) => {
      this.lastData = xdp.data;
      return host.u8[xdp.data + 12] === 8 ? verdict : 0;
    });
    device.open();
    this.buildFrames();
  }

  /** Throws unless packets lie in the last 32 MiB of the arena. */
  checkTop(): void {
    if (this.lastData < this.arenaBytes - TOP_BYTES) throw new Error(`a packet lies at ${this.lastData}`);
  }

  run(packets: number): void {
    for (let n = 0; n < packets; n += BURST) {
      this.nic.receiveBurst(this.frames, this.offsets, this.lengths, BURST);
      this.scheduler.runUntilIdle();
      // A small object per burst, out of reach of escape analysis: the check must see it.
      if (this.leak) this.leaked = { previous: this.leaked === null ? 0 : n };
    }
  }

  private consume(refs: Int32Array, count: number): void {
    for (let n = 0; n < count; n++) {
      const skb = asSkbRef(refs[n]!);
      this.bytes = (this.bytes + this.view.of(skb).len) | 0;
      consumeSkb(this.skbs, skb);
    }
  }

  private buildFrames(): void {
    for (let n = 0; n < BURST; n++) {
      this.offsets[n] = n * SLOT_BYTES;
      this.lengths[n] = buildPacket(this.frames, n * SLOT_BYTES, {
        ethernet: { srcMac: macAddress("02:00:00:00:00:01"), dstMac: macAddress("02:00:00:00:00:02") },
        network: { kind: "ipv4", src: ipv4Address("10.0.0.1"), dst: ipv4Address("10.0.0.2") },
        transport: { kind: "udp", srcPort: 1024 + n, dstPort: 9 },
        frameBytes: FRAME_BYTES,
      });
    }
  }
}
