/** What a worker of a group is given, and what its module makes of it. */
import type { Host, SharedHost } from "@netmem/core";
import type { SkbSlab } from "@netmem/skb";
import type { ReceiveHandler } from "./net-device.ts";
import type { QueueDriver } from "./queue-driver.ts";
import type { RxQueue } from "./rx-queue.ts";
import type { XdpProgram } from "./xdp-program.ts";

/** The module that a worker imports: functions do not cross threads, so they are made there. */
export interface QueueWorkerModule {
  /** `attachHost` of the package `netmem`, or one that composes the host in another way. */
  readonly attachHost: (shared: SharedHost, params: { readonly name: string }) => Host;
  /** Makes what the worker runs. An error ends the worker, and `WorkerGroup.start` throws it. */
  readonly createWorker: (context: QueueWorkerContext) => QueueWorkerParts;
}

/** What a worker finds on its thread. */
export interface QueueWorkerContext {
  readonly host: Host;
  readonly name: string;
  /** What the group's member said: anything that can be posted. */
  readonly data: unknown;
  /** What `WorkerHardware.start` returned, null for a worker without hardware. */
  readonly hardware: unknown;
  /** The queue for the driver: poll instance, counters, burst. */
  readonly queue: RxQueue;
  readonly skbs: SkbSlab;
  /**
   * Number of the link to another worker: a program's `redirectIfindex`, a key of a `DevMap`, the first argument of
   * {@link send}.
   * @throws `ERR_NETMEM_LINK_UNKNOWN` (ENOENT)
   */
  target(worker: string): number;
  /** Sends frames by a link and returns how many it took; the rest is the caller's. Wakes the other worker. Once per burst. */
  send(target: number, frames: Int32Array, count: number): number;
  /** Frames that a link has room for. */
  roomOf(target: number): number;
  /** Makes skbs of frames, as a device would, and delivers them; frames without an skb are dropped and counted (`SkbNoMem`). */
  deliver(frames: Int32Array, count: number): void;
}

/** What a worker runs. */
export interface QueueWorkerParts {
  /** Drives the queue; absent in a worker that only takes frames. */
  readonly driver?: QueueDriver;
  /** The hardware's end on this thread, e.g. `AttachedNicQueue`. */
  readonly port?: QueuePort;
  readonly program?: XdpProgram;
  /** Takes skbs, which are its own. Default: they are dropped as `DevReady`. */
  readonly receive?: ReceiveHandler;
  /**
   * Takes `frames[0..count)` that came by a link, 64 at most; they are its own. Default: the driver sends them; without
   * one they become skbs (kernel: a CPU map's entry).
   */
  readonly frames?: (frames: Int32Array, count: number) => void;
  /**
   * Packets that the worker can pass on now. Below 64 it polls nothing and takes no frames, so that what is behind it
   * fills up: the next link, the ring of the NIC, which counts what it drops. Default: as many as may be.
   */
  readonly room?: () => number;
  /** Called when everything was stopped; what it returns is what `WorkerGroup.stop` resolves to. */
  readonly finish?: () => unknown;
}

/** A hardware queue on the thread of its driver. All of it once per turn or burst. */
export interface QueuePort {
  /** Takes over what the hardware did since, and interrupts for it. False when that is nothing. */
  enter(): boolean;
  /** Shows the hardware what the driver did. */
  leave(): void;
  /** Whether {@link enter} would find something. Atomic loads only. */
  hasWork(): boolean;
}

/** A hardware queue on the thread of the hardware: what a group needs to know of it. */
export interface WorkerHardware {
  /**
   * Begins with empty rings. `wakeAt` is for `wakeWorker`, when something was shown to the worker. Returns what the worker
   * needs, e.g. for `attachNicQueue`: anything that can be posted.
   */
  start(wakeAt: number): unknown;
  /** From here on the hardware touches no buffer, whoever has them. */
  stop(): void;
}

/** A link as one of its ends is told of it. */
export interface LinkInput {
  /** Its channel. */
  readonly at: number;
  /** Its number, from 1. */
  readonly target: number;
  /** The worker at the other end, and its words. */
  readonly peer: string;
  readonly peerAt: number;
}

/** `workerData` of a worker. */
export interface QueueWorkerInput {
  readonly shared: SharedHost;
  readonly name: string;
  /** What the thread is called on the host, different for every thread that the worker ever had. */
  readonly threadName: string;
  readonly wordsAt: number;
  readonly module: string;
  readonly hardware: unknown;
  readonly data: unknown;
  readonly queueIdx: number;
  readonly ifindex: number;
  readonly skbCount: number;
  readonly from: readonly LinkInput[];
  readonly to: readonly LinkInput[];
}

/** What a worker posts. */
export type QueueWorkerMessage =
  | { readonly kind: "running" }
  | { readonly kind: "stopped"; readonly result: unknown }
  | { readonly kind: "failed"; readonly code: string; readonly message: string; readonly stack: string };
