import { isNetmemError } from "@netmem/core";
import { ZcrxRegistry } from "@netmem/zcrx";
import { DevmemReader } from "./devmem-reader.ts";
import { makeProviders, type Providers } from "./providers.ts";
import { Visitor } from "./visitor.ts";
import { MANAGED_COUNT, Queue, QUEUE_COUNT, type World } from "./world.ts";
import { ZcrxReader } from "./zcrx-reader.ts";

/** What the control path may answer beside that memory is short (ENOMEM); the device is as it was then. */
const REFUSALS: ReadonlySet<string> = new Set(["ERR_NETMEM_FAULT_INJECTED", "ERR_NETMEM_PROVIDER_BOUND"]);

const SPLITS = ["enabled", "disabled"] as const;

/** Changes made and refused, by what they were. */
export type ChangeCounts = Record<string, number>;

/** Everything that happens to the devices from outside while packets flow. */
export class Changes {
  readonly counts: ChangeCounts = {};
  readonly zcrx: ZcrxReader;
  readonly zcrxSplit: ZcrxReader;
  readonly devmem: DevmemReader;
  readonly visitor: Visitor | null;
  readonly providers: Providers;
  private readonly world: World;
  private readonly table: readonly (readonly [name: string, weight: number, change: () => void])[];
  private readonly weights: number;

  /** @param threaded buffers visit another thread too */
  constructor(world: World, threaded: boolean) {
    this.world = world;
    const registry = new ZcrxRegistry(world.host);
    this.zcrx = new ZcrxReader(world, registry, Queue.Zcrx);
    this.zcrxSplit = new ZcrxReader(world, registry, Queue.Split);
    this.devmem = new DevmemReader(world);
    this.providers = makeProviders(world.host, world.prng.seed);
    this.visitor = threaded ? new Visitor(world) : null;
    this.table = this.makeTable();
    this.weights = this.table.reduce((sum, [, weight]) => sum + weight, 0);
  }

  /** One of them, at random. */
  make(): void {
    let left = this.world.prng.below(this.weights);
    for (const [name, weight, change] of this.table) {
      left -= weight;
      if (left >= 0) continue;
      this.attempt(name, change);
      return;
    }
  }

  /** Closes and unbinds all that is open. */
  finish(): void {
    this.world.nic.pauseTx(false);
    this.zcrx.close();
    this.zcrxSplit.close();
    this.devmem.unbind();
    this.devmem.die();
    for (const queueIdx of [Queue.Huge, Queue.Split]) this.closeProvider(queueIdx);
    this.visitor?.leave();
  }

  private attempt(name: string, change: () => void): void {
    let what = name;
    try {
      change();
    } catch (error) {
      if (!isNetmemError(error)) throw error;
      if (error.errno !== "ENOMEM" && !REFUSALS.has(error.code)) throw error;
      what = `${name}: ${error.code}`;
    }
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  private makeTable(): Changes["table"] {
    const { world, zcrx, zcrxSplit, devmem, visitor } = this;
    const { prng, device, nic, otherNic, clock, scheduler } = world;
    return [
      ["restart a queue", 6, () => device.restartRxQueue(prng.below(MANAGED_COUNT))],
      ["provider of the page_pool queue", 12, () => this.changeProvider(Queue.Huge)],
      ["provider of the split queue", 6, () => this.changeSplitQueue()],
      ["zcrx registration", 4, () => (zcrx.isOpen ? zcrx.close() : zcrx.open())],
      ["zcrx registration on the split queue", 4, () => this.changeSplitArea(zcrxSplit)],
      ["devmem binding", 4, () => (devmem.isBound ? devmem.unbind() : devmem.bind())],
      ["death of the devmem application", 2, () => devmem.die()],
      ["header split", 3, () => device.setHeaderSplit({ tcpDataSplit: prng.pick(SPLITS) }, Queue.Split)],
      ["number of channels", 4, () => device.setChannels(prng.range(MANAGED_COUNT, QUEUE_COUNT))],
      ["flow control", 6, () => nic.pauseTx(!nic.isTxPaused)],
      ["flow control of the other device", 4, () => otherNic.pauseTx(!otherNic.isTxPaused)],
      ["device closed and opened", 1, () => this.reopen()],
      ["time passes", 12, () => clock.advance(prng.below(3000))],
      ["a run of polls", 10, () => void scheduler.runOnce()],
      ["buffers to another thread", visitor === null ? 0 : 25, () => visitor?.hand()],
      ["work of another thread", visitor === null ? 0 : 25, () => visitor?.work()],
      ["death of another thread", visitor === null ? 0 : 2, () => visitor?.die()],
    ];
  }

  /** Opened, swapped for another one, or closed. Two queues may have the same. */
  private changeProvider(queueIdx: number): void {
    const { device, prng } = this.world;
    const { provider } = device.queues[queueIdx]!;
    const next = prng.pick(this.providers.list.filter((one) => one !== provider));
    if (provider === null) device.openRxqProvider(queueIdx, next);
    else if (prng.below(3) === 0) device.closeRxqProvider(queueIdx, provider);
    else device.swapRxqProvider(queueIdx, provider, next);
  }

  private changeSplitQueue(): void {
    if (!this.zcrxSplit.isOpen) this.changeProvider(Queue.Split);
  }

  private changeSplitArea(reader: ZcrxReader): void {
    if (reader.isOpen) return reader.close();
    this.closeProvider(Queue.Split);
    reader.open();
  }

  private closeProvider(queueIdx: number): void {
    const { device } = this.world;
    const { provider } = device.queues[queueIdx]!;
    if (provider !== null) device.closeRxqProvider(queueIdx, provider);
  }

  private reopen(): void {
    const { device, scheduler } = this.world;
    // Closing a device loses what its hardware has received and no poll has seen.
    scheduler.runUntilIdle();
    device.close();
    try {
      device.open();
    } catch (error) {
      // A provider refused; without one there is nobody to.
      this.zcrxSplit.close();
      for (const queueIdx of [Queue.Huge, Queue.Split]) this.closeProvider(queueIdx);
      device.open();
      throw error;
    }
  }
}
