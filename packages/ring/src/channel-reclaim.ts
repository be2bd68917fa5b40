import {
  asNetmemRef,
  GEN_SHIFT,
  type Host,
  IDX_MASK,
  META_GEN_MASK,
  META_OUT,
  META_STATE_MASK,
  returnNetmem,
} from "@netmem/core";
import { ChannelStamps } from "./channel-stamps.ts";
import { ChannelKind, CLOSED, KIND, listChannels, RECEIVER, RING, SENDER } from "./channel-words.ts";
import { publishPushed } from "./spsc-ring-words.ts";
import { SpscConsumer } from "./spsc-ring.ts";

/**
 * Closes the channels of a dead worker. What was sent to it goes home, and so does what it had sent and nobody is there to
 * take. Returns how many buffers that were.
 */
export function takeBackChannels(host: Host, deadId: number): number {
  const { i32 } = host;
  const stamps = new ChannelStamps(host);
  let total = 0;
  for (const at of listChannels(host)) {
    const isSender = i32[at + SENDER] === deadId + 1;
    const isReceiver = i32[at + RECEIVER] === deadId + 1;
    if (!isSender && !isReceiver) continue;
    // A sender that lives goes on until it looks: what it sends meanwhile waits for the next receiver, or freeChannel.
    Atomics.store(i32, at + CLOSED, 1);
    // Of records, only their maker knows which buffers they hold.
    const isBuffers = i32[at + KIND] === ChannelKind.Buffers;
    // It is in a ring, so nobody holds it.
    if (isSender && isBuffers) publishPushed(i32, at + RING, (ref) => stamps.clear(ref));
    if (isBuffers && (isReceiver || i32[at + RECEIVER] === 0)) total += emptyRing(host, at + RING);
    if (isSender) Atomics.store(i32, at + SENDER, 0);
    if (isReceiver) Atomics.store(i32, at + RECEIVER, 0);
  }
  return total;
}

/** Sends home what is in the ring of a channel without a receiver. Returns how many buffers that were. */
export function emptyRing(host: Host, ringAt: number): number {
  const { i32 } = host;
  const ring = new SpscConsumer(i32, ringAt);
  const stamps = new ChannelStamps(host);
  let total = 0;
  for (let value = ring.take(); value !== 0; value = ring.take()) {
    const ref = asNetmemRef(value);
    // The dead worker may have stamped it already, as what it was about to take.
    stamps.clear(ref);
    if ((i32[(ref >>> 1) & IDX_MASK]! & (META_STATE_MASK | META_GEN_MASK)) !== (META_OUT | (ref >>> GEN_SHIFT)))
      continue;
    returnNetmem(host, ref);
    total++;
  }
  ring.release();
  return total;
}
