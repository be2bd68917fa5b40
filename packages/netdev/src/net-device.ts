import { checkInt, type Host, NetmemError } from "@netmem/core";
import { asSkbRef, DropReason, dropSkb, type SkbSlab } from "@netmem/skb";
import type { DeviceRegistry } from "./device-registry.ts";
import type { FlowRule, FlowRuleInfo, FlowSteering } from "./flow-rule.ts";
import { Napi, NAPI_POLL_WEIGHT } from "./napi.ts";
import type { NapiScheduler } from "./napi-scheduler.ts";
import type { QueueStats } from "./queue-counters.ts";
import type { QueueDriver } from "./queue-driver.ts";
import { RxQueue } from "./rx-queue.ts";
import type { XdpProgram } from "./xdp-program.ts";

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
  private readonly registry: DeviceRegistry;
  private readonly scheduler: NapiScheduler;
  private readonly skbs: SkbSlab;
  private readonly steering: FlowSteering | null;
  /** Rules that this device added. */
  private readonly flowIds = new Set<number>();
  private receive: ReceiveHandler | null = null;
  private openCount = 0;

  /** @throws `ERR_NETMEM_NAME_TAKEN` (EEXIST) */
  constructor(params: NetDeviceParams) {
    this.host = params.host;
    this.registry = params.registry;
    this.scheduler = params.scheduler;
    this.skbs = params.skbs;
    this.name = params.name;
    this.steering = params.steering ?? null;
    this.ifindex = params.registry.register(this);
  }

  get isUp(): boolean {
    return this.openCount > 0;
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
    const driver = params.driver(queue);
    this.queues.push(queue);
    this.drivers.push(driver);
    return queue;
  }

  /** Sets the program of one queue, or of all; null passes everything. In force from the next burst on. */
  setProgram(program: XdpProgram | null, queueIdx?: number): void {
    if (queueIdx !== undefined) checkInt("queueIdx", queueIdx, 0, this.queues.length - 1);
    for (const queue of this.queues) {
      if (queueIdx === undefined || queueIdx === queue.queueIdx) queue.burst.program = program;
    }
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
    try {
      for (const queue of this.queues) {
        this.startQueue(queue);
        this.openCount++;
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Stops every queue; nothing is posted or queued for transmission afterwards. Packets with users live on. */
  close(): void {
    while (this.openCount > 0) {
      this.openCount--;
      this.stopQueue(this.queues[this.openCount]!);
    }
  }

  /** Closes and forgets the device, and its flow rules. */
  unregister(): void {
    this.close();
    for (const id of this.flowIds) this.removeFlowRule(id);
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

  private startQueue(queue: RxQueue): void {
    const { mem } = this.host;
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
    this.drivers[queue.queueIdx]!.stop();
    this.host.mem.unregRxqInfo(queue.info);
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
