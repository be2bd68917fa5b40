import { type createMemory, makeRef } from "@netmem/core";

/** What a thread of these tests is started with. */
export interface ThreadInput {
  readonly role: "produce" | "consume" | "put";
  readonly memory: ReturnType<typeof createMemory>;
  /** Word offset of the ring or the inbox. */
  readonly at: number;
  readonly linkAt: number;
  readonly worker: number;
  readonly workers: number;
  readonly count: number;
  readonly seed: number;
  readonly maxBatch: number;
  /** Word that says how many entries have arrived, for a worker that waits for each of its own; 0 for none. */
  readonly arrivedAt: number;
}

export interface ThreadReport {
  /** Entries; negative: the one of that number was not the one expected. */
  readonly done: number;
  readonly overflowed: number;
  readonly wakes: number;
}

/** Says that a thread has started; its report is the second message. */
export const READY = "ready";

/** The n-th reference of a worker: every index is used once. */
export function refOf({ worker, workers }: Pick<ThreadInput, "worker" | "workers">, n: number): number {
  return makeRef(n * workers + worker + 1, worker, 0);
}
