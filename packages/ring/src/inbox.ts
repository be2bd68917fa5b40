/*
 * data path
 *
 * The owner's end of an inbox: references from many workers to one owner, see inbox-words.ts for its memory.
 */
import {
  announceSleep as announceSleep_,
  endSleep as endSleep_,
  INBOX_WORDS,
  isRung as isRung_,
  MAX_INBOX_WORKERS,
  OVERFLOWS as OVERFLOWS_,
  REST as REST_,
  REST_FROM as REST_FROM_,
  ringOf as ringOf_,
  RINGS,
  SLEEPING,
  takeDoorbell as takeDoorbell_,
  takeOverflow as takeOverflow_,
  unlinkNext as unlinkNext_,
} from "./inbox-words.ts";
import type { RingMemory } from "./ptr-ring.ts";
import { freeSpscRing, SpscConsumer } from "./spsc-ring.ts";

const REST = REST_;
const REST_FROM = REST_FROM_;
const OVERFLOWS = OVERFLOWS_;
const announceSleep = announceSleep_;
const endSleep = endSleep_;
const isRung = isRung_;
const ringOf = ringOf_;
const takeDoorbell = takeDoorbell_;
const takeOverflow = takeOverflow_;
const unlinkNext = unlinkNext_;

const EVERYBODY = -1;

/**
 * Makes an empty inbox of {@link INBOX_WORDS} words at `at`, which begin a cache line. Zeroed words are one already.
 * Workers bring their rings along.
 */
export function initInbox(i32: Int32Array, at: number): void {
  i32.fill(0, at, at + INBOX_WORDS);
}

/**
 * Gives the workers' rings back. No worker knows the inbox any more, and the owner has emptied it: what is inside is
 * forgotten. Control path.
 */
export function freeInbox(memory: RingMemory, at: number): void {
  for (let worker = 0; worker < MAX_INBOX_WORKERS; worker++) {
    const ring = ringOf(memory.i32, at, worker);
    memory.i32[at + RINGS + worker] = 0;
    if (ring !== 0) freeSpscRing(memory, ring);
  }
}

/**
 * The owner's end. Made over an inbox that was used before, it goes on where the last owner stopped: it looks into every
 * ring once, whatever the doorbell says.
 */
export class Inbox {
  declare private readonly i32: Int32Array;
  declare readonly at: number;
  declare private readonly linkAt: number;
  /** By worker; made when a worker is first heard of. */
  declare private readonly rings: (SpscConsumer | null)[];
  /** Bits of workers still to look at in this round, and again in the next. */
  declare private pending: number;
  declare private again: number;
  /** First reference of the chain being delivered, 0 for none. */
  declare private rest: number;
  /** Whether the arena holds a copy of `rest` for the next owner. */
  declare private isRestSaved: boolean;
  /** Worker that the entries of the last {@link take} came from. */
  declare from: number;
  /** Entries that came by overflow lists, free-running 32 bits. */
  declare overflowCount: number;

  /** @param at word offset of the inbox. @param linkAt word offset of the link column: `host.linkAt`. */
  constructor(i32: Int32Array, at: number, linkAt: number) {
    this.i32 = i32;
    this.at = at;
    this.linkAt = linkAt;
    this.rings = Array.from({ length: MAX_INBOX_WORKERS }, () => null);
    this.pending = EVERYBODY;
    this.again = 0;
    this.rest = i32[at + REST]!;
    this.isRestSaved = this.rest !== 0;
    this.from = i32[at + REST_FROM]!;
    this.overflowCount = 0;
    // What the last owner said of its sleep is over.
    Atomics.store(i32, at + SLEEPING, 0);
  }

  /**
   * Word that is 1 while the owner may sleep: `Atomics.wait(i32, inbox.sleepingAt, 1)`. Not the doorbell: a worker that is
   * late may use up its wake-up between {@link prepareSleep} and the wait, and this word remembers that.
   */
  get sleepingAt(): number {
    return this.at + SLEEPING;
  }

  /**
   * Takes up to `max` entries of one worker, which {@link from} names, into `dst[dstAt...]`; returns how many. 0: there
   * was nothing, from anybody, or no room in `dst`. Workers take turns.
   */
  take(dst: Int32Array, dstAt: number, max: number): number {
    const room = dst.length - dstAt;
    const wanted = max < room ? max : room;
    if (wanted <= 0) return 0;
    if (this.rest !== 0) return this.takeRest(dst, dstAt, wanted);
    while (this.pending !== 0 || this.beginRound()) {
      const taken = this.takeFrom(this.nextWorker(), dst, dstAt, wanted);
      if (taken > 0) return taken;
    }
    return 0;
  }

  /** Lets {@link take} look into every ring once, whatever the doorbell says: for when a worker died before it rang. */
  checkAll(): void {
    this.pending = EVERYBODY;
  }

  /** Whether {@link take} would find something that it knows of already, or the doorbell was rung. */
  hasWork(): boolean {
    return (this.rest | this.pending | this.again) !== 0 || isRung(this.i32, this.at);
  }

  /**
   * Asks whether the owner may sleep. True: nothing is there, and from now on one worker is told to wake it. The caller
   * then waits at {@link sleepingAt}, or for a message that is kept until it looks, as long as it likes, and ends with
   * {@link cancelSleep}. It may be woken for nothing. False: there is work.
   */
  prepareSleep(): boolean {
    if ((this.rest | this.pending | this.again) !== 0) return false;
    announceSleep(this.i32, this.at);
    // The second look: a worker that rang before the announcement saw nobody to wake.
    if (!isRung(this.i32, this.at)) return true;
    endSleep(this.i32, this.at);
    return false;
  }

  /** The owner is awake: nobody needs to wake it. */
  cancelSleep(): void {
    endSleep(this.i32, this.at);
  }

  private beginRound(): boolean {
    this.pending = this.again | takeDoorbell(this.i32, this.at);
    this.again = 0;
    return this.pending !== 0;
  }

  /** Takes the next worker behind the last one out of the round. */
  private nextWorker(): number {
    const behind = this.pending & (-2 << this.from);
    const rest = behind === 0 ? this.pending : behind;
    const bit = rest & -rest;
    this.pending ^= bit;
    return 31 - Math.clz32(bit);
  }

  private takeFrom(worker: number, dst: Int32Array, dstAt: number, max: number): number {
    const ring = this.rings[worker] ?? this.openRing(worker);
    this.from = worker;
    const taken = ring === null ? 0 : ring.consumeBatch(dst, dstAt, max);
    if (taken === max) {
      this.again |= 1 << worker;
      return taken;
    }
    // The ring was seen empty after the doorbell had been taken: what comes later rings again. So for the list.
    this.rest = takeOverflow(this.i32, this.at + OVERFLOWS + worker);
    if (this.rest === 0) return taken;
    if (taken === 0) return this.takeRest(dst, dstAt, max);
    this.saveRest(this.rest);
    return taken;
  }

  /** Control path: once per worker. */
  private openRing(worker: number): SpscConsumer | null {
    const at = ringOf(this.i32, this.at, worker);
    if (at === 0) return null;
    return (this.rings[worker] = new SpscConsumer(this.i32, at));
  }

  private takeRest(dst: Int32Array, dstAt: number, max: number): number {
    const { i32, linkAt } = this;
    let ref = this.rest;
    let taken = 0;
    while (ref !== 0 && taken < max) {
      dst[dstAt + taken++] = ref;
      ref = unlinkNext(i32, linkAt, ref);
    }
    this.rest = ref;
    this.overflowCount = (this.overflowCount + taken) | 0;
    if (ref !== 0 || this.isRestSaved) this.saveRest(ref);
    return taken;
  }

  /** The owner's thread may end before it comes back. */
  private saveRest(ref: number): void {
    this.i32[this.at + REST] = ref;
    this.i32[this.at + REST_FROM] = this.from;
    this.isRestSaved = ref !== 0;
  }
}
