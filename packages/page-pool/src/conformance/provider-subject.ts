import type { Host, MemoryProviderOps } from "@netmem/core";
import type { PagePoolParams } from "../params.ts";

/** A provider under test, with the host that it works on. Made anew for every case. */
export interface ProviderSubject {
  /** With a DMA device if the provider maps its buffers. */
  readonly host: Host;
  /** Not registered yet; bound to no queue. */
  readonly provider: MemoryProviderOps;
  /** Buffers that it can have out at a time, all pools together; null when the host's memory is the only bound. */
  readonly capacity: number | null;
  /** The provider gives every buffer an address for the host's DMA device. */
  readonly mapsBuffers: boolean;
  /** Parameters that a pool on this provider needs besides the flags, such as its order. */
  readonly params?: PagePoolParams;
  /** Parameters that the provider's `init` must refuse, each with the code of its error. */
  readonly refused?: readonly RefusedParams[];
  /** Turns the host's clock: pools that were destroyed with buffers outside look again from time to time. */
  passTime(ms: number): void;
  /** What the provider and its device hold now, such as mappings; must come back to where it was before the case. */
  holdings?(): Readonly<Record<string, number>>;
}

export interface RefusedParams {
  readonly params: PagePoolParams;
  readonly code: string;
}
