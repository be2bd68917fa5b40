/* data path */
import { flushReturns, holdReturns, type Host, NetmemError } from "@netmem/core";
import {
  asFrameRef,
  asSkbRef,
  buildSkbFromFrame,
  DropReason,
  dropSkb,
  type FrameRef,
  returnFrame,
  type SkbSlab,
} from "@netmem/skb";
import type { FrameSender } from "./frame-link.ts";
import type { ReceiveHandler } from "./net-device.ts";
import { QueueCounter, type QueueCounters } from "./queue-counters.ts";
import type { QueueDriver } from "./queue-driver.ts";
import type { BurstTarget } from "./rx-burst.ts";

/** Where the packets of a worker go: its own queue, other workers by links, the receiver of its skbs. */
export class WorkerTarget implements BurstTarget {
  /** By number of the link. */
  readonly links: (FrameSender | undefined)[] = [];
  readonly names: Map<string, number> = new Map<string, number>();
  driver: QueueDriver | null = null;
  receive: ReceiveHandler | null = null;
  private readonly host: Host;
  private readonly slab: SkbSlab;
  private readonly counters: QueueCounters;
  private readonly skbs: Int32Array = new Int32Array(64);

  constructor(host: Host, slab: SkbSlab, counters: QueueCounters) {
    this.host = host;
    this.slab = slab;
    this.counters = counters;
  }

  target(worker: string): number {
    return this.names.get(worker) ?? failUnknown(worker, this.names);
  }

  redirect(target: number, frames: Int32Array, n: number): number {
    return this.links[target]?.send(frames, n) ?? 0;
  }

  roomOf(target: number): number {
    return this.links[target]?.room() ?? 0;
  }

  xdpXmit(frames: Int32Array, n: number): number {
    return this.driver === null ? 0 : this.driver.xdpXmit(frames, n);
  }

  deliver(skbs: Int32Array, count: number): void {
    if (this.receive !== null) {
      this.receive(skbs, count);
      return;
    }
    for (let n = 0; n < count; n++) dropSkb(this.slab, asSkbRef(skbs[n]!), DropReason.DevReady);
  }

  /** Frames of a link that nobody else takes: to the own queue, else to skbs. */
  takeFrames(frames: Int32Array, count: number): void {
    if (this.driver === null) return this.deliverFrames(frames, count);
    const taken = this.driver.xdpXmit(frames, count);
    if (taken === count) return;
    this.counters.add(QueueCounter.XmitErrors, count - taken);
    holdReturns(this.host);
    for (let n = taken; n < count; n++) returnFrame(this.host, asFrameRef(frames[n]!));
    flushReturns(this.host);
  }

  deliverFrames(frames: Int32Array, count: number): void {
    const { slab, skbs } = this;
    let built = 0;
    for (let n = 0; n < count; n++) {
      const frame = asFrameRef(frames[n]!);
      const skb = buildSkbFromFrame(slab, frame);
      if (skb !== 0) skbs[built++] = skb;
      else this.refuse(frame);
      if (built < skbs.length) continue;
      this.deliver(skbs, built);
      built = 0;
    }
    if (built > 0) this.deliver(skbs, built);
  }

  private refuse(frame: FrameRef): void {
    this.counters.add(QueueCounter.SkbNoMem, 1);
    returnFrame(this.host, frame);
  }
}

function failUnknown(worker: string, names: ReadonlyMap<string, number>): never {
  throw new NetmemError({
    code: "ERR_NETMEM_LINK_UNKNOWN",
    errno: "ENOENT",
    reason: `there is no link to worker ${worker}; there are ${names.size} others`,
    remedy: "Name it in the links of the WorkerGroup.",
    param: "worker",
    value: worker,
  });
}
