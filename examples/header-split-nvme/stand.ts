import { FbnicDriver } from "@netmem-examples/driver-fbnic-sub0-sub1";
import { type Clock, type Host, type NetmemWarning } from "@netmem/core";
import { createDevmem, type DeviceMemory, type Devmem, type DevmemBinding, DevmemSocket } from "@netmem/devmem";
import { DeviceRegistry, NapiScheduler, NetDevice } from "@netmem/netdev";
import { SimNic } from "@netmem/sim-nic";
import { asSkbRef, consumeSkb, SkbSlab, SkbView } from "@netmem/skb";
import { createHost } from "netmem";
import type { TcpFlow } from "./tcp-segment.ts";
import { TokenStream } from "./token-stream.ts";

export { type CapturedStream, largestStream, readFrames } from "./captured-stream.ts";
export { formatFlow, parseTcp, type TcpFlow } from "./tcp-segment.ts";
export { inOrder, type StreamPiece, TokenStream } from "./token-stream.ts";

const STREAM_QUEUE = 1;
const DESCS = 256;
/** Packets on the wire between two rounds of polls. */
const BURST = 64;

export interface StandParams {
  /** Where the stream's payload goes. */
  readonly memory: DeviceMemory;
  readonly flow: TcpFlow;
  readonly clock?: Clock;
  readonly onWarning?: (warning: NetmemWarning) => void;
}

/** A NIC with two queues: everybody's, and that of one TCP stream, whose payload goes to device memory. */
export class Stand {
  readonly host: Host;
  readonly nic: SimNic;
  readonly device: NetDevice;
  readonly binding: DevmemBinding;
  readonly socket: DevmemSocket;
  readonly stream: TokenStream;
  /** Packets of others, and those of the stream without payload. */
  otherPackets = 0;
  /** Frames that the NIC had no buffer or no staging for. */
  dropped = 0;
  private readonly devmem: Devmem;
  private readonly scheduler: NapiScheduler;
  private readonly skbs: SkbSlab;
  private readonly view: SkbView;

  constructor({ memory, flow, clock, onWarning }: StandParams) {
    const host = createHost({ arenaBytes: 32 * 2 ** 20, ...(clock && { clock }), ...(onWarning && { onWarning }) });
    const nic = new SimNic(host, { queueCount: 2, rxDescCount: DESCS, dataDescCount: DESCS });
    const skbs = new SkbSlab(host);
    const scheduler = new NapiScheduler(host);
    const registry = new DeviceRegistry();
    const device = new NetDevice({ host, registry, scheduler, skbs, name: "nic0", steering: nic.flows });
    for (const n of [0, STREAM_QUEUE])
      device.addQueue({ driver: (queue) => new FbnicDriver(host, queue, nic.queue(n)) });
    device.setHeaderSplit({ tcpDataSplit: "enabled" });
    device.setReceiver((batch, count) => this.receive(batch, count));
    device.open();
    // The stream, and nothing else, goes to the queue whose payload buffers are device memory.
    nic.rss.excludeQueue(STREAM_QUEUE);
    device.addFlowRule({ queueIdx: STREAM_QUEUE, protocol: "tcp", ...flow });
    const devmem = createDevmem(host);
    const view = new SkbView(skbs);
    this.devmem = devmem;
    this.binding = devmem.bindRx({ device, queues: [STREAM_QUEUE], memory, ports: nic.ports });
    const packets = { view, consume: (skb: number): void => consumeSkb(skbs, asSkbRef(skb)) };
    this.socket = new DevmemSocket(devmem, { packets });
    this.stream = new TokenStream(this.socket);
    this.host = host;
    this.nic = nic;
    this.device = device;
    this.scheduler = scheduler;
    this.skbs = skbs;
    this.view = new SkbView(skbs);
  }

  /** Puts frames on the wire, a burst at a time, and has the application take what has landed. */
  async run(frames: readonly Uint8Array[]): Promise<void> {
    for (let from = 0; from < frames.length; from += BURST) {
      for (const frame of frames.slice(from, from + BURST)) {
        if (!this.nic.receive(frame, 0, frame.length)) this.dropped++;
      }
      this.scheduler.runUntilIdle();
      this.stream.receive();
      await new Promise((resolve) => setTimeout(resolve));
    }
    await this.binding.landing.settled();
    this.stream.receive();
  }

  /** Ends everything: tokens go back, queues get ordinary pages; resolves when every page of the memory is home. */
  async close(): Promise<void> {
    this.stream.returnAll();
    this.socket.close();
    this.devmem.unbind(this.binding);
    this.device.close();
    await this.binding.freed();
  }

  private receive(batch: Int32Array, count: number): void {
    for (let n = 0; n < count; n++) {
      const skb = asSkbRef(batch[n]!);
      if (this.view.of(skb).unreadable && this.socket.enqueue(skb)) continue;
      this.otherPackets++;
      consumeSkb(this.skbs, skb);
    }
  }
}
