/** Why an skb was dropped; the kernel's words. Numbers are indices of the slab's counters. */
export const DropReason = {
  NotSpecified: 0,
  NoSocket: 1,
  Xdp: 2,
  CpuBacklog: 3,
  FullRing: 4,
  NoMem: 5,
  HdrTrunc: 6,
  UnhandledProto: 7,
  DevReady: 8,
} as const;
export type DropReason = (typeof DropReason)[keyof typeof DropReason];

/** Counters that a slab has room for. */
export const DROP_REASON_COUNT = 32;
