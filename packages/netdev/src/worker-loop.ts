import type { Host } from "@netmem/core";
import { returnFrameBulk, SkbSlab } from "@netmem/skb";
import { FrameReceiver, FrameSender } from "./frame-link.ts";
import { Napi, NAPI_POLL_WEIGHT } from "./napi.ts";
import { NapiScheduler } from "./napi-scheduler.ts";
import { QueueCounters } from "./queue-counters.ts";
import type { QueuePort, QueueWorkerContext, QueueWorkerInput, QueueWorkerParts } from "./queue-worker-module.ts";
import { RxQueue } from "./rx-queue.ts";
import { sleepUntilWork } from "./sleep.ts";
import {
  COMMAND as COMMAND_,
  COUNTERS,
  NAPI,
  noteSlab,
  STATE,
  WAKE,
  WorkerCommand,
  WorkerState,
} from "./worker-words.ts";
import { WorkerTarget } from "./worker-target.ts";

const COMMAND = COMMAND_;
const RUN = WorkerCommand.Run;
const PAUSE = WorkerCommand.Pause;
/** Packets that one turn may pass on: a poll's. */
const BURST = 64;
/** Turns without work before the thread sleeps: a burst that is on its way saves a system call at both ends. */
const SPIN_TURNS = 200;
/** Turns with work between looks of the event loop, where timers of pools run. */
const BUSY_TURNS = 256;
/** A sleep ends then, so that those timers run. */
const SLEEP_MS = 100;

/** A worker on its own thread: a poll loop over its queue and its links. */
export class WorkerLoop {
  private readonly host: Host;
  private readonly i32: Int32Array;
  private readonly at: number;
  private readonly input: QueueWorkerInput;
  private readonly counters: QueueCounters;
  private readonly scheduler: NapiScheduler;
  private readonly slab: SkbSlab;
  private readonly queue: RxQueue;
  private readonly target: WorkerTarget;
  private readonly receivers: FrameReceiver[] = [];
  private readonly frames: Int32Array = new Int32Array(BURST);
  private readonly hasWork: () => boolean = () => this.looksBusy();
  private parts: QueueWorkerParts = {};
  private port: QueuePort | null = null;
  private takeFrames: (frames: Int32Array, count: number) => void;

  constructor(host: Host, input: QueueWorkerInput) {
    const { wordsAt } = input;
    this.host = host;
    this.i32 = host.i32;
    this.at = wordsAt;
    this.input = input;
    this.counters = new QueueCounters(host, wordsAt + COUNTERS);
    this.scheduler = new NapiScheduler(host, { cpu: host.workerId });
    this.slab = new SkbSlab(host, { skbCount: input.skbCount });
    noteSlab(host, wordsAt, this.slab.share());
    this.target = new WorkerTarget(host, this.slab, this.counters);
    const poll = (budget: number): number => this.parts.driver?.poll(budget) ?? 0;
    const napi = new Napi(host, this.scheduler, host.workerId, poll, NAPI_POLL_WEIGHT, wordsAt + NAPI);
    this.queue = new RxQueue(host, this.slab, this.target, napi, input.ifindex, input.queueIdx, this.counters);
    this.takeFrames = (frames, count) => this.target.takeFrames(frames, count);
  }

  /** What the module gets. */
  get context(): QueueWorkerContext {
    const { host, input, queue, slab, target } = this;
    return {
      host,
      name: input.name,
      data: input.data,
      hardware: input.hardware,
      queue,
      skbs: slab,
      target: (worker) => target.target(worker),
      send: (link, frames, count) => target.redirect(link, frames, count),
      roomOf: (link) => target.roomOf(link),
      deliver: (frames, count) => target.deliverFrames(frames, count),
    };
  }

  /** Opens the links, so that {@link context} knows them. */
  openLinks(): void {
    const { host, input, target, receivers } = this;
    for (const { at, peerAt } of input.from) receivers.push(new FrameReceiver(host, at, peerAt));
    for (const { at, target: link, peer, peerAt } of input.to) {
      target.links[link] = new FrameSender(host, at, peerAt);
      target.names.set(peer, link);
    }
  }

  /** Starts what the module made. */
  start(parts: QueueWorkerParts): void {
    const { host, queue, target, input, i32, at } = this;
    this.parts = parts;
    this.port = parts.port ?? null;
    target.driver = parts.driver ?? null;
    target.receive = parts.receive ?? null;
    queue.burst.program = parts.program ?? null;
    if (parts.frames !== undefined) this.takeFrames = parts.frames;
    host.mem.regRxqInfo(queue.info, input.ifindex, input.queueIdx, 0);
    queue.napi.enable();
    parts.driver?.start();
    this.port?.leave();
    // Partners: wakeWorker, isRunning. Before the first look, which sees what came until then.
    Atomics.store(i32, at + WAKE, host.returns?.sleepingAt ?? 0);
    Atomics.store(i32, at + STATE, WorkerState.Running);
  }

  /** Turns until the group says stop. `yieldToLoop` lets the event loop of the thread run once. */
  async run(yieldToLoop: () => Promise<void>): Promise<void> {
    let idle = 0;
    let busy = 0;
    while (this.mayRun()) {
      if (this.turn() > 0) {
        idle = 0;
        if (++busy % BUSY_TURNS === 0) await yieldToLoop();
      } else if (++idle >= SPIN_TURNS) {
        this.sleep(SLEEP_MS);
        await yieldToLoop();
      }
    }
  }

  /** Stops the driver and sends home what the worker holds of others; what others hold of its own comes later. */
  stop(): unknown {
    const { host, queue, parts, target } = this;
    Atomics.store(this.i32, this.at + STATE, WorkerState.Down);
    this.dropFrames();
    queue.napi.disable();
    parts.driver?.stop();
    host.mem.unregRxqInfo(queue.info);
    const result = parts.finish?.();
    for (const receiver of this.receivers) receiver.close();
    for (const link of target.links) link?.close();
    Atomics.store(this.i32, this.at + STATE, WorkerState.Leaving);
    return result;
  }

  /** Resolves when nobody holds buffers of this thread's pools any more. */
  async drained(): Promise<void> {
    for (const pool of this.host.pools.list()) await pool.drained?.();
  }

  /** False while owners of this thread wait for buffers, or skbs are live. Asked again and again. */
  isHome(): boolean {
    const { host, slab } = this;
    host.drainInbox();
    const owners = host.owners.list(host.workerId).filter(({ ownerId }) => host.owners.partOf(ownerId) === 0);
    return owners.length === 0 && slab.liveCount === 0;
  }

  /** Gives back the last of it. Nothing of the host may be used on this thread afterwards. */
  finish(): void {
    const { host, i32, at } = this;
    this.queue.napi.dispose();
    this.slab.dispose();
    noteSlab(host, at, { headerAt: 0, recordsAt: 0, capacity: 0 });
    Atomics.store(i32, at + WAKE, 0);
    host.detach();
    Atomics.store(i32, at + STATE, WorkerState.Stopped);
  }

  /** One turn: packets and frames passed on, buffers that came home. */
  private turn(): number {
    const { host, port, parts } = this;
    if (parts.room !== undefined && parts.room() < BURST) return host.drainInbox();
    let work = port !== null && port.enter() ? 1 : 0;
    for (let n = 0; n < this.receivers.length; n++) work += this.receiveFrom(this.receivers[n]!);
    if (this.scheduler.pendingCount > 0) work += 1 + this.scheduler.runOnce();
    if (port !== null) port.leave();
    return work + host.drainInbox();
  }

  private receiveFrom(receiver: FrameReceiver): number {
    const { parts, frames } = this;
    if (parts.room !== undefined && parts.room() < BURST) return 0;
    const count = receiver.receive(frames, BURST);
    if (count > 0) this.takeFrames(frames, count);
    return count;
  }

  /** False: the group wants the worker to stop. Waits here while it wants a pause. */
  private mayRun(): boolean {
    const { i32, at } = this;
    const command = Atomics.load(i32, at + COMMAND);
    if (command === RUN) return true;
    if (command !== PAUSE) return false;
    Atomics.store(i32, at + STATE, WorkerState.Paused);
    // Partner: WorkerMember.command.
    while (Atomics.load(i32, at + COMMAND) === PAUSE) Atomics.wait(i32, at + COMMAND, PAUSE);
    Atomics.store(i32, at + STATE, WorkerState.Running);
    return this.mayRun();
  }

  private sleep(timeoutMs: number): void {
    const { host, i32 } = this;
    if (host.returns !== null) sleepUntilWork(i32, host.returns, this.hasWork, timeoutMs);
  }

  /** Everything that whoever waits must look at again after it said that it sleeps. */
  private looksBusy(): boolean {
    if (Atomics.load(this.i32, this.at + COMMAND) !== RUN) return true;
    if (this.parts.room !== undefined && this.parts.room() < BURST) return false;
    if (this.scheduler.pendingCount > 0) return true;
    return (this.port !== null && this.port.hasWork()) || this.receivers.some((receiver) => receiver.hasWork());
  }

  private dropFrames(): void {
    const { host, frames, receivers } = this;
    for (const receiver of receivers) {
      for (let count = receiver.receive(frames, BURST); count > 0; count = receiver.receive(frames, BURST)) {
        returnFrameBulk(host, frames, count);
      }
    }
  }
}
