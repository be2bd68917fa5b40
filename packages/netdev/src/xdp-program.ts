import type { XdpBuff } from "@netmem/skb";

/** What becomes of a packet; the kernel's numbers. Any other number counts as ABORTED. */
export const XdpVerdict = {
  /** The program failed: dropped, and counted apart. */
  Aborted: 0,
  Drop: 1,
  /** To the stack, as an skb. */
  Pass: 2,
  /** Out of the device that it came from. */
  Tx: 3,
  /** Out of the device `xdp.redirectIfindex`. */
  Redirect: 4,
} as const;
export type XdpVerdict = (typeof XdpVerdict)[keyof typeof XdpVerdict];

/**
 * Looks at a packet, may change it, and answers a verdict. Runs in the queue's poll; `xdp` is valid until it returns.
 * One that throws aborts its packet; the error comes out of the poll, after the rest of the burst.
 */
export type XdpProgram = (xdp: XdpBuff) => number;

export interface XdpProgramOptions {
  /** The program looks at the first buffer of a packet only (kernel: loaded without `xdp.frags`). Default false. */
  readonly isSingleBuffer?: boolean;
}
