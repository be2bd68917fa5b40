/* data path */
import type { Host, Napi as CoreNapi } from "@netmem/core";
import type { NapiScheduler } from "./napi-scheduler.ts";

const STATE = 0;
const LIST_OWNER = 1;
/** Words of a poll instance. */
export const NAPI_WORDS = 16;

const SCHED = 1;
/** Scheduled once more while it was scheduled: completion is refused, so that what came meanwhile is seen. */
const MISSED = 2;
const DISABLED = 4;

/** Packets per poll unless said otherwise (kernel: `NAPI_POLL_WEIGHT`). */
export const NAPI_POLL_WEIGHT = 64;

/**
 * Polls up to `budget` packets and returns how many it did. With fewer than `budget` it calls `completeDone` and, when
 * that is true, lets the hardware interrupt again.
 */
export type NapiPoll = (budget: number) => number;

/**
 * One poll instance (kernel: `napi_struct`): scheduled by an interrupt, then polled in turns until it has nothing left.
 * Its state lives in arena words. Starts disabled.
 */
export class Napi implements CoreNapi {
  declare readonly id: number;
  /** Packets per poll, 1 to 64. */
  declare readonly weight: number;
  declare private readonly poll: NapiPoll;
  declare private readonly scheduler: NapiScheduler;
  declare private readonly host: Host;
  declare private readonly i32: Int32Array;
  declare private readonly at: number;
  declare private readonly isOwner: boolean;

  /**
   * @internal Made by a device for its queue.
   * @param wordsAt words that somebody else allocated; 0 = words of its own.
   */
  constructor(host: Host, scheduler: NapiScheduler, id: number, poll: NapiPoll, weight: number, wordsAt = 0) {
    this.id = id;
    this.weight = weight;
    this.poll = poll;
    this.scheduler = scheduler;
    this.host = host;
    this.i32 = host.i32;
    this.isOwner = wordsAt === 0;
    this.at = this.isOwner ? host.heap.allocWords(NAPI_WORDS) : wordsAt;
    this.i32[this.at + STATE] = DISABLED;
    this.i32[this.at + LIST_OWNER] = -1;
  }

  /** CPU whose poll list the instance is on, -1 while it is idle. */
  get listOwner(): number {
    return this.i32[this.at + LIST_OWNER]!;
  }
  set listOwner(cpu: number) {
    this.i32[this.at + LIST_OWNER] = cpu;
  }

  /** On a poll list, or being polled. */
  get isScheduled(): boolean {
    return (this.i32[this.at + STATE]! & SCHED) !== 0;
  }

  get isEnabled(): boolean {
    return (this.i32[this.at + STATE]! & DISABLED) === 0;
  }

  /** From now on it can be scheduled (kernel: `napi_enable`). */
  enable(): void {
    if (!this.isEnabled) this.i32[this.at + STATE] = 0;
  }

  /** Takes it off the poll list; from now on it cannot be scheduled (kernel: `napi_disable`). */
  disable(): void {
    this.i32[this.at + STATE] = DISABLED;
    this.listOwner = -1;
    this.scheduler.remove(this);
  }

  /**
   * Puts it on the poll list (kernel: `napi_schedule`). False when it was there already - it will then be polled once
   * more - or is disabled.
   */
  schedule(): boolean {
    const state = this.i32[this.at + STATE]!;
    if ((state & DISABLED) !== 0) return false;
    if ((state & SCHED) !== 0) {
      this.i32[this.at + STATE] = state | MISSED;
      return false;
    }
    this.i32[this.at + STATE] = SCHED;
    this.listOwner = this.scheduler.cpu;
    this.scheduler.push(this);
    return true;
  }

  /**
   * The poll function's word that nothing is left (kernel: `napi_complete_done`). True: it is idle now, and the caller
   * must let the hardware interrupt again. False: it stays scheduled, because more came meanwhile.
   */
  completeDone(): boolean {
    const state = this.i32[this.at + STATE]!;
    if ((state & MISSED) !== 0) {
      this.i32[this.at + STATE] = state & ~MISSED;
      return false;
    }
    if ((state & DISABLED) !== 0) return false;
    this.i32[this.at + STATE] = 0;
    this.listOwner = -1;
    return true;
  }

  /** @internal One turn, called by the scheduler. */
  runPoll(): number {
    return this.poll(this.weight);
  }

  /** Gives the arena words back; the instance must not be used any more. */
  dispose(): void {
    this.disable();
    if (this.isOwner) this.host.heap.freeWords(this.at, NAPI_WORDS);
  }
}
