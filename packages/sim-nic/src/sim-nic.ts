/* data path */
import { checkInt, type DmaDevice, failParam, type Host } from "@netmem/core";
import { DmaCopy } from "./dma-copy.ts";
import { FlowTable } from "./flow-table.ts";
import { MemoryPorts } from "./memory-ports.ts";
import { HardwareQueue, type NicQueueParams } from "./nic-queue.ts";
import type { RxEngine } from "./rx-engine.ts";
import { Rss } from "./rss.ts";
import { SharedNicQueue } from "./shared-queue.ts";
import type { TxPort } from "./tx-engine.ts";
import { openWire, type WireSink } from "./wire.ts";

const MAX_QUEUES = 128;
const MIN_FRAME_BYTES = 14;
/** 9000 bytes of IP, an Ethernet header and a VLAN tag. */
const DEFAULT_MAX_FRAME_BYTES = 9018;
const MAX_FRAME_BYTES = 65536;

export interface SimNicParams extends NicQueueParams {
  /** Queue pairs, 1 to 128. */
  readonly queueCount: number;
  /** Hash key, 40 bytes. Default: Microsoft's. */
  readonly hashKey?: ArrayLike<number>;
  /** Longer frames are dropped. Bytes, without frame check sequence; default 9018, at most 65536. */
  readonly maxFrameBytes?: number;
  /** Device that translates descriptor addresses, or what gives each queue its own. Default: the host's, if it has one. */
  readonly dma?: DmaDevice | null | ((queueIdx: number) => DmaDevice | null);
}

/** What a NIC counted, over all queues. */
export interface SimNicStats {
  readonly rxPackets: number;
  readonly rxBytes: number;
  /** Dropped: too few buffers posted. */
  readonly rxNoDesc: number;
  /** Of {@link rxPackets}, split into headers and payload. */
  readonly rxSplit: number;
  /** Dropped: shorter than an Ethernet header, or too long. */
  readonly rxLengthErrors: number;
  /** Not sent: too long. */
  readonly txLengthErrors: number;
  readonly txPackets: number;
  readonly txBytes: number;
  /** Lost, either way: an address did not translate. */
  readonly dmaFaults: number;
}

/**
 * The hardware of a network interface: spreads frames from the wire over its queues, writes them into the buffers that
 * drivers posted, and sends what drivers post. Needs no thread or timer: {@link receive} is the wire. Data-path calls
 * allocate nothing.
 */
export class SimNic implements TxPort {
  declare readonly host: Host;
  declare readonly rss: Rss;
  /** Flows that go to a queue of their own; a device's `steering`. */
  declare readonly flows: FlowTable;
  /** Memories outside the arena that packets can be written to. */
  declare readonly ports: MemoryPorts;
  /** Frames dropped for their length. */
  lengthErrors = 0;
  isTxPaused = false;
  wire: WireSink = openWire;
  /** Flow rules in force. */
  private ruleCount = 0;
  declare private readonly queues: HardwareQueue[];
  /** Queues whose drivers are on other threads. */
  private readonly shared: SharedNicQueue[] = [];
  declare private readonly rxEngines: RxEngine[];
  declare private readonly copy: DmaCopy;
  declare readonly maxFrameBytes: number;

  /** @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL), `ERR_NETMEM_NO_MEMORY` (ENOMEM) */
  constructor(host: Host, params: SimNicParams) {
    const queueCount = checkInt("queueCount", params.queueCount, 1, MAX_QUEUES);
    const maxFrameBytes = params.maxFrameBytes ?? DEFAULT_MAX_FRAME_BYTES;
    this.maxFrameBytes = checkInt("maxFrameBytes", maxFrameBytes, 60, MAX_FRAME_BYTES);
    const dma = params.dma === undefined ? host.dma : params.dma;
    const dmaOf = typeof dma === "function" ? dma : (): DmaDevice | null => dma;
    this.host = host;
    this.rss = new Rss(queueCount, params.hashKey);
    this.flows = new FlowTable(queueCount, (ruleCount) => (this.ruleCount = ruleCount));
    this.ports = new MemoryPorts();
    this.copy = new DmaCopy(host);
    const { copy, ports } = this;
    this.queues = [];
    try {
      for (let n = 0; n < queueCount; n++) {
        this.queues.push(new HardwareQueue(host, params, { dma: dmaOf(n), copy, ports, tx: this }));
      }
    } catch (error) {
      for (const queue of this.queues) queue.dispose();
      throw error;
    }
    this.rxEngines = this.queues.map((queue) => queue.rxEngine);
  }

  get queueCount(): number {
    return this.queues.length;
  }

  /** The queue pair for a driver. */
  queue(queueIdx: number): HardwareQueue {
    const queue = this.queues[queueIdx];
    if (queue === undefined) failParam("queueIdx", queueIdx, `below ${this.queueCount}`, "Ask for a queue of the NIC.");
    return queue;
  }

  /**
   * Lets another thread drive a queue: a `WorkerGroup`'s hardware, the same one each time. Nobody drives it on this thread
   * then. Control path.
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL), also for a queue behind a DMA device; `ERR_NETMEM_NO_MEMORY` (ENOMEM).
   */
  shareQueue(queueIdx: number): SharedNicQueue {
    const queue = this.queue(queueIdx);
    const known = this.shared.find((one) => one.queue === queue);
    if (known !== undefined) return known;
    const shared = new SharedNicQueue(this.host, queue);
    this.shared.push(shared);
    return shared;
  }

  /**
   * What the hardware of shared queues does by itself, once: takes over what other threads posted, sends it, shows them
   * what came, wakes those that sleep. {@link receiveBurst} does it before and after; call it around single
   * {@link receive}s, and while there is nothing to receive. False: there was nothing to show anybody.
   */
  service(): boolean {
    let hasWorked = false;
    for (let n = 0; n < this.shared.length; n++) this.shared[n]!.takePosted();
    for (let n = 0; n < this.shared.length; n++) if (this.shared[n]!.showDone()) hasWorked = true;
    return hasWorked;
  }

  /** Says where sent packets go. */
  setWire(wire: WireSink): void {
    this.wire = wire;
  }

  /** Flow control: while paused nothing is sent; what was posted goes out afterwards. Control path. */
  pauseTx(paused: boolean): void {
    this.isTxPaused = paused;
    if (!paused) for (const queue of this.queues) queue.txEngine.doorbell();
  }

  /**
   * A frame of `lenBytes` bytes at `at` comes from the wire: chooses a queue, writes it, interrupts. False when it was
   * dropped; the statistics say why. `bytes` may be the arena itself. 10 to 15 ns for 64 bytes.
   */
  receive(bytes: Uint8Array, at: number, lenBytes: number): boolean {
    if (lenBytes < MIN_FRAME_BYTES || lenBytes > this.maxFrameBytes) {
      this.lengthErrors++;
      return false;
    }
    this.copy.setSource(bytes);
    let queueIdx = this.rss.chooseQueue(bytes, at, lenBytes);
    if (this.ruleCount !== 0) queueIdx = this.flows.steer(bytes, at, lenBytes, queueIdx);
    return this.rxEngines[queueIdx]!.deliver(at, lenBytes, this.rss.lastHash);
  }

  /** Receives `count` frames, see {@link WireSink}; returns how many were not dropped. */
  receiveBurst(bytes: Uint8Array, offsets: Int32Array, lengths: Int32Array, count: number): number {
    let taken = 0;
    if (this.shared.length !== 0) this.service();
    for (let n = 0; n < count; n++) if (this.receive(bytes, offsets[n]!, lengths[n]!)) taken++;
    if (this.shared.length !== 0) this.service();
    return taken;
  }

  /** Counters over all queues. Control path. */
  getStats(): SimNicStats {
    const sum = (of: (queue: HardwareQueue) => number): number =>
      this.queues.reduce((total, queue) => total + of(queue), 0);
    return {
      rxPackets: sum((queue) => queue.rxEngine.packets),
      rxBytes: sum((queue) => queue.rxEngine.bytes),
      rxNoDesc: sum((queue) => queue.rxEngine.noDesc),
      rxSplit: sum((queue) => queue.rxEngine.splits),
      rxLengthErrors: this.lengthErrors,
      txLengthErrors: sum((queue) => queue.txEngine.lengthErrors),
      txPackets: sum((queue) => queue.txEngine.packets),
      txBytes: sum((queue) => queue.txEngine.bytes),
      dmaFaults: sum((queue) => queue.rxEngine.faults + queue.txEngine.faults),
    };
  }

  /** Gives the rings' memory back; every driver must be stopped. Control path. */
  dispose(): void {
    for (const queue of this.shared.splice(0)) queue.dispose();
    for (const queue of this.queues) queue.dispose();
    this.queues.length = 0;
    this.rxEngines.length = 0;
  }
}
