import type { Host } from "@netmem/core";
import type { SkbSlab } from "@netmem/skb";
import type { NapiScheduler } from "../napi-scheduler.ts";
import type { NetDevice } from "../net-device.ts";

/** A driver under test, with what stands around it. Made anew for every case. */
export interface DriverSubject {
  readonly host: Host;
  readonly skbs: SkbSlab;
  /** Without `kick`: cases run it by hand. */
  readonly scheduler: NapiScheduler;
  /** One queue, driven by the driver under test; closed. */
  readonly device: NetDevice;
  /** Packet bytes that fit into one of the driver's buffers. */
  readonly bufferBytes: number;
  /** Fragments that a packet arrives in. Default: as few as whole buffers allow. */
  readonly fragsOf?: (lenBytes: number) => number;
  /** Buffers that the driver keeps posted. */
  readonly ringSize: number;
  /** Puts a frame on the wire towards the device. False when the hardware had to drop it. */
  inject(frame: Uint8Array): boolean;
  /** Copies of the frames that left the device since the last call, in order. */
  takeSent(): Uint8Array[];
  /** While paused nothing leaves the device, so that its TX queue fills up. */
  pauseWire(paused: boolean): void;
  /** Turns the host's clock: pools that were destroyed with buffers outside look again from time to time. */
  passTime(ms: number): void;
}
