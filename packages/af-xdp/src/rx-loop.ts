/*
 * data path
 *
 * What stands in for interrupts: looking all the time, sleeping in the kernel until something comes, or the event loop.
 */
import { POLLIN as POLLIN_, type PollSet, type NativePoll } from "@netmem/linux";
import type { NapiScheduler } from "@netmem/netdev";
import type { AfXdp } from "./af-xdp.ts";
import type { AfXdpDriver } from "./af-xdp-driver.ts";

const POLLIN = POLLIN_;
/** Nobody wakes us for a completion: with frames out, look that often. */
const TX_LOOK_MS = 1;
const DEFAULT_TIMEOUT_MS = 100;
/** How often the event loop looks after what makes no event. */
const HOUSEKEEPING_MS = 20;
const MAX_RUNS = 64;

/**
 * Drives the queues of AF_XDP drivers, all on one thread. Make it when their devices are open; after a device was closed
 * and opened again, make another.
 */
export class RxLoop {
  declare private readonly scheduler: NapiScheduler;
  declare private readonly drivers: readonly AfXdpDriver[];
  declare private readonly set: PollSet;
  declare private readonly afXdp: AfXdp;
  declare private watches: NativePoll[];
  declare private timer: ReturnType<typeof setInterval> | null;

  constructor(afXdp: AfXdp, scheduler: NapiScheduler, drivers: readonly AfXdpDriver[]) {
    this.scheduler = scheduler;
    this.drivers = drivers;
    this.set = afXdp.wakeup.createPollSet(Math.max(drivers.length, 1));
    this.afXdp = afXdp;
    this.watches = [];
    this.timer = null;
    for (let n = 0; n < drivers.length; n++) this.set.add(drivers[n]!.fd, POLLIN);
  }

  /** Polls every queue once, whether or not it has anything; returns packets. For loops that take all of a CPU. */
  spinOnce(): number {
    const { drivers } = this;
    for (let n = 0; n < drivers.length; n++) drivers[n]!.schedule();
    return this.scheduler.runOnce();
  }

  /**
   * Sleeps in the kernel until a queue has something, at most `timeoutMs`, then polls until nothing is left; returns
   * packets. Blocks the thread: for workers and programs that do nothing else.
   */
  pollOnce(timeoutMs: number = DEFAULT_TIMEOUT_MS): number {
    const { drivers, set, scheduler } = this;
    const ready = this.afXdp.wakeup.poll(set, this.pendingTx() ? TX_LOOK_MS : timeoutMs);
    if (ready <= 0) return this.lookOnce();
    for (let n = 0; n < drivers.length; n++) if (set.seen(n) !== 0) drivers[n]!.schedule();
    return scheduler.runUntilIdle(MAX_RUNS);
  }

  /** Control path. {@link spinOnce} until `isDone`, which is asked each time. */
  spin(isDone: () => boolean): void {
    while (!isDone()) this.spinOnce();
  }

  /** Control path. {@link pollOnce} until `isDone`, which is asked each time, at least every 100 ms. */
  poll(isDone: () => boolean): void {
    while (!isDone()) this.pollOnce();
  }

  /**
   * Control path. From now on the event loop drives the queues, beside whatever else the thread does. The scheduler needs
   * a `kick`. Does not keep the process alive by its timer, but by the sockets, until {@link stop}.
   * @throws what `System.watch` throws; nothing is watched then
   */
  start(): void {
    if (this.timer !== null) return;
    const { system } = this.afXdp;
    try {
      for (const driver of this.drivers) {
        this.watches.push(system.watch(driver.fd, { readable: true }, () => void driver.schedule()));
      }
    } catch (error) {
      this.stop();
      throw error;
    }
    this.timer = setInterval(() => void this.lookOnce(), HOUSEKEEPING_MS);
    this.timer.unref();
  }

  /** Control path. To be called before the devices are closed: a closed socket must not be watched. */
  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
    for (const watch of this.watches) {
      watch.stop();
      watch.close();
    }
    this.watches = [];
    this.timer = null;
  }

  /** What makes no event: completions, interfaces that went away, buffers that came home. */
  private lookOnce(): number {
    const { drivers } = this;
    for (let n = 0; n < drivers.length; n++) drivers[n]!.look();
    return this.spinOnce();
  }

  private pendingTx(): boolean {
    const { drivers } = this;
    for (let n = 0; n < drivers.length; n++) if (drivers[n]!.txPendingCount > 0) return true;
    return false;
  }
}
