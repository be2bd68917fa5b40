import { type Host, makeRef, type MemOwner, NetmemState, OWN_THREAD, ownerTag, THREAD_WORDS } from "@netmem/core";
import { RINGS } from "../../src/inbox-words.ts";
import { initSpscWords, SLOTS } from "../../src/spsc-ring-words.ts";

/*
 * As much of a host as returns between threads look at, over a few words:
 *
 *  1 ... 3    meta words of three buffers, all of one owner on thread 0
 *  4 ... 7    link words
 *  8, 9       word that says whose the owner is; first channel
 *  10 ...     inboxes of three threads
 *  298 ...    rings of threads 1 and 2 into the first
 */
export const LINK = 4;
const THREAD = 8;
/** Other than 0: there are channels, so buffers bear stamps. */
export const CHANNELS = 9;
export const INBOX = 10;
const RINGS_AT: number = INBOX + 3 * THREAD_WORDS;
const RING_WORDS = SLOTS + 2;
export const WORDS: number = RINGS_AT + 2 * RING_WORDS;

export const refOf = (idx: number): number => makeRef(idx, 0, 0);
const OUT = ownerTag(0, NetmemState.Out);

/** Words of a host on which three buffers are out. `ringSize` 0: workers have no rings. */
export function layOut(i32: Int32Array, ringSize: number): void {
  for (let idx = 1; idx <= 3; idx++) i32[idx] = OUT;
  i32[THREAD] = 1;
  if (ringSize === 0) return;
  for (let worker = 1; worker <= 2; worker++) {
    const ring = RINGS_AT + (worker - 1) * RING_WORDS;
    initSpscWords(i32, ring, ringSize, 0);
    i32[INBOX + RINGS + worker] = ring;
  }
}

/** One thread's view of it. `owner` is null on threads that it does not belong to. */
export function hostOver(i32: Int32Array, workerId: number, owner: MemOwner | null): Host {
  const layout = {
    commonAt: CHANNELS - 2,
    ownersAt: THREAD - OWN_THREAD,
    threadsAt: INBOX,
    firstPageIdx: 1,
    maxNetmems: 4,
  };
  const host = {
    i32,
    workerId,
    linkAt: LINK,
    layout,
    threaded: 1,
    homes: Int32Array.of(0),
    returnsHeld: 0,
    returnCounts: { delivered: 0, refused: 0 },
    owners: { get: () => owner, threadOf: () => 0, describe: () => "the owner" },
    workers: { list: () => [{ workerId: 0 }], describe: () => ({ name: "" }), holderOf: (id: number) => id },
    heap: { allocWords: () => failMemory(), freeWords: () => {} },
    warn: () => {},
    returns: null,
  };
  return host as unknown as Host;
}

function failMemory(): never {
  throw new Error("no memory for a ring");
}
