import { type Host, type MemoryProviderOps, type RxQueueInfo, XdpRxqInfo } from "@netmem/core";
import type { SkbSlab } from "@netmem/skb";
import type { Napi } from "./napi.ts";
import { QueueCounters } from "./queue-counters.ts";
import { type BurstTarget, RxBurst } from "./rx-burst.ts";

/** A queue pair of a device, as its driver sees it. */
export class RxQueue implements RxQueueInfo {
  readonly ifindex: number;
  readonly queueIdx: number;
  /** Provider bound to the queue, null for ordinary pages. */
  readonly provider: MemoryProviderOps | null = null;
  /** What the memory registry knows of the queue; programs see it as `xdp.rxq`. */
  readonly info: XdpRxqInfo = new XdpRxqInfo();
  readonly counters: QueueCounters;
  /** Takes the packets of a poll. */
  readonly burst: RxBurst;
  /** Set before the driver is made; schedule it from the interrupt. */
  readonly napi: Napi;

  /** @internal Made by a device. */
  constructor(host: Host, slab: SkbSlab, target: BurstTarget, napi: Napi, ifindex: number, queueIdx: number) {
    this.ifindex = ifindex;
    this.queueIdx = queueIdx;
    this.napi = napi;
    this.counters = new QueueCounters(host);
    this.burst = new RxBurst(host, slab, target, this.counters, queueIdx);
  }
}
