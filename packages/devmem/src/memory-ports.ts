import type { LandingZone } from "./landing-zone.ts";

/** Where memory becomes reachable for a device's DMA engine; `nic.ports` of the NIC model is one. */
export interface MemoryPorts {
  /** Returns the page frame number of page 0 of `port`. */
  open(port: LandingZone): number;
  /** Takes what {@link open} returned. */
  close?(firstPfn: number): void;
}
