import type { SharedHost } from "@netmem/core";

/** What a thread of the traffic is started with. */
export interface WorkerInput {
  readonly shared: SharedHost;
  /** Channel from the main thread. */
  readonly channelAt: number;
  /** Channel to the main thread for buffers of a pool of its own, 0 for none. */
  readonly supplyAt: number;
  readonly controlAt: number;
  readonly seed: number;
  readonly ringSize: number;
}

/** Control words: non-zero once everything was sent. */
export const STOP = 0;
export const CONTROL_WORDS = 16;

/** A thread without work looks again after that. */
export const IDLE_MS = 0.05;

/** Buffers that a worker sends at once from a pool of its own. */
export const SUPPLY_BATCH = 16;

/** What the pool of a killed worker may lack: a batch that was not sent, and 64 that it had taken out of its inbox. */
export const UNSENT_MAX: number = SUPPLY_BATCH + 64;
