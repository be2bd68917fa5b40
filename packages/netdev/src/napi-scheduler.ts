/* data path */
import { checkInt, type Host, type Napi as CoreNapi, NetmemError } from "@netmem/core";

/** Packets per run unless said otherwise (kernel: `netdev_budget`). */
export const NETDEV_BUDGET = 300;
const DEFAULT_MAX_RUNS = 100_000;

/** What the scheduler needs of a poll instance. */
export interface Pollable extends CoreNapi {
  readonly weight: number;
  readonly isScheduled: boolean;
  runPoll(): number;
}

export interface NapiSchedulerParams {
  /** CPU that this thread plays. Default 0. */
  readonly cpu?: number;
  /** Packets per run, 1 to 65536. Default 300. */
  readonly budgetPkts?: number;
  /**
   * Calls `run` soon, once, e.g. `(run) => setImmediate(run)`. Without it nothing runs by itself: call
   * {@link NapiScheduler.runOnce} or {@link NapiScheduler.runUntilIdle}.
   */
  readonly kick?: (run: () => void) => void;
}

/**
 * The poll list of one thread (kernel: `softnet_data.poll_list` and `net_rx_action`). Instances take turns: one with work
 * left goes to the end of the list.
 */
export class NapiScheduler {
  declare readonly cpu: number;
  declare private readonly host: Host;
  declare private readonly budgetPkts: number;
  private readonly kick: ((run: () => void) => void) | null;
  declare private readonly kicked: () => void;
  private isKicked = false;
  private isRunning = false;
  /** FIFO: `list[(head + n) & mask]`. */
  private list: (Pollable | null)[] = Array.from({ length: 16 }, () => null);
  private mask = 15;
  private head = 0;
  private count = 0;
  /** Instances of this run that have work left; the list is kept, emptying an array would allocate. */
  private readonly repoll: (Pollable | null)[] = [];
  private repollCount = 0;
  /** Instance whose turn it is, and whether it went on the list meanwhile: it was complete, and an interrupt waited. */
  private current: Pollable | null = null;
  private isCurrentListed = false;

  /** @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) */
  constructor(host: Host, params: NapiSchedulerParams = {}) {
    this.host = host;
    this.cpu = checkInt("cpu", params.cpu ?? 0, 0, 65535);
    this.budgetPkts = checkInt("budgetPkts", params.budgetPkts ?? NETDEV_BUDGET, 1, 65536);
    this.kick = params.kick ?? null;
    this.kicked = () => this.runKicked();
  }

  /** Instances that wait for a poll. */
  get pendingCount(): number {
    return this.count;
  }

  /** @internal Called by `Napi.schedule`. */
  push(napi: Pollable): void {
    if (this.count > this.mask) this.grow();
    this.list[(this.head + this.count) & this.mask] = napi;
    this.count++;
    if (napi === this.current) this.isCurrentListed = true;
    this.kickIfIdle();
  }

  /** @internal Called by `Napi.disable`. Control path. */
  remove(napi: Pollable): void {
    const rest = this.pendingList().filter((one) => one !== napi);
    this.list.fill(null);
    this.head = 0;
    this.count = rest.length;
    for (let n = 0; n < rest.length; n++) this.list[n] = rest[n] ?? null;
  }

  /**
   * One round over the instances that wait now, up to the run's budget of packets (kernel: `net_rx_action`). Returns the
   * packets processed. Softirq context is in force around each poll and restored afterwards, also when a poll throws;
   * the instance that threw stays scheduled.
   *
   * @throws what a poll throws, and `ERR_NETMEM_NAPI_OVER_BUDGET` for a poll that did more than its weight.
   */
  runOnce(): number {
    if (this.isRunning) return 0;
    return this.run(null);
  }

  /** A poll is under way. */
  get isPolling(): boolean {
    return this.isRunning;
  }

  /** @internal One turn of an instance that is on no list, as if it were its turn. Control path, not inside a poll. */
  pollNow(napi: Pollable): number {
    return this.run(napi);
  }

  /**
   * Runs until no instance waits, at most `maxRuns` rounds; returns the packets processed. Look at
   * {@link pendingCount} to see which of the two it was.
   */
  runUntilIdle(maxRuns: number = DEFAULT_MAX_RUNS): number {
    let work = 0;
    for (let run = 0; run < maxRuns && this.count > 0; run++) work += this.runOnce();
    return work;
  }

  /** In softirq context: a round, or one turn of `only`. */
  private run(only: Pollable | null): number {
    const { context } = this.host;
    const { cpu, softirq, napi } = context;
    this.isRunning = true;
    context.cpu = this.cpu;
    context.softirq = true;
    try {
      return only === null ? this.pollRound() : this.turn(only);
    } finally {
      context.cpu = cpu;
      context.softirq = softirq;
      context.napi = napi;
      this.isRunning = false;
      this.requeue();
    }
  }

  private pollRound(): number {
    const turns = this.count;
    let work = 0;
    for (let n = 0; n < turns && this.count > 0 && work < this.budgetPkts; n++) work += this.pollNext();
    return work;
  }

  private pollNext(): number {
    const napi = this.list[this.head]!;
    this.list[this.head] = null;
    this.head = (this.head + 1) & this.mask;
    this.count--;
    return this.turn(napi);
  }

  private turn(napi: Pollable): number {
    const { host } = this;
    host.context.napi = napi;
    this.current = napi;
    this.isCurrentListed = false;
    let work = 0;
    try {
      work = napi.runPoll();
    } finally {
      this.current = null;
      if (napi.isScheduled && !this.isCurrentListed) this.repoll[this.repollCount++] = napi;
    }
    // What other threads returned meanwhile goes home now, in softirq context.
    if (host.threaded !== 0) host.drainInbox();
    if (work > napi.weight) failOverBudget(napi, work);
    return work;
  }

  /** Those with work left go behind those that were scheduled meanwhile. */
  private requeue(): void {
    for (let n = 0; n < this.repollCount; n++) {
      const napi = this.repoll[n]!;
      this.repoll[n] = null;
      if (napi.isScheduled) this.push(napi);
    }
    this.repollCount = 0;
    if (this.count > 0) this.kickIfIdle();
  }

  private runKicked(): void {
    this.isKicked = false;
    this.runOnce();
  }

  private kickIfIdle(): void {
    if (this.kick === null || this.isKicked || this.isRunning) return;
    this.isKicked = true;
    this.kick(this.kicked);
  }

  private pendingList(): Pollable[] {
    const pending: Pollable[] = [];
    for (let n = 0; n < this.count; n++) {
      const napi = this.list[(this.head + n) & this.mask] ?? null;
      if (napi !== null) pending.push(napi);
    }
    return pending;
  }

  private grow(): void {
    const pending: (Pollable | null)[] = this.pendingList();
    const size = this.list.length * 2;
    while (pending.length < size) pending.push(null);
    this.list = pending;
    this.mask = size - 1;
    this.head = 0;
  }
}

function failOverBudget(napi: Pollable, work: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_NAPI_OVER_BUDGET",
    reason: `poll of napi ${napi.id} says it did ${work} packets with a budget of ${napi.weight}`,
    remedy: "Stop at the budget, and count packets, not descriptors.",
    param: "work",
    value: work,
  });
}
