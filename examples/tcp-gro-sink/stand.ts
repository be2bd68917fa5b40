import { createReadStream } from "node:fs";
import { PagePoolDriver } from "@netmem-examples/driver-page-pool";
import { CaptureReader, PacketInfo, ReadStatus } from "@netmem/capture";
import type { Host } from "@netmem/core";
import { DeviceRegistry, NapiScheduler, NetDevice } from "@netmem/netdev";
import { SimNic } from "@netmem/sim-nic";
import { SkbSlab } from "@netmem/skb";
import { createHost } from "netmem";
import { FlowLog } from "./flow-log.ts";
import { Sink } from "./sink.ts";
import { TcpSegment } from "./tcp-segment.ts";

const MAX_FRAME_BYTES = 16_384;
/** Packets on the wire between two polls. */
const BURST = 64;
/** Bursts after which the wire is quiet for a moment. */
const BURSTS_PER_PAUSE = 4;

/** One NIC with one queue, whose packets go to a {@link Sink}. */
export class Stand {
  readonly host: Host = createHost({ arenaBytes: 64 * 2 ** 20 });
  readonly skbs: SkbSlab = new SkbSlab(this.host);
  readonly sink: Sink = new Sink(this.host, this.skbs);
  /** What was put on the wire. */
  readonly sent = new FlowLog();
  readonly driver: PagePoolDriver;
  private readonly nic: SimNic;
  private readonly scheduler: NapiScheduler;
  private readonly device: NetDevice;
  private readonly segment = new TcpSegment();
  private packets = 0;

  constructor() {
    this.nic = new SimNic(this.host, { queueCount: 1, rxDescCount: 512 });
    this.scheduler = new NapiScheduler(this.host);
    const made: PagePoolDriver[] = [];
    this.device = new NetDevice({
      host: this.host,
      registry: new DeviceRegistry(),
      scheduler: this.scheduler,
      skbs: this.skbs,
      name: "sim0",
    });
    this.device.addQueue({
      driver: (queue) => {
        const driver = new PagePoolDriver(this.host, queue, this.nic.queue(0));
        made.push(driver);
        return driver;
      },
    });
    this.device.setReceiver((skbs, count) => this.sink.receive(skbs, count));
    this.driver = made[0]!;
  }

  /** Replays a capture and waits until everything has been read. */
  async replay(file: string): Promise<void> {
    const reader = new CaptureReader();
    this.device.open();
    for await (const chunk of createReadStream(file)) {
      reader.push(chunk as Uint8Array);
      this.drain(reader);
    }
    reader.finish();
    this.drain(reader);
    this.scheduler.runUntilIdle();
    this.sink.flush();
    this.device.close();
  }

  private drain(reader: CaptureReader): void {
    const frame = new Uint8Array(MAX_FRAME_BYTES);
    const info = new PacketInfo();
    while (reader.nextInto(frame, 0, frame.length, info) === ReadStatus.packet) this.send(frame, info.storedLenBytes);
  }

  private send(frame: Uint8Array, lenBytes: number): void {
    const { segment } = this;
    if (!this.nic.receive(frame, 0, lenBytes)) return;
    if (segment.parse(frame, 0, lenBytes)) {
      this.sent.add(segment.flow, frame.subarray(segment.headerBytes, segment.headerBytes + segment.payloadBytes));
    }
    this.packets++;
    if (this.packets % BURST !== 0) return;
    this.scheduler.runUntilIdle();
    if (this.packets % (BURST * BURSTS_PER_PAUSE) === 0) this.sink.flush();
  }
}
