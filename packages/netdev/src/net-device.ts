import { checkInt, type Host, type MemoryProviderOps, NetmemError } from "@netmem/core";
import { asSkbRef, DropReason, dropSkb, type SkbSlab } from "@netmem/skb";
import type { DeviceRegistry } from "./device-registry.ts";
import type { FlowRule, FlowRuleInfo, FlowSteering } from "./flow-rule.ts";
import { changeHeaderSplit, type HeaderSplitParams } from "./header-split.ts";
import { Napi, NAPI_POLL_WEIGHT } from "./napi.ts";
import type { NapiScheduler } from "./napi-scheduler.ts";
import {
  closeProvider,
  openProvider,
  type ProviderParams,
  swapProvider,
  uninstallProviders,
} from "./provider-binding.ts";
import type { QueueStats } from "./queue-counters.ts";
import type { QueueDriver } from "./queue-driver.ts";
import { drainQueue, failPolling, restartQueue } from "./queue-restart.ts";
import { checkChannels, checkProgram, type QueueRules } from "./queue-rules.ts";
import { RxQueue } from "./rx-queue.ts";
import type { XdpProgram, XdpProgramOptions } from "./xdp-program.ts";
import { attachXsk, detachXsk, type XskMode } from "./xsk-binding.ts";

/** Takes the skbs of a poll: `skbs[0..count)` belong to the callee, the array does not. */
export type ReceiveHandler = (skbs: Int32Array, count: number) => void;

export interface NetDeviceParams {
  readonly host: Host;
  readonly registry: DeviceRegistry;
  readonly scheduler: NapiScheduler;
  /** Where packets that pass become skbs. */
  readonly skbs: SkbSlab;
  readonly name: string;
  /** What steers flows to the device's queues, if the hardware can. */
  readonly steering?: FlowSteering;
  /** What excludes what on the device's queues. Default `kernel`. */
  readonly queueRules?: QueueRules;
  /** False for a device that takes no lock around its control path: it cannot have providers. Default true. */
  readonly opsLock?: boolean;
  /** Tells the hardware how many queues to spread packets over, e.g. `(count) => nic.rss.setQueueCount(count)`. */
  readonly setQueueCount?: (count: number) => void;
}

export interface QueueParams {
  /** Makes the queue's driver. */
  readonly driver: (queue: RxQueue) => QueueDriver;
  /** Packets per poll, 1 to 64. Default 64. */
  readonly weight?: number;
}

/**
 * A network device: queues, each with a driver of its own, a program, and somebody who takes what passes. Control path,
 * apart from {@link xdpXmit}. Add queues, then {@link open}.
 */
export class NetDevice {
  readonly name: string;
  readonly ifindex: number;
  readonly host: Host;
  readonly queues: RxQueue[] = [];
  readonly drivers: QueueDriver[] = [];
  readonly queueRules: QueueRules;
  /** @internal */
  readonly hasOpsLock: boolean;
  /** @internal */
  readonly scheduler: NapiScheduler;
  private readonly registry: DeviceRegistry;
  private readonly setQueueCount: ((count: number) => void) | null;
  private readonly skbs: SkbSlab;
  private readonly steering: FlowSteering | null;
  /** Rules that this device added. */
  private readonly flowIds = new Set<number>();
  private receive: ReceiveHandler | null = null;
  private openCount = 0;
  private channels = 0;
  private registered = true;

  /** @throws `ERR_NETMEM_NAME_TAKEN` (EEXIST) */
  constructor(params: NetDeviceParams) {
    this.host = params.host;
    this.registry = params.registry;
    this.scheduler = params.scheduler;
    this.skbs = params.skbs;
    this.name = params.name;
    this.steering = params.steering ?? null;
    this.queueRules = params.queueRules ?? "kernel";
    this.hasOpsLock = params.opsLock ?? true;
    this.setQueueCount = params.setQueueCount ?? null;
    this.ifindex = params.registry.register(this);
  }

  get isUp(): boolean {
    return this.openCount > 0;
  }

  /** False once {@link unregister} was called. */
  get isRegistered(): boolean {
    return this.registered;
  }

  /** Queues that receive when the device is up (kernel: `real_num_rx_queues`). */
  get realQueueCount(): number {
    return this.channels;
  }

  /** Whether a queue is started, or died while it was. */
  isQueueRunning(queueIdx: number): boolean {
    return queueIdx < this.openCount && this.queues[queueIdx]?.isDead !== true;
  }

  /**
   * Adds the next queue and makes its driver. Queues are added while the device is down.
   * @throws `ERR_NETMEM_DEVICE_UP` (EBUSY), and what the driver's constructor throws: the queue does not exist then.
   */
  addQueue(params: QueueParams): RxQueue {
    if (this.isUp) failUp(this.name);
    const weight = checkInt("weight", params.weight ?? NAPI_POLL_WEIGHT, 1, NAPI_POLL_WEIGHT);
    const queueIdx = this.queues.length;
    const poll = (budget: number): number => this.drivers[queueIdx]!.poll(budget);
    const napi = new Napi(this.host, this.scheduler, this.registry.takeNapiId(), poll, weight);
    const queue = new RxQueue(this.host, this.skbs, this, napi, this.ifindex, queueIdx);
    this.drivers.push(makeDriver(params, queue));
    this.queues.push(queue);
    this.channels = this.queues.length;
    return queue;
  }

  /**
   * Sets the program of one queue, or of all; null passes everything. In force from the next burst on.
   *
   * @throws `ERR_NETMEM_PROVIDER_BOUND` (EBUSY) on a device with a memory provider under the kernel's rules;
   * `ERR_NETMEM_XDP_SINGLE_BUFFER` (EBUSY) for a program of single buffers on a queue that splits headers off.
   */
  setProgram(program: XdpProgram | null, queueIdx?: number, options: XdpProgramOptions = {}): void {
    if (queueIdx !== undefined) checkInt("queueIdx", queueIdx, 0, this.queues.length - 1);
    const isSingleBuffer = program !== null && options.isSingleBuffer === true;
    const queues = this.queues.filter((queue) => queueIdx === undefined || queueIdx === queue.queueIdx);
    if (program !== null) for (const queue of queues) checkProgram(this, queue, isSingleBuffer);
    for (const queue of queues) {
      queue.burst.program = program;
      queue.isSingleBuffer = isSingleBuffer;
    }
  }

  /**
   * Lets a queue receive into the memory of a provider instead of ordinary pages (kernel: `netif_mp_open_rxq`). A running
   * queue is restarted; what it had received is handed on first. On any failure all is as it was.
   *
   * @throws in this order: `ERR_NETMEM_QUEUE_UNSUPPORTED` (EOPNOTSUPP) without opsLock; `ERR_NETMEM_QUEUE_RANGE` (ERANGE);
   * `ERR_NETMEM_QUEUE_UNSUPPORTED` (EOPNOTSUPP) for a driver without queue management; `ERR_NETMEM_HEADER_SPLIT_OFF`
   * (EINVAL); `ERR_NETMEM_HDS_THRESH` (EINVAL); `ERR_NETMEM_XDP_ATTACHED` (EEXIST); `ERR_NETMEM_QUEUE_UNSUPPORTED`
   * (EOPNOTSUPP) for a page size; `ERR_NETMEM_PROVIDER_BOUND` (EEXIST); `ERR_NETMEM_XSK_BOUND` (EBUSY); what the driver says;
   * `ERR_NETMEM_PROVIDER_IGNORED` (ENODATA); `ERR_NETMEM_QUEUE_BUSY` (EBUSY) from inside a poll.
   */
  openRxqProvider(queueIdx: number, provider: MemoryProviderOps, params: ProviderParams = {}): void {
    openProvider(this, queueIdx, provider, params);
  }

  /**
   * Back to ordinary pages (kernel: `netif_mp_close_rxq`). A provider that the queue does not have is a warning, and after
   * {@link unregister} nothing at all. A restart that fails is a warning too: the queue then runs on as it is.
   */
  closeRxqProvider(queueIdx: number, provider: MemoryProviderOps): void {
    closeProvider(this, queueIdx, provider);
  }

  /**
   * From one provider to another in one restart, without ordinary pages between. Packets that were received are handed
   * on; on any failure the queue keeps the provider that it has.
   *
   * @throws as {@link openRxqProvider}; `ERR_NETMEM_PROVIDER_NOT_BOUND` (ENOENT) unless the queue has `from`.
   */
  swapRxqProvider(queueIdx: number, from: MemoryProviderOps, to: MemoryProviderOps, params: ProviderParams = {}): void {
    swapProvider(this, queueIdx, from, to, params);
  }

  /**
   * Gives a queue new memory for the composition that it has (kernel: `netdev_rx_queue_restart`). What it had received is
   * handed on first. When the driver cannot start, the queue runs on as it was and the error is thrown.
   *
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL), `ERR_NETMEM_QUEUE_UNSUPPORTED` (EOPNOTSUPP) for a driver without queue
   * management, `ERR_NETMEM_QUEUE_BUSY` (EBUSY) from inside a poll, what the driver throws.
   */
  restartRxQueue(queueIdx: number): void {
    checkInt("queueIdx", queueIdx, 0, this.queues.length - 1);
    restartQueue(this, queueIdx, () => {});
  }

  /**
   * Header split of the device, or of one queue under `perQueue` rules (ethtool: `tcp-data-split`, `hds-thresh`). Running
   * queues are restarted one by one; when one fails, all are as they were.
   *
   * @throws `ERR_NETMEM_QUEUE_UNSUPPORTED` (EOPNOTSUPP); (EINVAL) `ERR_NETMEM_INVALID_PARAM`, `ERR_NETMEM_HDS_THRESH`,
   * `ERR_NETMEM_PROVIDER_BOUND`, `ERR_NETMEM_XDP_SINGLE_BUFFER`; what the driver throws.
   */
  setHeaderSplit(params: HeaderSplitParams, queueIdx?: number): void {
    changeHeaderSplit(this, params, queueIdx);
  }

  /**
   * Receives on the first `count` queues only (ethtool: `-L`). Queues beyond hand on what they received and stop; they are
   * started when they come back.
   *
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL), `ERR_NETMEM_CHANNELS_IN_USE` (EINVAL) when that would take away a queue
   * with a provider, a zero-copy AF_XDP pool or a flow rule; `ERR_NETMEM_QUEUE_BUSY` (EBUSY) from inside a poll; what a
   * driver's start throws. Nothing has changed then.
   */
  setChannels(count: number): void {
    checkInt("count", count, 1, this.queues.length);
    checkChannels(this, count);
    if (this.scheduler.isPolling) failPolling(this.name);
    // No packet may come to a queue that is stopped, and none is lost that has come.
    if (count < this.channels) this.setQueueCount?.(count);
    for (const queue of this.queues.slice(count, this.openCount)) drainQueue(this, queue);
    if (this.isUp) this.resize(count);
    if (count > this.channels) this.setQueueCount?.(count);
    this.channels = count;
  }

  /**
   * Gives a queue an AF_XDP pool; `auto` copies where zero-copy is not possible. Returns which of the two it is.
   *
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL), `ERR_NETMEM_XSK_BOUND` (EBUSY) for a second pool; with `zeroCopy`
   * `ERR_NETMEM_QUEUE_UNSUPPORTED` (EOPNOTSUPP), `ERR_NETMEM_PROVIDER_BOUND` (EBUSY), and what the driver throws.
   */
  attachXskPool(queueIdx: number, pool: object, mode: XskMode | "auto" = "auto"): XskMode {
    return attachXsk(this, queueIdx, pool, mode);
  }

  /** Takes a queue's AF_XDP pool away. The queue keeps it when the restart throws. */
  detachXskPool(queueIdx: number): void {
    detachXsk(this, queueIdx);
  }

  /**
   * Sends the packets that `rule` matches to its queue, and returns the rule's id. To keep everything else away from that
   * queue, take it out of the hardware's indirection table too.
   *
   * @throws `ERR_NETMEM_FLOW_UNSUPPORTED` (EOPNOTSUPP) without steering hardware, and what {@link FlowSteering} says.
   */
  addFlowRule(rule: FlowRule): number {
    const steering = this.steering ?? failNoSteering(this.name);
    checkInt("queueIdx", rule.queueIdx, 0, this.queues.length - 1);
    const id = steering.addFlowRule(rule);
    this.flowIds.add(id);
    return id;
  }

  /** @throws `ERR_NETMEM_FLOW_UNSUPPORTED` (EOPNOTSUPP), `ERR_NETMEM_FLOW_UNKNOWN` (ENOENT) */
  removeFlowRule(id: number): void {
    (this.steering ?? failNoSteering(this.name)).removeFlowRule(id);
    this.flowIds.delete(id);
  }

  /** The device's rules and what they did, in the order in which they were added. */
  flowRules(): FlowRuleInfo[] {
    return this.steering?.flowRules().filter(({ id }) => this.flowIds.has(id)) ?? [];
  }

  /** Says who takes what passes; without anybody it is dropped as `DevReady`. */
  setReceiver(receive: ReceiveHandler | null): void {
    this.receive = receive;
  }

  /**
   * Starts every queue's driver. When one fails, those before it are stopped again and its error is thrown.
   */
  open(): void {
    if (this.isUp) failUp(this.name);
    this.resize(this.channels);
  }

  /**
   * Stops every queue; nothing is posted or queued for transmission afterwards. Packets with users live on.
   * @throws `ERR_NETMEM_QUEUE_BUSY` (EBUSY) from inside a poll, nothing has changed then; the first error of a driver's
   * stop, once all are stopped.
   */
  close(): void {
    if (this.isUp && this.scheduler.isPolling) failPolling(this.name);
    this.resize(0);
  }

  /** Closes and forgets the device, and its flow rules. Providers are told that their queues are gone. @throws as {@link close}. */
  unregister(): void {
    this.close();
    uninstallProviders(this);
    this.registered = false;
    for (const { id } of this.flowRules()) this.removeFlowRule(id);
    for (const queue of this.queues) {
      queue.napi.dispose();
      queue.counters.dispose();
    }
    this.queues.length = 0;
    this.drivers.length = 0;
    this.registry.unregister(this.ifindex);
  }

  /**
   * Sends `frames[0..n)` on the TX queue that goes with `queueIdx` (modulo the number of queues). Returns how many were
   * taken; the rest stays with the caller. Once per burst. Kernel: `ndo_xdp_xmit`.
   */
  xdpXmit(frames: Int32Array, n: number, queueIdx: number): number {
    const count = this.openCount;
    return count === 0 ? 0 : this.drivers[queueIdx % count]!.xdpXmit(frames, n);
  }

  /** @internal */
  redirect(ifindex: number, frames: Int32Array, n: number, queueIdx: number): number {
    return this.registry.get(ifindex)?.xdpXmit(frames, n, queueIdx) ?? 0;
  }

  /** @internal */
  deliver(skbs: Int32Array, count: number): void {
    if (this.receive !== null) {
      this.receive(skbs, count);
      return;
    }
    for (let n = 0; n < count; n++) dropSkb(this.skbs, asSkbRef(skbs[n]!), DropReason.DevReady);
  }

  /** Counters by queue. */
  getStats(): QueueStats[] {
    return this.queues.map((queue) => queue.counters.read());
  }

  /** Starts or stops queues until the first `count` run. One that cannot start leaves those that ran before running. */
  private resize(count: number): void {
    const before = this.openCount;
    try {
      for (; this.openCount < count; this.openCount++) this.startQueue(this.queues[this.openCount]!);
    } catch (error) {
      this.resize(before);
      throw error;
    }
    this.stopBeyond(count);
  }

  private stopBeyond(count: number): void {
    let failure: { readonly error: unknown } | null = null;
    while (this.openCount > count) {
      this.openCount--;
      try {
        this.stopQueue(this.queues[this.openCount]!);
      } catch (error) {
        failure ??= { error };
      }
    }
    if (failure !== null) throw failure.error;
  }

  private startQueue(queue: RxQueue): void {
    const { mem } = this.host;
    queue.isDead = false;
    mem.regRxqInfo(queue.info, this.ifindex, queue.queueIdx, 0);
    // Before the driver starts: an interrupt that finds the instance disabled would be lost, and stay masked.
    queue.napi.enable();
    try {
      this.drivers[queue.queueIdx]!.start();
    } catch (error) {
      queue.napi.disable();
      mem.unregRxqInfo(queue.info);
      throw error;
    }
  }

  private stopQueue(queue: RxQueue): void {
    queue.napi.disable();
    try {
      this.drivers[queue.queueIdx]!.stop();
    } finally {
      this.host.mem.unregRxqInfo(queue.info);
    }
  }
}

function makeDriver(params: QueueParams, queue: RxQueue): QueueDriver {
  try {
    return params.driver(queue);
  } catch (error) {
    queue.napi.dispose();
    queue.counters.dispose();
    throw error;
  }
}

function failUp(name: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_DEVICE_UP",
    errno: "EBUSY",
    reason: `device ${name} is up`,
    remedy: "Close it first.",
    param: "name",
    value: name,
  });
}

function failNoSteering(name: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_FLOW_UNSUPPORTED",
    errno: "EOPNOTSUPP",
    reason: `nothing steers flows to the queues of device ${name}`,
    remedy: "Give the device hardware that does (`steering`, e.g. `nic.flows`).",
    param: "steering",
    value: null,
  });
}
