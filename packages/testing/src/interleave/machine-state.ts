import { type AccessRecords, keyOf, type Race } from "./access-record.ts";
import { EMPTY_WINDOW, type LoadWindow } from "./load-window.ts";
import { type StoreBuffer } from "./store-buffer.ts";
import { type HistoryNode } from "./thread-history.ts";

/** One thread within a state. Never changed in place. */
export interface ThreadState {
  readonly node: HistoryNode;
  readonly buffer: StoreBuffer;
  readonly window: LoadWindow;
  /** Whether another thread changed a word since this one paused: then it may go on. */
  readonly mayPass: boolean;
  /** Whether another thread changed a word since a wait of this one timed out: then one may again. */
  readonly mayTimeOut: boolean;
  /** The node after the last pause, if the thread has done nothing since that others can notice. */
  readonly spinStart: HistoryNode | null;
}

/** Everything that decides how a program goes on. Stepping copies it. */
export class MachineState {
  /** What is visible to all. */
  readonly memory: Int32Array;
  /** Threads asleep in a wait, first to wake first. */
  sleepers: readonly number[] = [];
  /** Thread that ran last; -1 at the start, and where preemptions are not counted. */
  lastThread = -1;
  preemptions = 0;
  /** What orders the accesses so far; empty where races are not looked for. */
  accesses: AccessRecords = [];
  /** The data race that the last step completed. */
  race: Race | null = null;
  readonly #threads: ThreadState[];

  constructor(memory: Int32Array, threads: readonly ThreadState[]) {
    this.memory = memory;
    this.#threads = [...threads];
  }

  static start(memory: Int32Array, roots: readonly HistoryNode[]): MachineState {
    const threads = roots.map((node) => ({
      node,
      buffer: [],
      window: EMPTY_WINDOW,
      mayPass: true,
      mayTimeOut: true,
      spinStart: null,
    }));
    return new MachineState(memory, threads);
  }

  get threads(): readonly ThreadState[] {
    return this.#threads;
  }

  thread(index: number): ThreadState {
    const thread = this.#threads[index];
    if (thread === undefined) throw new RangeError(`no thread ${index}`);
    return thread;
  }

  update(index: number, change: Partial<ThreadState>): void {
    this.#threads[index] = { ...this.thread(index), ...change };
  }

  isAsleep(index: number): boolean {
    return this.sleepers.includes(index);
  }

  copy(): MachineState {
    const copy = new MachineState(this.memory.slice(), this.#threads);
    copy.sleepers = this.sleepers;
    copy.lastThread = this.lastThread;
    copy.preemptions = this.preemptions;
    copy.accesses = this.accesses;
    return copy;
  }

  /** Equal for states that go on alike, and for no others. */
  key(): string {
    let key = `${this.memory.join()};${this.sleepers.join()};${this.lastThread},${this.preemptions}`;
    for (const { node, buffer, window, mayPass, mayTimeOut } of this.#threads) {
      key += `;${node.id}${mayPass ? "p" : ""}${mayTimeOut ? "t" : ""}`;
      for (const { at, value, atomic, reserves } of buffer) {
        key += `,${at}:${value}${atomic ? "a" : ""}${reserves ? "r" : ""}`;
      }
      if (window.gone.length > 0) key += `w${window.lastLoad},${window.lastAtomic}`;
      for (const { at, old } of window.gone) key += `,${at}:${old}`;
    }
    if (this.accesses.length > 0) key += `;${keyOf(this.accesses)}`;
    return this.race === null ? key : `${key};race`;
  }
}
