import type { Host } from "@netmem/core";
import { startThread, type Thread } from "../node-threads.ts";
import { QueueCounters, type QueueStats } from "../queue-counters.ts";
import type { QueueWorkerInput, QueueWorkerMessage, WorkerHardware } from "../queue-worker-module.ts";
import { wakeWorker } from "../sleep.ts";
import { COMMAND, COUNTERS, NAPI, STATE, WAKE, WORKER_WORDS, WorkerCommand, WorkerState } from "../worker-words.ts";
import { workerFailed } from "./errors.ts";

export interface WorkerParams {
  /** Names it in links and reports, 1 to 32 characters. */
  readonly name: string;
  /** URL of the module that the worker imports: see `QueueWorkerModule`. */
  readonly module: string | { readonly href: string };
  /** Its queue of the hardware, e.g. `nic.shareQueue(n)`. Absent: a worker that only takes frames. */
  readonly hardware?: WorkerHardware;
  /** What the module gets as `data`: anything that can be posted. */
  readonly data?: unknown;
  /** For programs and reports. Default 0. */
  readonly queueIdx?: number;
  /** Number of the device, likewise. Default 1. */
  readonly ifindex?: number;
  /** Skbs that the worker can have at once. Default 1024. */
  readonly skbCount?: number;
}

const DEFAULT_SKBS = 1024;

/** How a thread ended that nobody asked to stop; null: it stopped. */
export type ThreadEnd = { readonly result: unknown } | { readonly error: Error };

/** A worker of a group: its words, and its thread while it has one. */
export class WorkerMember {
  readonly params: WorkerParams;
  readonly name: string;
  readonly wordsAt: number;
  /** What the thread is called on the host, as no other one is: by it the number of a dead one is found. */
  threadName = "";
  thread: Thread | null = null;
  /** What the group wants of it. */
  wanted: WorkerCommand = WorkerCommand.Stop;
  private readonly host: Host;
  private starts = 0;

  constructor(host: Host, params: WorkerParams) {
    this.host = host;
    this.params = params;
    this.name = params.name;
    this.wordsAt = host.heap.allocWords(WORKER_WORDS);
  }

  get state(): number {
    return Atomics.load(this.host.i32, this.wordsAt + STATE);
  }

  /** Counters of the worker's queue, over all its threads. */
  getStats(): QueueStats {
    return new QueueCounters(this.host, this.wordsAt + COUNTERS).read();
  }

  /** No thread, or one that stopped and takes no frames any more. */
  get isGone(): boolean {
    return this.thread === null || this.state === WorkerState.Leaving || this.state === WorkerState.Stopped;
  }

  /** Tells the worker, and wakes it. */
  command(command: WorkerCommand): void {
    const { i32 } = this.host;
    Atomics.store(i32, this.wordsAt + COMMAND, command);
    Atomics.notify(i32, this.wordsAt + COMMAND);
    wakeWorker(i32, this.wordsAt + WAKE);
  }

  /**
   * Starts a thread. Resolves when it runs; `onEnd` is called when it ended, whenever that is and however.
   * @throws `ERR_NETMEM_WORKER_FAILED` with what its module threw; what the hardware says, and a `DataCloneError` for
   * `data` that cannot be posted: nothing runs then.
   */
  async start(links: Pick<QueueWorkerInput, "from" | "to">, onEnd: (end: ThreadEnd) => void): Promise<void> {
    const { host, params, wordsAt, name } = this;
    this.clearWords();
    this.threadName = this.nextThreadName();
    const input: QueueWorkerInput = {
      ...links,
      shared: host.share(),
      name,
      threadName: this.threadName,
      wordsAt,
      module: typeof params.module === "string" ? params.module : params.module.href,
      hardware: params.hardware?.start(wordsAt + WAKE) ?? null,
      data: params.data ?? null,
      queueIdx: params.queueIdx ?? 0,
      ifindex: params.ifindex ?? 1,
      skbCount: params.skbCount ?? DEFAULT_SKBS,
    };
    const thread = this.startThread(input);
    this.thread = thread;
    await this.watch(thread, onEnd);
  }

  /** Gives its words back. */
  free(): void {
    this.host.heap.freeWords(this.wordsAt, WORKER_WORDS);
  }

  /** Groups may have workers of one name; words they do not share. The host keeps 44 characters of Latin-1. */
  private nextThreadName(): string {
    const kept = this.name.replaceAll(/[\u0100-\uffff]/g, "?");
    return `${kept} ${(this.wordsAt >>> 4).toString(36)}.${++this.starts}`;
  }

  private startThread(input: QueueWorkerInput): Thread {
    try {
      return startThread("@netmem/netdev/queue-worker", this.threadName, input);
    } catch (error) {
      // E.g. data that cannot be posted.
      this.params.hardware?.stop();
      throw error;
    }
  }

  private watch(thread: Thread, onEnd: (end: ThreadEnd) => void): Promise<void> {
    const { name } = this;
    let end: ThreadEnd = { error: workerFailed(name, "ended before it was done", "") };
    let fail: ((error: Error) => void) | null = null;
    const isRunning = new Promise<void>((resolve, reject) => {
      fail = reject;
      thread.on("message", (value) => {
        const message = value as QueueWorkerMessage;
        if (message.kind === "running") {
          fail = null;
          resolve();
        } else if (message.kind === "stopped") end = { result: message.result };
        else end = { error: workerFailed(name, `failed: ${message.stack || message.message}`, message.code) };
      });
    });
    thread.on("error", (error) => {
      end = { error: workerFailed(name, `failed: ${String((error as Error).stack ?? error)}`, "") };
    });
    thread.on("exit", () => {
      this.thread = null;
      // One that died did not say so: from here on nobody sends it frames.
      Atomics.store(this.host.i32, this.wordsAt + STATE, WorkerState.Down);
      // Whoever looks after the end does so before anybody is told of it.
      onEnd(end);
      if (fail !== null && "error" in end) fail(end.error);
    });
    return isRunning;
  }

  private clearWords(): void {
    const { i32 } = this.host;
    i32.fill(0, this.wordsAt + NAPI, this.wordsAt + COUNTERS);
    Atomics.store(i32, this.wordsAt + WAKE, 0);
    Atomics.store(i32, this.wordsAt + STATE, WorkerState.Down);
    Atomics.store(i32, this.wordsAt + COMMAND, WorkerCommand.Run);
  }
}
