/*
 * data path
 *
 * A channel hands buffers from one thread to another and notes who has them: if that thread dies, what it held alone
 * comes home, see `Host.reclaim`.
 */
import { type Host, NetmemError } from "@netmem/core";
import { emptyRing } from "./channel-reclaim.ts";
import { ChannelStamps } from "./channel-stamps.ts";
import {
  ChannelKind,
  channelWords,
  CLOSED,
  KIND,
  linkChannel,
  RECEIVER,
  RING,
  SENDER,
  SLOTS,
  unlinkChannel,
} from "./channel-words.ts";
import { initSpscWords } from "./spsc-ring-words.ts";
import { checkRingSize, SpscConsumer, SpscProducer } from "./spsc-ring.ts";

/**
 * Makes a channel for up to `size` references (a power of two) and returns its word offset, for one {@link ChannelSender}
 * and one {@link ChannelReceiver} on any threads of the host. With `ChannelKind.Records`, for ends of the caller's own over
 * {@link claimChannelEnd}. Control path.
 *
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL), `ERR_NETMEM_NO_MEMORY` (ENOMEM).
 */
export function createChannel(host: Host, size: number, kind: ChannelKind = ChannelKind.Buffers): number {
  const slots = checkRingSize("size", size);
  const at = host.heap.allocWords(channelWords(slots));
  host.i32[at + SLOTS] = slots;
  host.i32[at + KIND] = kind;
  initSpscWords(host.i32, at + RING, slots, 0);
  linkChannel(host, at);
  return at;
}

/**
 * Gives the words of a channel back that nobody uses any more. Buffers inside go home, records must have been taken out.
 * @throws `ERR_NETMEM_CHANNEL_UNKNOWN` (ENOENT) for a channel that is gone already.
 */
export function freeChannel(host: Host, at: number): void {
  const slots = host.i32[at + SLOTS]!;
  if (!unlinkChannel(host, at)) {
    throw new NetmemError({
      code: "ERR_NETMEM_CHANNEL_UNKNOWN",
      errno: "ENOENT",
      reason: `there is no channel at word ${at}`,
      remedy: "Free a channel once.",
      param: "at",
      value: at,
    });
  }
  if (host.i32[at + KIND] === ChannelKind.Buffers) emptyRing(host, at + RING);
  host.heap.freeWords(at, channelWords(slots));
}

/** The end of a channel that buffers go into. One thread at a time. */
export class ChannelSender {
  declare private readonly ring: SpscProducer;
  declare private readonly stamps: ChannelStamps;
  declare private readonly host: Host;
  declare readonly at: number;

  /** @throws `ERR_NETMEM_CHANNEL_TAKEN` (EBUSY) while another thread has this end. */
  constructor(host: Host, at: number) {
    this.ring = new SpscProducer(host.i32, claimChannelEnd(host, at, "sending"));
    this.stamps = new ChannelStamps(host);
    this.host = host;
    this.at = at;
  }

  /** Takes one buffer, which the receiver sees after {@link flush}; false when the channel is full: it stays yours. */
  send(ref: number): boolean {
    if (!this.ring.push(ref)) return false;
    this.ring.note();
    this.stamps.clear(ref);
    return true;
  }

  /** Takes `refs[from..from + count)` as far as there is room, and hands them over. Returns how many; the rest is yours. */
  sendBatch(refs: Int32Array, from: number, count: number): number {
    const taken = this.ring.pushBatch(refs, from, count);
    this.ring.note();
    for (let n = from; n < from + taken; n++) this.stamps.clear(refs[n]!);
    this.ring.publish();
    return taken;
  }

  /** Hands over what was sent. */
  flush(): void {
    this.ring.publish();
  }

  /** The receiving thread died: what is sent from here on waits for another receiver, or for {@link freeChannel}. */
  get isClosed(): boolean {
    return Atomics.load(this.host.i32, this.at + CLOSED) !== 0;
  }

  /** Leaves this end to another thread. */
  close(): void {
    this.flush();
    leaveChannelEnd(this.host, this.at, "sending");
  }
}

/** The end of a channel that buffers come out of. One thread at a time. */
export class ChannelReceiver {
  declare private readonly ring: SpscConsumer;
  declare private readonly stamps: ChannelStamps;
  declare private readonly host: Host;
  declare readonly at: number;

  /** @throws `ERR_NETMEM_CHANNEL_TAKEN` (EBUSY) while another thread has this end. */
  constructor(host: Host, at: number) {
    this.ring = new SpscConsumer(host.i32, claimChannelEnd(host, at, "receiving"));
    this.stamps = new ChannelStamps(host);
    this.host = host;
    this.at = at;
  }

  /** Takes up to `max` buffers into `into[0..n)`; returns n. They are the caller's, to return or to send on. */
  receive(into: Int32Array, max: number): number {
    const room = max < into.length ? max : into.length;
    let n = 0;
    for (; n < room; n++) {
      const ref = this.ring.take();
      if (ref === 0) break;
      // Before the slots are given back: a thread that dies in between is found to hold them.
      this.stamps.set(ref);
      into[n] = ref;
    }
    this.ring.release();
    return n;
  }

  /** The sending thread died: nothing more will come. */
  get isClosed(): boolean {
    return Atomics.load(this.host.i32, this.at + CLOSED) !== 0;
  }

  /** Leaves this end to another thread. */
  close(): void {
    leaveChannelEnd(this.host, this.at, "receiving");
  }
}

/**
 * Takes one end of a channel for this thread and returns the word offset of its SPSC ring. Control path.
 * @throws `ERR_NETMEM_CHANNEL_TAKEN` (EBUSY) while another thread has it.
 */
export function claimChannelEnd(host: Host, at: number, end: "sending" | "receiving"): number {
  const word = at + (end === "sending" ? SENDER : RECEIVER);
  const holder = Atomics.compareExchange(host.i32, word, 0, host.workerId + 1);
  if (holder === 0) {
    Atomics.store(host.i32, at + CLOSED, 0);
    return at + RING;
  }
  throw new NetmemError({
    code: "ERR_NETMEM_CHANNEL_TAKEN",
    errno: "EBUSY",
    reason: `worker ${holder - 1} has the ${end} end of the channel at word ${at}`,
    remedy: "Make one sender and one receiver for each channel, or close that one first.",
    param: "at",
    value: at,
  });
}

/** Leaves an end that {@link claimChannelEnd} took to another thread. Nothing happens when this thread does not have it. */
export function leaveChannelEnd({ i32, workerId }: Host, at: number, end: "sending" | "receiving"): void {
  Atomics.compareExchange(i32, at + (end === "sending" ? SENDER : RECEIVER), workerId + 1, 0);
}
