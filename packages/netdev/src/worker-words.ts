/*
 * The words of a worker of a group, allocated by the thread that made the group.
 *
 *  at + 0   WAKE      written by the worker: word on which its thread sleeps, see sleep.ts; 0 while there is none
 *     + 1   STATE     written by the worker: {@link WorkerState}
 *     + 2   SLAB      word offsets of header and records, capacity of its skb slab, for whoever frees it when the worker died
 *     + 16  COMMAND   written by the group: {@link WorkerCommand}
 *     + 32  words of its poll instance
 *     + 48  its counters
 */
import type { Host } from "@netmem/core";
import type { SharedSkbSlab } from "@netmem/skb";
import { NAPI_WORDS } from "./napi.ts";
import { COUNTER_WORDS } from "./queue-counters.ts";

export const WAKE = 0;
export const STATE = 1;
const SLAB = 2;
export const COMMAND = 16;
export const NAPI = 32;
export const COUNTERS: number = NAPI + NAPI_WORDS;
export const WORKER_WORDS: number = COUNTERS + COUNTER_WORDS;

/** What a worker says of itself. */
export const WorkerState = {
  /** No thread, or one that is not done with its preparations. */
  Down: 0,
  Running: 1,
  /** It has seen {@link WorkerCommand.Pause}: between two turns, with everything that it returned or sent handed over. */
  Paused: 2,
  /** It stopped, and holds nothing of others any more; others may hold buffers of its own. */
  Leaving: 3,
  /** Everything is home, and its number is given back. */
  Stopped: 4,
} as const;
export type WorkerState = (typeof WorkerState)[keyof typeof WorkerState];

/** What a group wants of a worker. */
export const WorkerCommand = {
  Run: 0,
  Pause: 1,
  Stop: 2,
} as const;
export type WorkerCommand = (typeof WorkerCommand)[keyof typeof WorkerCommand];

const RUNNING = WorkerState.Running;
const PAUSED = WorkerState.Paused;
const STATE_AT = STATE;

/** Whether the worker with words at `at` takes what is sent to it. Any thread. */
export function isRunning(i32: Int32Array, at: number): boolean {
  const state = Atomics.load(i32, at + STATE_AT);
  return state === RUNNING || state === PAUSED;
}

/** Worker: notes where its skbs are. */
export function noteSlab({ i32 }: Host, at: number, { headerAt, recordsAt, capacity }: SharedSkbSlab): void {
  i32[at + SLAB] = headerAt;
  i32[at + SLAB + 1] = recordsAt;
  i32[at + SLAB + 2] = capacity;
}

/** Group, when the worker died: the note, null if there is none; forgets it. */
export function takeSlabNote({ i32 }: Host, at: number): SharedSkbSlab | null {
  const note = { headerAt: i32[at + SLAB]!, recordsAt: i32[at + SLAB + 1]!, capacity: i32[at + SLAB + 2]! };
  i32.fill(0, at + SLAB, at + SLAB + 3);
  return note.capacity === 0 ? null : note;
}
