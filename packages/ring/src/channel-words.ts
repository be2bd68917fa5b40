/*
 * The words of a channel, and the list of all channels of a host, by which those of a dead worker are found.
 *
 *  at + 0   NEXT      next channel of the host, 0 at the end
 *     + 1   SENDER    worker id of the end that sends + 1, 0 while nobody does
 *     + 2   RECEIVER  the same of the end that receives
 *     + 3   CLOSED    1: one of them died
 *     + 4   SLOTS
 *     + 5   KIND      what its entries are: {@link ChannelKind}
 *     + 16  an SPSC ring, see spsc-ring-words.ts
 */
import { acquireLock, COMMON_CHANNELS, COMMON_LOCK, type Host, releaseLock } from "@netmem/core";
import { spscWords } from "./spsc-ring-words.ts";

export const NEXT = 0;
export const SENDER = 1;
export const RECEIVER = 2;
export const CLOSED = 3;
export const SLOTS = 4;
export const KIND = 5;
/** Where the ring of a channel begins. */
export const RING = 16;

/** What the entries of a channel are. */
export const ChannelKind = {
  /** References: what is left inside goes home by `returnNetmem`. */
  Buffers: 0,
  /** Something that holds references, such as frames: whoever made the channel empties it. */
  Records: 1,
} as const;
export type ChannelKind = (typeof ChannelKind)[keyof typeof ChannelKind];

/** Words of a channel with room for `size` references. */
export function channelWords(size: number): number {
  return RING + spscWords(size);
}

/** Puts a channel on the host's list. */
export function linkChannel(host: Host, at: number): void {
  withLock(host, (headAt) => {
    host.i32[at + NEXT] = host.i32[headAt]!;
    host.i32[headAt] = at;
  });
}

/** Takes it off; false when it is not there. */
export function unlinkChannel(host: Host, at: number): boolean {
  return withLock(host, (headAt) => {
    let link = headAt;
    while (host.i32[link] !== 0 && host.i32[link] !== at) link = host.i32[link]! + NEXT;
    const isThere = host.i32[link] === at;
    if (isThere) host.i32[link] = host.i32[at + NEXT]!;
    return isThere;
  });
}

/** Word offsets of all channels. */
export function listChannels(host: Host): number[] {
  return withLock(host, (headAt) => {
    const list: number[] = [];
    for (let at = host.i32[headAt]!; at !== 0; at = host.i32[at + NEXT]!) list.push(at);
    return list;
  });
}

function withLock<Result>(host: Host, work: (headAt: number) => Result): Result {
  const { i32, workerId } = host;
  const { commonAt } = host.layout;
  acquireLock(i32, commonAt + COMMON_LOCK, workerId);
  try {
    return work(commonAt + COMMON_CHANNELS);
  } finally {
    releaseLock(i32, commonAt + COMMON_LOCK, workerId);
  }
}
