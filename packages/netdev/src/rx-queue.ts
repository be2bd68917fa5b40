import { type Host, type MemoryProviderOps, type RxQueueInfo, XdpRxqInfo } from "@netmem/core";
import type { SkbSlab } from "@netmem/skb";
import { type HeaderSplit, NO_HEADER_SPLIT } from "./header-split.ts";
import type { Napi } from "./napi.ts";
import { QueueCounters } from "./queue-counters.ts";
import { type BurstTarget, RxBurst } from "./rx-burst.ts";
import type { XskBinding } from "./xsk-binding.ts";

/** A queue pair of a device, as its driver sees it. How it is composed, its device changes: see `NetDevice`. */
export class RxQueue implements RxQueueInfo {
  readonly ifindex: number;
  readonly queueIdx: number;
  /** Provider bound to the queue, null for ordinary pages. Pools that allow unreadable memory take it from here. */
  provider: MemoryProviderOps | null = null;
  /** Bytes per buffer that the provider asked for, 0 = a page. */
  rxPageSizeBytes = 0;
  headerSplit: HeaderSplit = NO_HEADER_SPLIT;
  /** AF_XDP pool of the queue. */
  xsk: XskBinding | null = null;
  /** The program cannot handle packets in several buffers. */
  isSingleBuffer = false;
  /** A restart failed, and so did the way back: nothing is received until the device is closed and opened. */
  isDead = false;
  /** What the memory registry knows of the queue; programs see it as `xdp.rxq`. */
  readonly info: XdpRxqInfo = new XdpRxqInfo();
  readonly counters: QueueCounters;
  /** Takes the packets of a poll. */
  readonly burst: RxBurst;
  /** Set before the driver is made; schedule it from the interrupt. */
  readonly napi: Napi;

  /** @internal Made by a device. */
  constructor(
    host: Host,
    slab: SkbSlab,
    target: BurstTarget,
    napi: Napi,
    ifindex: number,
    queueIdx: number,
    counters: QueueCounters = new QueueCounters(host),
  ) {
    this.ifindex = ifindex;
    this.queueIdx = queueIdx;
    this.napi = napi;
    this.counters = counters;
    this.burst = new RxBurst(host, slab, target, this.counters, queueIdx);
  }
}
