import type { createMemory } from "@netmem/core";

export const BURST = 64;
/** Slots of the rings between two threads: enough to go on while the other one is off its CPU for a moment. */
export const RING_SIZE = 8192;

/** What the other thread is started with. */
export interface ThreadInput {
  readonly role: "consume" | "return" | "listen";
  readonly memory: ReturnType<typeof createMemory>;
  /** Ring on the way to it. */
  readonly ringAt: number;
  readonly inboxAt: number;
  /** Its number there; its ring is made before it starts. */
  readonly worker: number;
  readonly linkAt: number;
  /** Word where it counts what it got, after each batch, in rounds of 2^30. */
  readonly countAt: number;
  /** Word that stays 0. */
  readonly idleAt: number;
}
