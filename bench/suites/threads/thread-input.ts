import type { SharedHost } from "@netmem/core";

export const BURST = 64;
export const RING_SIZE = 8192;

export type Role = "return" | "channel" | "message" | "publish" | "count";

/** What the other thread is started with. */
export interface ThreadInput {
  readonly role: Role;
  readonly shared: SharedHost;
  /** SPSC ring, or channel, on the way to it. */
  readonly at: number;
  /** Word that stays 0. */
  readonly idleAt: number;
}
