/*
 * The threads of a host: a record each, in the arena.
 *
 *   STATE   0 free, 1 alive, 2 taken over, 3 being taken over
 *   HOLDER  the worker that looks after its inbox and its owners: itself, or who took over
 *   NAME    for reports
 */
import { readText, writeText } from "./arena-text.ts";
import { NetmemError } from "./errors.ts";
import {
  type ArenaLayout,
  MAX_WORKERS,
  THREAD_HOLDER,
  THREAD_NAME,
  THREAD_NAME_WORDS,
  THREAD_STATE,
  THREAD_WORDS,
} from "./layout.ts";

const FREE = 0;
const ALIVE = 1;
const TAKEN_OVER = 2;
const BEING_TAKEN = 3;

/** One thread of a host. */
export interface WorkerInfo {
  /** 0 is the creator. */
  readonly workerId: number;
  readonly name: string;
  /** False once another thread has taken over what it left. */
  readonly isAlive: boolean;
  /** Who looks after its owners and its inbox. */
  readonly holderId: number;
}

/** The threads that a host has: who they are, and which numbers are free. */
export class Workers {
  private readonly i32: Int32Array;
  private readonly threadsAt: number;

  constructor(i32: Int32Array, layout: ArenaLayout) {
    this.i32 = i32;
    this.threadsAt = layout.threadsAt;
  }

  /** Word offset of a thread's record, where its inbox is. */
  recordAt(workerId: number): number {
    return this.threadsAt + workerId * THREAD_WORDS;
  }

  /**
   * Takes the lowest free number from `first` on.
   * @throws `ERR_NETMEM_WORKERS_EXHAUSTED` (ENOSPC).
   */
  claim(first: number, name: string): number {
    for (let id = first; id < MAX_WORKERS; id++) {
      const at = this.recordAt(id);
      // Partner: release. What another thread left in the inbox is refused entry by entry, like any wrong return.
      if (Atomics.compareExchange(this.i32, at + THREAD_STATE, FREE, ALIVE) !== FREE) continue;
      writeText(this.i32, at + THREAD_NAME, THREAD_NAME_WORDS, name);
      Atomics.store(this.i32, at + THREAD_HOLDER, id);
      return id;
    }
    throw new NetmemError({
      code: "ERR_NETMEM_WORKERS_EXHAUSTED",
      errno: "ENOSPC",
      reason: `all ${MAX_WORKERS} worker ids are in use`,
      remedy: "Detach workers that are done with the host, and reclaim those that died.",
      param: "workers",
      value: MAX_WORKERS,
    });
  }

  /** Gives a number back. */
  release(workerId: number): void {
    Atomics.store(this.i32, this.recordAt(workerId) + THREAD_STATE, FREE);
  }

  /**
   * True for the one thread that may take over from `workerId`, which is dead; it is the holder from now on. The number is
   * not free before {@link settle}, whatever becomes of its owners meanwhile.
   */
  takeOver(workerId: number, holderId: number): boolean {
    const at = this.recordAt(workerId);
    if (Atomics.compareExchange(this.i32, at + THREAD_STATE, ALIVE, BEING_TAKEN) !== ALIVE) return false;
    Atomics.store(this.i32, at + THREAD_HOLDER, holderId);
    return true;
  }

  /** Ends what {@link takeOver} began. */
  settle(workerId: number): void {
    Atomics.store(this.i32, this.recordAt(workerId) + THREAD_STATE, TAKEN_OVER);
  }

  /** Hands what `fromId` took over from others to `toId`, also what it was about to. */
  inherit(fromId: number, toId: number): number[] {
    const ids = this.heldBy(fromId);
    for (const id of ids) {
      Atomics.store(this.i32, this.recordAt(id) + THREAD_HOLDER, toId);
      this.settle(id);
    }
    return ids;
  }

  /** The dead threads that `holderId` took over. */
  heldBy(holderId: number): number[] {
    return this.list()
      .filter((one) => !one.isAlive && one.holderId === holderId)
      .map((one) => one.workerId);
  }

  isAlive(workerId: number): boolean {
    return this.stateOf(workerId) === ALIVE;
  }

  /** Dead, and all that it left has been taken over. */
  isTakenOver(workerId: number): boolean {
    return this.stateOf(workerId) === TAKEN_OVER;
  }

  /** Every thread that has a number. */
  list(): WorkerInfo[] {
    return Array.from({ length: MAX_WORKERS }, (_, id) => id)
      .filter((id) => this.stateOf(id) !== FREE)
      .map((id) => this.describe(id));
  }

  describe(workerId: number): WorkerInfo {
    const at = this.recordAt(workerId);
    return {
      workerId,
      name: readText(this.i32, at + THREAD_NAME, THREAD_NAME_WORDS),
      isAlive: this.isAlive(workerId),
      holderId: this.holderOf(workerId),
    };
  }

  /** The thread that looks after a thread's owners and its inbox: itself, or who took over. */
  holderOf(workerId: number): number {
    return Atomics.load(this.i32, this.recordAt(workerId) + THREAD_HOLDER);
  }

  private stateOf(workerId: number): number {
    return Atomics.load(this.i32, this.recordAt(workerId) + THREAD_STATE);
  }
}
