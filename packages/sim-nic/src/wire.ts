import type { SimNic } from "./sim-nic.ts";

/**
 * What a NIC puts on the wire, once per burst: packet n is the `lengths[n]` bytes at `offsets[n]` of `bytes`, for n
 * below `count`. Valid during the call only: copy what you keep.
 */
export type WireSink = (bytes: Uint8Array, offsets: Int32Array, lengths: Int32Array, count: number) => void;

/** A wire that leads nowhere. */
export const openWire: WireSink = () => {};

/** Connects two NICs back to back, or one with itself: what one sends, the other receives. */
export function connectCable(a: SimNic, b: SimNic): void {
  a.setWire((bytes, offsets, lengths, count) => void b.receiveBurst(bytes, offsets, lengths, count));
  b.setWire((bytes, offsets, lengths, count) => void a.receiveBurst(bytes, offsets, lengths, count));
}
